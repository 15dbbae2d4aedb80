"""`python -m benchmarks.gpu`: run.py, whose neighbours import one another by their names."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.argv[0] = str(Path(__file__).with_name("run.py"))
runpy.run_path(sys.argv[0], run_name="__main__")
