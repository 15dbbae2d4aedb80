"""Diffusion: from noise to pictures in steps, whatever the network.

In: a network as a callable, and how it was trained.  Out: samples.
schedules.py: how much noise at each of the steps of training.  levels.py: which of them a run visits.  samplers.py: the weights
of each step, a function a sampler.  sampling.py: the loop, which applies them with kernels/guided_step.py.
Of networks that read: tokens.py, a prompt as tokens; guidance.py, what guided_step has no weights for.
"""
