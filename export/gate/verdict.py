"""What is too much of a difference, in words, and what is certified.

In: a Tally and what else was seen.  Out: reasons to refuse a model, none of one that holds; or a Certificate.
Next: verify.py.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vedette.export.gate.map import can_measure, loss_by_annotations, loss_by_reference
from vedette.export.gate.tally import LEAST, Tally
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.evaluation.data import Truth
from vedette.runtime.manifest import Certificate

DISPLACED = 0.005  # of an object's side: median of the signed offsets, in which what is random cancels
PSNR_DB = 30.0  # of every picture
CONFUSED = 0.25  # of the decisions that are not kept, from which on classes are to blame


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a model may differ from its reference.

    Attributes:
        kept: least share of decisions that both have, of either's.
        map_loss: most points of mAP, of 100.
        conf: from which score on something is a decision.
    """

    kept: float = 0.99
    map_loss: float = 0.5
    conf: float = 0.5

    def check(self) -> None:
        """Raise UsageError for what is no share."""
        if not (0 <= self.kept <= 1 and 0 < self.conf < 1 and 0 <= self.map_loss <= 100):
            raise UsageError(
                "the budget is out of range",
                why="decisions kept are a share of 0 to 1, mAP loss is points of 0 to 100",
                cure="leave it out: 0.99 and 0.5",
            )


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen besides decisions, each nothing where all is well."""

    broken: str = ""  # outputs that are not finite
    overflow: str = ""
    fed: str = ""
    outputs: str = ""
    swapped: str = ""
    map_loss: float | None = None
    map_truth: str = ""


def check_enough(tally: Tally) -> None:
    """Raise ModelError if the reference decides too little to judge anything by."""
    least = LEAST[tally.unit]
    if tally.decisions < least:
        raise ModelError(
            f"too little to judge by: the reference decides {tally.decisions} {tally.unit} in {tally.frames} frames",
            why=f"at conf >= {tally.conf:g} there must be {least} at least",
            cure="give --verify more pictures, of what the network is for",
        )


def with_map(seen: Seen, tally: Tally, sources: list[str], truth: Truth | None) -> Seen:
    """What is seen of mAP: by annotations where there are any of these frames, else by the reference's decisions."""
    if not tally.rows or not can_measure():
        return seen
    if truth is not None:
        loss = loss_by_annotations(tally.rows, sources, truth)
        if loss is not None:
            return replace(seen, map_loss=loss, map_truth="annotations")
    return replace(
        seen, map_loss=loss_by_reference(tally.rows, tally.conf), map_truth="decisions of the reference"
    )


def reasons(tally: Tally, seen: Seen, budget: Budget) -> list[str]:
    """Why a model is refused: the cause first where it can be told, then what was counted."""
    counted = _counted(tally, seen, budget)
    causes = [seen.broken, seen.overflow, seen.fed, _displaced(tally)]
    if counted:
        causes += [_confused(tally), seen.swapped, "" if seen.fed or seen.swapped else seen.outputs]
    return [text for text in (*causes, *counted) if text]


def _counted(tally: Tally, seen: Seen, budget: Budget) -> list[str]:
    """What is beyond the budget."""
    found = []
    least = f"at least {budget.kept:.0%} must be"
    if tally.share_kept < budget.kept:
        found.append(
            f"{_percent(tally.share_kept)} of {tally.decisions:,} {tally.unit} are kept, {least}{_apart(tally)}"
        )
    if 1 - tally.share_invented < budget.kept:
        shared = 1 - tally.share_invented
        found.append(
            f"{_percent(shared)} of its own {tally.found:,} {tally.unit} are the reference's, {least}"
        )
    if tally.psnrs and min(tally.psnrs) < PSNR_DB:
        found.append(f"the worst picture has a PSNR of {min(tally.psnrs):.1f} dB, below {PSNR_DB:g}")
    if seen.map_loss is not None and seen.map_loss > budget.map_loss:
        found.append(
            f"it loses {seen.map_loss:.2f} points of mAP by {seen.map_truth}, {budget.map_loss:g} are allowed"
        )
    return found


def _percent(share: float) -> str:
    """Rounded down, so that no share below the budget looks as if it met it."""
    return f"{np.floor(share * 1e4) / 100:.2f} %"


def _apart(tally: Tally) -> str:
    told = [f"{count} with {what}" for what, count in tally.apart.items()]
    return f" ({', '.join(told)})" if told else ""


def _displaced(tally: Tally) -> str:
    median = tally.displacement()
    if median is None or np.abs(median[:2]).max() <= DISPLACED:
        return ""
    x, y = median[2:]
    return f"{tally.unit} are displaced by {x:+.1f}, {y:+.1f} pixels in the median"


def _confused(tally: Tally) -> str:
    lost = tally.decisions - tally.kept
    if not lost or tally.classes.total() < CONFUSED * lost:
        return ""
    return f"classes differ: {tally.confused()}"


def certificate_of(tally: Tally, seen: Seen, **who: Any) -> Certificate:
    """The certificate: what was counted, and who judged what, as Certificate's own fields."""
    return Certificate(
        **who,
        frames=tally.frames,
        conf=tally.conf,
        unit=tally.unit,
        decisions=tally.decisions,
        kept=tally.share_kept,
        found=tally.found,
        invented=tally.share_invented,
        drift_mean=tally.drift_mean,
        drift_max=tally.drifts[2],
        map_loss=seen.map_loss,
        map_truth=seen.map_truth,
        mask_iou=float(np.mean(tally.mask_ious)) if tally.mask_ious else None,
        joints_near=float(np.mean(tally.joints)) if tally.joints else None,
        psnr_db=min(tally.psnrs, default=None),
    )
