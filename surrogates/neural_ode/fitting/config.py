"""Settings of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ....dynamics.field import ACTIVATIONS
from ....errors import ConfigError
from ..embeddings.base import embedding_kind, embedding_names


@dataclass(frozen=True)
class FitConfig:
    """How a surrogate is fitted. The defaults suit one or two drives and a resonant or relaxing device.

    Attributes:
        sample_interval: Interval of the grid the recording is resampled to, and of one Runge-Kutta step [s]; the median
            interval of the recording if None. About ten to forty samples per period of the fastest motion that matters.
        resampling: "spline" or "band-limited", see `spinode.resample`.
        embedding: "derivative" (causal, holds across drives) or "delay" (the forward samples of Chen et al. 2022).
        order: Blocks of the embedding; chosen from the data if None.
        feedthrough: Learn a direct path from drive to output; None means yes for "derivative", no for "delay".
        hidden: Widths of the hidden layers.
        activation: "tanh", "silu", "softplus" or "relu".
        method: "gauss-newton" (multiple shooting, seconds to minutes) or "adam" (Lightning; any field, any size).
        windows: Lengths of the shooting windows, in samples, one stage each.
        iterations: Bound on the Gauss-Newton steps of each stage.
        epochs: Epochs of each stage of the "adam" method.
        learning_rate: First learning rate of the "adam" method; cosine decay to zero in each stage.
        batch_size: Windows per batch of the "adam" method.
        ridge: Penalty on the squared weights over the mean squared residual. Larger is smoother outside the data.
        restarts: Fits from different initial weights, among which the consensus chooses.
        members: Size of the ensemble that is kept; 1 keeps the best fit.
        validation: Share of each recording, at its end, that is kept from the fit for stopping, choice and calibration.
        max_samples: Most samples that one Gauss-Newton step looks at.
        seed: Seed of everything random.

    Raises:
        ConfigError: a value outside its range.
    """

    sample_interval: float | None = None
    resampling: str = "spline"
    embedding: str = "derivative"
    order: int | None = None
    feedthrough: bool | None = None
    hidden: tuple[int, ...] = (16, 16)
    activation: str = "tanh"
    method: str = "gauss-newton"
    windows: tuple[int, ...] = (1, 8, 40, 160)
    iterations: int = 15
    epochs: int = 20
    learning_rate: float = 1e-2
    batch_size: int = 64
    ridge: float = 3e-7
    restarts: int = 4
    members: int = 1
    validation: float = 0.1
    max_samples: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden", "windows"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise ConfigError(f"{name} is {value!r}; expected whole numbers, e.g. {getattr(FitConfig, name)}.")
            object.__setattr__(self, name, tuple(_plain(item) for item in value))
        for name in ("order", "iterations", "epochs", "batch_size", "restarts", "members", "max_samples", "seed"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        if self.feedthrough not in (None, True, False):
            raise ConfigError(f"feedthrough is {self.feedthrough!r}; expected True, False or None.")
        _one_of("embedding", self.embedding, tuple(embedding_names()))
        _one_of("activation", self.activation, tuple(ACTIVATIONS))
        _one_of("method", self.method, ("gauss-newton", "adam"))
        _one_of("resampling", self.resampling, ("spline", "band-limited"))
        for name in ("iterations", "epochs", "batch_size", "restarts", "members", "max_samples"):
            _whole(name, getattr(self, name), 1)
        _whole("seed", self.seed, 0)
        if self.order is not None:
            _whole("order", self.order, 1, embedding_kind(self.embedding).max_order)
        for name in ("windows", "hidden"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty; expected whole numbers, e.g. {getattr(type(self)(), name)}.")
            for value in getattr(self, name):
                _whole(name, value, 1, 4096)
        for name, low, high in (("ridge", 0.0, 1.0), ("learning_rate", 1e-8, 1.0), ("validation", 0.02, 0.5)):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and low <= value <= high):
                raise ConfigError(f"{name} is {value!r}; expected a number from {low} to {high}.")
        if self.sample_interval is not None and not (
            isinstance(self.sample_interval, (int, float)) and 0 < self.sample_interval < float("inf")
        ):
            raise ConfigError(f"sample_interval is {self.sample_interval!r}; expected a positive number of seconds.")
        if self.members > self.restarts:
            object.__setattr__(self, "restarts", self.members)

    @classmethod
    def of(cls, **settings: Any) -> FitConfig:
        """Build from keywords.

        Raises:
            ConfigError: a keyword that is no setting.
        """
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                raise ConfigError(f"{name!r} is no setting of a fit; the settings are: {', '.join(known)}.")
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> FitConfig:
        """Inverse of `to_dict`."""
        return cls.of(**dict(stored))


def _plain(value: Any) -> Any:
    """A whole number of NumPy as Python's, which JSON knows."""
    return int(value) if isinstance(value, np.integer) else value


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(known)}.")


def _whole(name: str, value: Any, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        bound = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise ConfigError(f"{name} is {value!r}; expected a whole number {bound}.")
