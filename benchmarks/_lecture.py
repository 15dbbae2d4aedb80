"""The detector that detectors are measured against: it looks at every rectangle.

A classifier of one millisecond at every position of a picture, for every aspect ratio and scale.
Source: Czech Technical University, Deep Learning Essentials 9: H x W x aspects x scales x 0.001 s.
"""

from _goal import Goal

WIDTH, HEIGHT, ASPECTS, SCALES, SECONDS = 1920, 1080, 5, 10, 0.001


def rows() -> list[Goal]:
    """Its row: arithmetic, nobody waits for it."""
    frame_s = WIDTH * HEIGHT * ASPECTS * SCALES * SECONDS
    return [
        Goal(
            "lecture", f"all rectangles: {WIDTH}x{HEIGHT}, {ASPECTS} aspects, {SCALES} scales, 1 ms", "the lecture's arithmetic",
            "days a frame", None, round(frame_s / 86400, 2),
            note=f"{frame_s:,.0f} s: {frame_s / 86400:.1f} days for one picture, "
            f"{frame_s * 25 / 86400 / 30.4:.1f} months for one second of video",
        )
    ]  # fmt: skip
