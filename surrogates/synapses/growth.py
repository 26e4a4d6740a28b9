"""Growth of the number of latent parameters in which devices differ: one more is kept where the evidence favours it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from .drift import Drift
from .state_space_fit import StateFit

#: Gain in log evidence that one more latent parameter must bring.
MIN_GAIN = 20.0
#: Rounds of both fits, with and without it, before they are compared.
ROUNDS = 3
#: Initial standard deviation of the new weights and of the new latents, in units of their spread.
INITIAL = 0.3


def evidence(fit: StateFit) -> float:
    """Return the log evidence of a fit in which the latents of all devices are integrated out, by Laplace's method.

        ln p(reads) = ln p(reads | z) - z^2 / 2 s^2 - ln s + ln det(C)^(1/2),    C the posterior covariance of z

    Apart from weights and noise, which are taken at their optimum. The likelihood alone would favour any number of latents.
    """
    penalty = 0.5 * (((fit.latents - fit.middle) / fit.spread) ** 2).sum()
    _, log_det = np.linalg.slogdet(fit.covariance)
    return float(fit.posterior() - penalty - len(fit.latents) * np.log(fit.spread).sum() + 0.5 * log_det.sum())


def grow(fit: StateFit, improve: Callable[[StateFit, str], None], *, seed: int) -> StateFit:
    """Return the fit with one more latent parameter if the evidence favours it, otherwise the fit, improved equally.

    Args:
        fit: A fit all of whose latents are inputs of the network.
        improve: Improves a fit for `ROUNDS` rounds; receives the fit and the name of the step.
        seed: Seed of the new weights and latents.
    """
    same, larger = copy.deepcopy(fit), with_one_more(fit, seed)
    improve(same, "same latents")
    improve(larger, "one more latent")
    return larger if evidence(larger) > evidence(same) + MIN_GAIN else same


def with_one_more(fit: StateFit, seed: int) -> StateFit:
    """Return a copy of a fit with one more latent parameter: small, random, and with small random weights."""
    generator = torch.Generator().manual_seed(seed)
    old = fit.drift
    layers = [name for name in old.state_dict() if name.startswith("field.layers") and name.endswith("weight")]
    hidden = [len(old.state_dict()[name]) for name in layers]
    drift = Drift(
        replace(old.latents, shape=old.latents.shape + 1), old.extra, float(old.kappa), tied=old.tied, hidden=hidden,
        monotonic=old.monotonic, limits=old.limits, generator=generator,
    )  # fmt: skip
    weights = drift.state_dict()
    for name, value in old.state_dict().items():
        if value.shape == weights[name].shape:
            weights[name] = value.clone()
        else:
            new = INITIAL * weights[name][:, -1:]
            weights[name] = torch.cat([value, new if name.startswith("field.layers") else torch.zeros_like(new)], 1)
    drift.load_state_dict(weights)
    result = copy.copy(fit)
    column = INITIAL * np.random.default_rng(seed).standard_normal((len(fit.latents), 1))
    result.drift, result.latents = drift, np.concatenate([fit.latents, column], 1)
    result.spread, result.middle = np.append(fit.spread, 1.0), np.append(fit.middle + np.zeros_like(fit.spread), 0.0)
    result.covariance, result.history = np.zeros(0), [dict(entry) for entry in fit.history]
    return result
