"""Recordings: `Trace`, resampling, and the checks before a model is fitted."""
