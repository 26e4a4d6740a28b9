"""Weights stored in memory devices: programming, encoding, and state dicts."""
