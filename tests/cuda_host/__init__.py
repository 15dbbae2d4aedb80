"""The CUDA kernels on the CPU: cuda_host.h is the language, shim.py builds and launches, launches.py knows each op,
check.py compares.
"""
