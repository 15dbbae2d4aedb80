"""What a record says, in words that the terminal and the report share.

In: a Row.  Out: names of stages and conditions, sentences.  Next: report.py.
"""

from vedette.runtime.measuring.blocks import CONDITIONS
from vedette.runtime.measuring.record import Numbers, Row
from vedette.runtime.measuring.warmup import WarmUp

STAGES = {
    "decode": "reading and decoding, CPU time of its thread",
    "preprocess": "into the network's input",
    "inference": "the network",
    "postprocess": "from its output to results",
    "draw": "results drawn on a copy of the frame",
    "sink": "one JSON record",
    "encode": "one frame of a video",
}
WHOLES = {
    "gpu": "the GPU's own time, by CUDA events",
    "work": "preprocess, inference and post-process",
    "age": "from the decoder to the start of inference",
    "end_to_end": "from the decoder to the result handed on",
}


def condition_of(row: Row) -> tuple[str, dict[str, Numbers]]:
    """The condition under which most frames of the steady state ran, and its numbers."""
    steady = {name: found for name, found in row.summary.items() if name != "warming"} or row.summary
    name = max(steady, key=lambda name: steady[name]["whole"]["frames"])
    return name, steady[name]


def ordered(row: Row) -> list[tuple[str, dict[str, Numbers]]]:
    """Its conditions, in the order of CONDITIONS."""
    return [(name, row.summary[name]) for name in CONDITIONS if name in row.summary]


def told_of(row: Row) -> str:
    """Warm-up, memory and drops in words."""
    said = [f"Warm-up by round: {', '.join(map(warm_up_words, row.warm_ups))}."]
    if row.slope_mb_per_minute is not None:
        said.append(f"Memory grows by {row.slope_mb_per_minute:+.1f} MB a minute.")
    dropped = {reason: count for reason, count in row.drops.items() if count}
    if dropped:
        said.append("Dropped: " + ", ".join(f"{count} {reason}" for reason, count in dropped.items()) + ".")
    return " ".join(said)


def warm_up_words(found: WarmUp) -> str:
    """Of one round."""
    if found.steady is None:
        return f"too few frames to tell (the first {found.frames} are left out)"
    told = f"{found.seconds:.2f} s ({found.frames} frames)"
    return told if found.steady else "no steady state was reached"
