"""Tests on a real GPU: `pytest -m gpu tests/gpu`. Without one they are skipped, and say so."""
