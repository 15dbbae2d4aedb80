"""Named cameras in a YAML file: what they are, which models see them, where results go.

In: a file.  Out: what a Pipeline is made of.  Read load.py (the way in), schema.py (every key), assemble.py (what it becomes).
"""
