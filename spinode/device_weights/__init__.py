"""Weights that live in memory devices: storage, programming, and state dicts."""
