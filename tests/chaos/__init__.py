"""Faults on purpose: cameras that die, disks that fill, signals at any moment, and what must be true all the same.

Each program here prints its figures and the limits they must keep, and exits 1 beyond one:
    cd tests && python -m chaos.reconnect [--times 1]
--times 3 (as test_chaos.py runs them) allows deadlines three times as much, for machines that are busy.
"""
