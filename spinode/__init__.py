"""A measurement file in, a fast differentiable device model out, and a network trained on it."""

from .trace import Trace as Trace, TraceSet as TraceSet

__version__ = "0.1.0"  # the only place: the build reads it here
