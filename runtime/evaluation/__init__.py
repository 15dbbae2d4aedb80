"""How good results are, measured as the field does: detection, masks, keypoints, label maps, single scores.

Read first: datasets.py for what is read, detection.py for what is made of it, evaluation.py for what comes out.
COCO's numbers are faster-coco-eval's; the other variants of AP are in average_precision.py, the counts in matching.py.
"""
