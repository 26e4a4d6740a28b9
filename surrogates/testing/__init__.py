"""Conformance tests for surrogates, and small surrogates with known equations."""

from .contract import SPLINE_LOOKAHEAD as SPLINE_LOOKAHEAD, SurrogateContract as SurrogateContract
from .examples import resonator as resonator, small_surrogate as small_surrogate
