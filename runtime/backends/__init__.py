"""One file a backend; engine.py says what each file has."""
