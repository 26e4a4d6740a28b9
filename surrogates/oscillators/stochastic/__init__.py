"""Neural SDEs: drift and noise of a noisy device, learned from its recordings."""

from .config import StochasticConfig as StochasticConfig
from .fit import fit_stochastic as fit_stochastic
from .model import StochasticSurrogate as StochasticSurrogate
