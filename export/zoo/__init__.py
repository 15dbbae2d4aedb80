"""The weights that ship with the project, and convert.py that made them."""
