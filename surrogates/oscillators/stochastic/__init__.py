"""Neural SDEs: drift and noise of a noisy device, learned from its trace."""

from .fit import StochasticConfig as StochasticConfig, fit_stochastic as fit_stochastic
from .model import StochasticSurrogate as StochasticSurrogate
