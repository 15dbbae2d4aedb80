"""Is there a CUDA driver, and does it answer? Asked of the driver itself, through its C interface."""

import ctypes
from functools import cache


@cache
def why_no_driver() -> str:
    """Why CUDA cannot be used here, or nothing."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver: libcuda.so.1 is not on this machine"
    status = driver.cuInit(0)
    if status != 0:
        return f"the NVIDIA driver does not start: cuInit says {_error_name(driver, status)}"
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    return "" if count.value else "the NVIDIA driver sees no GPU"


def _error_name(driver: ctypes.CDLL, status: int) -> str:
    name = ctypes.c_char_p()
    driver.cuGetErrorName(status, ctypes.byref(name))
    return (name.value or b"error %d" % status).decode()
