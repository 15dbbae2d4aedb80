"""The accuracy gate: an engine whose decisions differ from its fp32 reference's is refused.  Read verify.py first."""
