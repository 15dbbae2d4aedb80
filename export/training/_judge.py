"""How good detections of digit scenes are, by pycocotools: boxes, masks and keypoints.

In: COCO's annotations and results.  Out: AP and AP50 of each kind.

Keypoints are scored by OKS with one sigma for all, 0.1: COCO's is about that for the joints of an arm (0.062 to 0.079) and
of a leg (0.087 to 0.107).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

KINDS = ("bbox", "segm", "keypoints")
SIGMA = 0.1


def judged(annotations: dict[str, Any], results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """AP and AP50 of boxes, masks and keypoints over all scenes.

    Args:
        annotations: COCO's document, as _coco.py writes it.
        results: COCO's, each with image_id, category_id, score, bbox, segmentation and keypoints.

    Returns:
        By bbox, bbox50, segm, segm50, keypoints, keypoints50; 0 to 1.
    """
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations
        truth.createIndex()
        pairs = [_scores(truth, results, kind) for kind in KINDS]
    return {name: value for pair in pairs for name, value in pair.items()}


def _scores(truth: Any, results: Sequence[dict[str, Any]], kind: str) -> dict[str, float]:
    from pycocotools.cocoeval import COCOeval

    field = {"segm": "segmentation"}.get(kind, kind)
    rows = [{key: row[key] for key in ("image_id", "category_id", "score", field)} for row in results]
    evaluation = COCOeval(truth, truth.loadRes(rows), kind)
    points = len(truth.dataset["categories"][0]["keypoints"])
    evaluation.params.kpt_oks_sigmas = np.full(points, SIGMA)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {kind: float(evaluation.stats[0]), f"{kind}50": float(evaluation.stats[1])}
