"""The filter, against the textbook's with whole matrices."""

import numpy as np

from vedette.runtime.frame import Array
from vedette.runtime.tracking.motion import DISTURBED, MEASURED, SPEED, Motion, overlaps

STEPS = (0.04, 0.04, 0.12, 0.033, 0.5, 0.04)


def boxes_at(values: Array) -> Array:
    """Corners [N, 4] of centre and size."""
    return np.concatenate([values[:, :2] - values[:, 2:] / 2, values[:, :2] + values[:, 2:] / 2], axis=1)


def textbook(values: list[Array], seconds: tuple[float, ...]) -> tuple[Array, Array]:
    """One object's mean [8] and covariance [8, 8] by F, Q, H and R; values [4] are centre and size, one a step and one before."""

    def size(value: Array) -> float:
        return float(np.sqrt(value[2] * value[3]))

    start = size(values[0])
    mean = np.concatenate([values[0], np.zeros(4)])
    cov = np.diag(np.concatenate([(start * MEASURED) ** 2, (start * SPEED) ** 2]))
    one, none = np.eye(4), np.zeros((4, 4))
    for value, dt in zip(values[1:], seconds, strict=True):
        noise = np.diag((size(mean) * DISTURBED) ** 2)
        move = np.block([[one, dt * one], [none, one]])
        cov = move @ cov @ move.T + np.block(
            [[noise * dt**3 / 3, noise * dt**2 / 2], [noise * dt**2 / 2, noise * dt]]
        )
        mean = move @ mean
        see = np.block([[one, none]])
        whole = see @ cov @ see.T + np.diag((size(value) * MEASURED) ** 2)
        gain = cov @ see.T @ np.linalg.inv(whole)
        mean, cov = mean + gain @ (value - see @ mean), (np.eye(8) - gain @ see) @ cov
    return mean, cov


def test_it_is_the_textbook_s_filter() -> None:
    rng = np.random.default_rng(0)
    path = np.array([100.0, 80, 30, 60]) + np.cumsum(
        rng.normal(0, 2, (len(STEPS) + 1, 3, 4)), axis=0
    )  # [steps, T, 4]
    motion = Motion.of(boxes_at(path[0]))
    for values, seconds in zip(path[1:], STEPS, strict=True):
        motion.move(seconds, unseen=np.zeros(3, bool))
        motion.correct(np.arange(3), boxes_at(values))
    for track in range(3):
        mean, cov = textbook(list(path[:, track]), STEPS)
        value, velocity, variance, covariance, strayed = motion.state[:, track]
        np.testing.assert_allclose(np.concatenate([value, velocity]), mean, rtol=1e-9)
        np.testing.assert_allclose(variance, np.diag(cov)[:4], rtol=1e-9)
        np.testing.assert_allclose(covariance, np.diag(cov[:4, 4:]), rtol=1e-9)
        np.testing.assert_allclose(strayed, np.diag(cov)[4:], rtol=1e-9)


def test_a_long_step_is_many_short_ones() -> None:
    one = Motion.of(np.array([[0.0, 0, 20, 40]]))
    one.state[1, 0, :2] = 30, -10
    other = Motion(one.state.copy())
    one.move(0.4, unseen=np.zeros(1, bool))
    for _ in range(40):
        other.move(0.01, unseen=np.zeros(1, bool))
    np.testing.assert_allclose(one.state, other.state, rtol=1e-9)


def test_what_is_not_seen_moves_on_and_keeps_its_size() -> None:
    motion = Motion.of(np.array([[0.0, 0, 20, 40]]))
    motion.state[1, 0] = 30, -10, 50, -500
    motion.move(0.5, unseen=np.ones(1, bool))
    np.testing.assert_allclose(motion.boxes_xyxy, [[15, -5, 35, 35]])


def test_a_size_stays_above_nothing() -> None:
    motion = Motion.of(np.array([[0.0, 0, 20, 40]]))
    motion.state[1, 0, 2:] = -1000
    motion.move(1, unseen=np.zeros(1, bool))
    np.testing.assert_allclose(motion.state[0, 0, 2:], 1)


def test_a_larger_picture_is_the_same_motion_in_its_pixels() -> None:
    boxes = np.array([[0.0, 0, 20, 40], [50, 10, 80, 90]])
    small, large = Motion.of(boxes), Motion.of(boxes * 3)
    for step in range(1, 5):
        for motion, gain in ((small, 1), (large, 3)):
            motion.move(0.04, unseen=np.zeros(2, bool))
            motion.correct(np.arange(2), gain * (boxes + 2 * step))
    small.enlarge(np.array([3.0, 3.0]))
    np.testing.assert_allclose(small.state, large.state, rtol=1e-9)


def test_overlaps_by_hand() -> None:
    one = np.array([[0.0, 0, 10, 10], [5, 5, 5, 5]])
    other = np.array([[5.0, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(overlaps(one, other), np.array([[1 / 3, 1, 0], [0, 0, 0]]))
    assert overlaps(one, other[:0]).shape == (2, 0)
