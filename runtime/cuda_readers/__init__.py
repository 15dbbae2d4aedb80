"""What a batch leaves on the GPU, read: boxes, objects or people found there, or the engine's raw outputs for the host to decode.

In: the engine's outputs on the device.  Out: what was found, fetched, and the Results it means. One file a reader.
Next: reader.py; kernels/launches.py; cuda_program.py, which drives it.
"""

import numpy as np

from vedette.runtime.cuda_readers.boxes import box_reader
from vedette.runtime.cuda_readers.instances import instance_reader
from vedette.runtime.cuda_readers.people import people_reader
from vedette.runtime.cuda_readers.raw import RawReader
from vedette.runtime.cuda_readers.reader import Job, Reader


def reader_of(job: Job) -> Reader:
    """On the GPU where the task, the family and the types of the outputs allow it, else raw."""
    if any(dtype != np.float32 for _, dtype in job.outputs.values()):
        return RawReader(job)
    with job.recipe.readable:
        found = box_reader(job) or instance_reader(job) or people_reader(job)
    return found or RawReader(job)
