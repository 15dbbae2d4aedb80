"""A GPU's driver and TensorRT that need no GPU: the same names, the same call order, and no patience with wrong use.

gpu.py: the machine.  driver.py: `pycuda.driver` and `cuda.bindings.driver` over it.  tensorrt_.py: `tensorrt`.
"""
