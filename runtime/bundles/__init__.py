"""Models of several graphs, a file a kind: which parts it has, what they share, and the Runner that goes through them.

Each file has a strict dataclass `Parameters`, what bundle.json may say under `parameters`; `defaults(parameters) -> Config`,
what holds where the user asks for nothing else; and `runner_of(loaded, engines, config, *, imgsz) -> Runner`, which checks
that the parts fit together. Those that draw have other functions in place of the last two: _generator.py.
In: bundle.Loaded and an Engine a role.  Out: a Runner.
"""
