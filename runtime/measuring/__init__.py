"""How fast a model runs here, and whether it became slower: what `vedette bench` measures, keeps, compares and shows.

rounds.py starts a fresh process for each round of each combination; measure.py runs the pipeline there with probes.py
at its seams; recorder.py cuts time into Blocks (blocks.py), each with the distributions (sketch.py) of its frames, what the
host did meanwhile (host.py) and what the GPU did (gauges.py). warmup.py finds where the steady state begins. record.py is the
JSON, comparison.py judges two of them, report.py draws one.
"""
