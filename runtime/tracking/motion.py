"""Where objects are expected: a Kalman filter of constant velocity for all of them at once.

In: boxes, and the seconds between them.  Out: where they are by then.  Next: tracker.py.
Centre x, centre y, width and height are filtered each by itself, so that a covariance is three numbers. Velocities are
disturbed by white noise (Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001,
6.2.2); as in SORT (Bewley et al., 2016) and its kin, every deviation is in proportion to the object's size.
"""

from dataclasses import dataclass

import numpy as np

from vedette.runtime.frame import Array

MEASURED = np.array([0.07, 0.07, 0.08, 0.08])  # deviation of a found centre and size, of the object's size
DISTURBED = np.array([0.5, 0.4, 0.2, 0.2])  # how far a velocity strays in a second, sizes per second
SPEED = np.array([2.0, 2.0, 0.3, 0.3])  # deviation of the velocity of what was seen once, sizes per second


@dataclass(slots=True, eq=False)
class Motion:
    """States of T objects; the last axis is centre x, centre y, width, height.

    Attributes:
        state: float64 [5, T, 4]: value in pixels, velocity per second, and their variance, covariance, variance.
    """

    state: Array

    @classmethod
    def of(cls, boxes_xyxy: Array) -> "Motion":
        """Of what was seen once: its velocity is 0 and not known."""
        value = cxcywh_of(boxes_xyxy)
        size = _size(value)
        zero = np.zeros_like(value)
        return cls(np.stack([value, zero, (size * MEASURED) ** 2, zero, (size * SPEED) ** 2]))

    def __getitem__(self, rows: Array) -> "Motion":
        return Motion(self.state[:, rows])

    def joined(self, other: "Motion") -> "Motion":
        """These and others behind them."""
        return Motion(np.concatenate([self.state, other.state], axis=1))

    @property
    def boxes_xyxy(self) -> Array:
        """float64 [T, 4]."""
        centre, half = self.state[0, :, :2], self.state[0, :, 2:] / 2
        return np.concatenate([centre - half, centre + half], axis=1)

    def move(self, seconds: float, *, unseen: Array) -> None:
        """Let time pass.

        Args:
            seconds: 0 or more.
            unseen: bool [T], those whose last box is older than a frame: they keep their size.
        """
        value, velocity, variance, covariance, strayed = self.state
        velocity[unseen, 2:] = 0
        noise = (_size(value) * DISTURBED) ** 2 * seconds
        value += velocity * seconds
        variance += (2 * covariance + (strayed + noise / 3) * seconds) * seconds
        covariance += (strayed + noise / 2) * seconds
        strayed += noise
        np.maximum(value[:, 2:], 1.0, out=value[:, 2:])

    def correct(self, rows: Array, boxes_xyxy: Array) -> None:
        """Take in where some were found: rows int64 [N], boxes [N, 4]."""
        value, velocity, variance, covariance, strayed = self.state[:, rows]
        found = cxcywh_of(boxes_xyxy)
        whole = variance + (_size(found) * MEASURED) ** 2
        gain, speed_gain, away = variance / whole, covariance / whole, found - value
        self.state[:, rows] = (
            value + gain * away, velocity + speed_gain * away,
            variance * (1 - gain), covariance * (1 - gain), strayed - speed_gain * covariance,
        )  # fmt: skip

    def surprise(self, boxes_xyxy: Array) -> Array:
        """How far boxes [N, 4] are from where each is expected, squared, in deviations of the centre: float64 [T, N]."""
        found = cxcywh_of(boxes_xyxy)
        spread = self.state[2, :, None, :2] + (_size(found) * MEASURED[:2]) ** 2  # [T, N, 2]
        away: Array = ((found[:, :2] - self.state[0, :, None, :2]) ** 2 / spread).sum(axis=2)
        return away

    def enlarge(self, gain: Array) -> None:
        """The picture has another size now: gain [2] of width and height."""
        gains = np.tile(gain, 2)
        self.state[:2] *= gains
        self.state[2:] *= gains**2


def cxcywh_of(boxes_xyxy: Array) -> Array:
    """Centre and size, float64 [N, 4]."""
    low, high = boxes_xyxy[:, :2].astype(np.float64), boxes_xyxy[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def _size(cxcywh: Array) -> Array:
    """The geometric mean of width and height, at least a pixel: [N, 1]."""
    size: Array = np.sqrt(np.maximum(cxcywh[:, 2:3] * cxcywh[:, 3:4], 1.0))
    return size


def overlaps(one_xyxy: Array, other_xyxy: Array) -> Array:
    """IoU of all pairs: [T, 4] and [N, 4] to float64 [T, N]; 0 where both are empty."""
    one, other = one_xyxy.T[:, :, None], other_xyxy.T[:, None].astype(np.float64)
    across = np.minimum(one[2], other[2]) - np.maximum(one[0], other[0])
    down = np.minimum(one[3], other[3]) - np.maximum(one[1], other[1])
    common = np.maximum(across, 0) * np.maximum(down, 0)
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    share: Array = common / np.maximum(areas - common, 1e-9)
    return share
