"""Recordings: the `Trace`, its resampling, and the checks that run before a model is fitted to it."""
