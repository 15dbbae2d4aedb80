"""What the zoo's own networks learn from (scenes.py) and the program that trains each: python -m vedette.export.training.NAME."""
