"""What is asked of the kernels, C3 to C6.

In: bench_kernels.py's figures of every repeat: by row and by peer, the peer's and ours.  Out: rows of the report.
"""

from collections.abc import Mapping, Sequence

from _goal import Goal, compared

Repeat = Mapping[str, Mapping[str, Mapping[str, float]]]

# row, goal, peers (the best of which counts; none: the floor), target, stretch
TORCHVISION, FLOOR = ("torch + torchvision's algorithm",), ("floor",)
CV2 = ("cv2.resize + split + multiply", "cv2.resize + split + LUT", "cv2.resize + np.multiply(out=)")
ASKED = (
    ("letterbox 1920x1080 to 640", "C3", CV2, 0.45, 0.40),
    ("letterbox 1920x1080 YUV to 640", "C3", FLOOR, None, 1.0),
    ("decode + NMS, conf 0.25", "C4", TORCHVISION, 0.20, None),
    ("decode + NMS, conf 0.001, multi-label", "C4", TORCHVISION, 0.04, None),
    ("decode + NMS, conf 0.25", "", FLOOR, None, None),
    ("argmax of 21 classes at 512x512", "C6", FLOOR, 1.15, 1.0),
    ("argmax of 21 classes at 512x512", "", ("cv2.resize + cv2.reduceArgMax",), None, None),
)


def kernel_goals(repeats: Sequence[Repeat]) -> list[Goal]:
    """The rows that something is asked of. The peer of paf cannot be installed: its own cost stands alone."""
    rows = []
    for name, goal, peers, target, stretch in ASKED:
        best = min(peers, key=lambda peer: repeats[0][name][peer]["peer"])
        pairs = [one[name][best] for one in repeats]
        ours, theirs = [pair["vedette"] for pair in pairs], [pair["peer"] for pair in pairs]
        floor = "reading or writing it once" if best == "floor" else best
        rows.append(compared(goal, name, floor, ours, theirs, target=target, stretch=stretch))
    for people, target in (("1 person", 0.5), ("20 people", 0.5), ("60 people", 0.7)):
        pairs = [one[f"paf, {people}"]["cv2.reduceArgMax of [21, 512, 512]"] for one in repeats]
        ours = [pair["vedette"] for pair in pairs]
        rows.append(
            compared("C5", f"paf, {people}", "trt_pose in C++", ours, target=target, stretch=0.3,
                     note="peer not installed: nobody publishes a wheel of it")
        )  # fmt: skip
    return rows
