"""Identities: which box of one frame is which of the frame before, on each stream by itself.

Read first: tracker.py; then motion.py for where objects are expected, assignment.py for who takes which box.
"""

from vedette.runtime.tracking.tracker import TrackConfig as TrackConfig
from vedette.runtime.tracking.tracker import Tracker as Tracker
