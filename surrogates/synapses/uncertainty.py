"""Uncertainty of fitted noise: credible intervals in the unit of the conductance, and samples of a normal posterior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from .noise import NoiseModel

#: Samples of the posterior from which intervals are computed.
SAMPLES = 4000


def noise_intervals(
    model: NoiseModel,
    noise: Tensor,
    covariance: Tensor,
    unit: float,
    *,
    steps: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Return each kind of noise with its 95 % credible interval.

    "accumulating SET" is the part that one pulse adds at the middle of the range and that stays. "per pulse SET" includes the
    correlated part, which decays over later pulses.

    Args:
        model: Form of the noise.
        noise: Its parameters, shape (parameters,).
        covariance: Their posterior covariance, shape (parameters, parameters).
        unit: Standard deviation of the state in the unit of the result.
        steps: Size of the step of one pulse at the middle of the range, by polarity; needed where noise is relative to it.
        seed: Seed of the samples.

    Returns:
        Standard deviation, lower and upper end of its interval, by name.
    """
    size = len(noise)
    factor = torch.linalg.cholesky(covariance + 1e-12 * torch.eye(size, dtype=torch.float64))
    normal = torch.randn(SAMPLES, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sampled = torch.cat([noise[None], noise + normal @ factor.T])
    by_name = dict(zip(model.names, sampled.T, strict=True))
    deviations: dict[str, Tensor] = {"read": by_name["log read"].exp()}
    fresh = torch.zeros(len(sampled), dtype=torch.float64)
    if model.memory:
        deviations["correlated"] = by_name["log correlated read"].exp()
        fresh = deviations["correlated"] ** 2 * (1 - torch.exp(-2 / by_name["log memory"].exp()))
    for name in model.polarities:
        zero = torch.zeros(len(sampled), dtype=torch.float64)
        constant = zero if model.pure else by_name[f"log accumulating {name}"].exp()
        relative = zero
        if model.relative:
            assert steps is not None
            relative = by_name[f"log relative {name}"].exp() * abs(steps[name])
        deviations[f"accumulating {name}"] = torch.hypot(constant, relative)
        deviations[f"per pulse {name}"] = (deviations[f"accumulating {name}"] ** 2 + fresh).sqrt()
    intervals = {}
    for name, values in deviations.items():
        scaled = (values * unit).numpy()
        low, high = np.quantile(scaled[1:], [0.025, 0.975])
        intervals[name] = (float(scaled[0]), float(low), float(high))
    return intervals


def sample_normal(covariance: Tensor, generator: torch.Generator) -> Tensor:
    """Sample from a normal distribution of mean zero; the covariance may be singular."""
    values, vectors = torch.linalg.eigh(covariance)
    normal = torch.randn(len(values), generator=generator, dtype=torch.float64)
    sample: Tensor = vectors @ (values.clamp(min=0).sqrt() * normal)
    return sample
