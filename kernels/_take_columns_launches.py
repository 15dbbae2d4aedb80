"""How nms_take_columns of nms.cu is launched: what a network says of kept boxes besides their classes. See launches.py.

In: device addresses by name.  Out: a launch.
"""

import numpy as np

from vedette.kernels.box_layouts import LAYOUTS, V8, Plan
from vedette.kernels.launches import Addresses, Launch


def launch_take_columns(
    launch: Launch,
    at: Addresses,
    plan: Plan,
    stride: int,
    columns: int,
    *,
    batch: int,
    capacity: int,
    max_det: int,
) -> None:
    """Gather the last columns of what nms kept: from `first`, `stride` values an image, to taken_columns."""
    across = LAYOUTS[plan.family] is V8  # an anchor is a column of [4 + C + E, n]; else a row
    offset = (4 + plan.classes) * plan.row if across else plan.row - columns
    steps = (1, plan.row) if across else (plan.row, 1)
    output = at["first"] + 4 * offset, *map(np.int64, (stride, *steps))
    kept = [at[name] for name in ("anchor_ids", "kept", "kept_counts")]
    numbers = map(np.int32, (capacity, max_det, columns))
    grid = -(-max_det * columns // 256), batch
    launch("nms_take_columns", grid, 256, *output, *kept, *numbers, at["taken_columns"])
