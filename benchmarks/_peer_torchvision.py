"""Stands in for torchvision, which has no wheel for this PyTorch, in the peers' environment: its NMS and nothing else.

_peer_environment.py copies it there, beside peer_nms.cpp compiled. Without it Ultralytics would not start.
"""

import ctypes
import sys
import types
from pathlib import Path
from typing import Any

import torch

__version__ = "0.28.0"
_library = ctypes.CDLL(str(Path(__file__).with_name("peer_nms.so")))
_library.peer_nms.argtypes = (*[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_float)
_library.peer_nms.restype = ctypes.c_int64


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Indices of what stays, best first: boxes float32 [n, 4] xyxy, scores [n]."""
    boxes = boxes.contiguous()
    order = scores.argsort(descending=True, stable=True)
    kept = torch.empty(len(boxes), dtype=torch.int64)
    pointers = (array.data_ptr() for array in (boxes, order, kept))
    return kept[: _library.peer_nms(*pointers, len(boxes), iou_threshold)]


ops: Any = types.ModuleType("torchvision.ops")
ops.nms = nms
sys.modules["torchvision.ops"] = ops
