"""Settings of a fit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ....dynamics.field import ACTIVATIONS
from ....errors import ConfigError
from ....validation import MAX_COUNT, flag, merge_settings, number, one_of, seed_number, whole_number, whole_numbers
from ..embeddings.base import embedding_kind, embedding_names
from ..output_map import parse_output_maps

METHODS = ("gauss-newton", "adam")
EFFORTS = ("quick", "default", "long")
RESAMPLINGS = ("spline", "band-limited")

#: Embeddings whose models are fitted to whole recordings, and what these models are called.
RECURSIVE = {"latent": "latent modes", "memristive": "hidden states"}

#: Hidden layers, shooting windows and penalty from which the search starts.
DEFAULT_HIDDEN, DEFAULT_WINDOWS, DEFAULT_RIDGE, DEFAULT_ITERATIONS = (16, 16), (1, 8, 40, 160), 3e-7, 15

#: Largest width of a hidden layer, and longest shooting window in samples.
MAX_SIZE = 4096

#: Largest number of fits, of iterations or epochs of a stage, and of hidden layers or windows: more takes days, not hours.
MAX_FITS, MAX_ITERATIONS, MAX_STAGES = 1000, 100_000, 32

#: Largest number of weights by method: Gauss-Newton stores several matrices of that size squared, Adam a few vectors.
MAX_WEIGHTS = {"gauss-newton": 6000, "adam": 10_000_000}


@dataclass(frozen=True)
class FitConfig:
    """Settings of `fit`. The structure search chooses those that are None, by how well fits predict validation segments.

    Attributes:
        effort: Time spent on the search: "quick" (10 to 20 s of one core for 10 000 samples), "default" (30 to 60 s) or "long"
            (about 4 min).
        sample_interval: Interval of the grid that recordings are resampled to, and of one Runge-Kutta step [s]; the median
            interval of the recordings if None. About ten to forty samples per period of the fastest motion that matters.
        resampling: "spline" or "band-limited", see `spinode.resample`.
        output_map: What an instrument does to an output, NAME=abs or NAME=clip:LOW:HIGH, in Python also {"NAME": "abs"} or
            {"NAME": ("clip", low, high)}: the state follows the output before it, and what `simulate` returns is clipped or
            rectified like the recording. Detected if None; () for none.
        embedding: {embeddings}; searched if None.
        order: Number of blocks of the embedding; searched if None.
        feedthrough: Learn a direct path from drive to output; None for the default of the embedding: True for "derivative",
            False for "delay".
        hidden: Widths of the hidden layers; searched if None, around `DEFAULT_HIDDEN`.
        activation: "tanh", "silu", "softplus" or "relu".
        method: "gauss-newton" (multiple shooting, seconds to minutes) or "adam" (Lightning; any field, any size).
        windows: Lengths of the shooting windows, in samples, one stage each; `DEFAULT_WINDOWS` and longer ones that help
            if None.
        iterations: Largest number of Gauss-Newton steps of each stage; 15, and more of the best fit while they help, if None.
        epochs: Epochs of each stage of the "adam" method.
        learning_rate: First learning rate of the "adam" method; it decays as a cosine to zero in each stage.
        batch_size: Windows per batch of the "adam" method.
        ridge: Penalty on the squared weights over the mean squared residual. Larger is smoother outside the data. Searched if
            None, from `DEFAULT_RIDGE` on.
        restarts: Number of fits from different initial weights, among which the consensus chooses.
        members: Number of restarts that are kept; 1 keeps the best one. Below 6000 samples each contributes its fits of
            all splits as members of the surrogate.
        validation: Share of each recording, at its end, that is kept from the fit for stopping, choice and calibration.
        max_samples: Largest number of samples of one Gauss-Newton step.
        seed: Seed of everything random.

    Raises:
        ConfigError: a value outside its range, or settings that exclude each other.

    Example:
        >>> FitConfig(order=2, hidden=32, members=6).restarts  # an ensemble needs as many restarts
        6
        >>> FitConfig(effort="fast")
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: effort is 'fast'; expected one of quick, default, long.
    """

    effort: str = "default"
    sample_interval: float | None = None
    resampling: str = "spline"
    output_map: tuple[str, ...] | None = None
    embedding: str | None = None
    order: int | None = None
    feedthrough: bool | None = None
    hidden: tuple[int, ...] | None = None
    activation: str = "tanh"
    method: str = "gauss-newton"
    windows: tuple[int, ...] | None = None
    iterations: int | None = None
    epochs: int = 20
    learning_rate: float = 1e-2
    batch_size: int = 64
    ridge: float | None = None
    restarts: int = 4
    members: int = 1
    validation: float = 0.1
    max_samples: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("resampling", self.resampling, RESAMPLINGS)
        if self.output_map is not None:
            object.__setattr__(self, "output_map", parse_output_maps(self.output_map))
        one_of("effort", self.effort, EFFORTS)
        if self.embedding is not None:
            one_of("embedding", self.embedding, embedding_names())
        if self.embedding in RECURSIVE:
            self._check_recursive(RECURSIVE[self.embedding])
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("method", self.method, METHODS)
        limits = {"epochs": MAX_ITERATIONS, "iterations": MAX_ITERATIONS, "restarts": MAX_FITS, "members": MAX_FITS}
        counts = ("epochs", "batch_size", "restarts", "members", "max_samples", "iterations")
        checked: dict[str, Any] = {
            name: whole_number(name, whole_number(name, getattr(self, name), 1), 1, limits.get(name, MAX_COUNT))
            for name in counts
            if getattr(self, name) is not None
        }
        checked["seed"] = seed_number("seed", self.seed)
        for name, example in (("hidden", (16, 16)), ("windows", (1, 8, 40, 160))):
            if getattr(self, name) is not None:
                checked[name] = whole_numbers(name, getattr(self, name), 1, MAX_SIZE, example=example)
                if len(checked[name]) > MAX_STAGES:
                    raise ConfigError(f"{name} has {len(checked[name])} values; expected at most {MAX_STAGES}.")
        self._check_weights(checked.get("hidden", ()))
        for name, low, high in (("ridge", 0.0, 1.0), ("learning_rate", 1e-8, 1.0), ("validation", 0.02, 0.5)):
            if getattr(self, name) is not None:
                checked[name] = number(name, getattr(self, name), low, high)
        if self.order is not None:
            kinds = embedding_names() if self.embedding is None else [self.embedding]
            checked["order"] = whole_number("order", self.order, 1, max(embedding_kind(kind).max_order for kind in kinds))
        if self.feedthrough is not None:
            checked["feedthrough"] = flag("feedthrough", self.feedthrough)
        if self.sample_interval is not None:
            checked["sample_interval"] = number("sample_interval", self.sample_interval, 0, above=True, unit="s")
        checked["restarts"] = max(checked["restarts"], checked["members"])
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def _check_weights(self, hidden: tuple[int, ...]) -> None:
        """Refuse a network that would be built for minutes, or not fit into memory, before the fit itself refuses it."""
        widths = (1, sum(hidden), 1) if self.embedding == "latent" else (1, *hidden, 1)
        fewest = sum((first + 1) * second for first, second in itertools.pairwise(widths))
        if hidden and fewest > MAX_WEIGHTS[self.method]:
            raise ConfigError(
                f"hidden is {hidden}, a network of at least {fewest} weights; expected at most {MAX_WEIGHTS[self.method]} with "
                f"method={self.method!r}. Use a smaller network, such as hidden=(16, 16)"
                + (", or method='adam'." if self.method == "gauss-newton" and self.embedding != "latent" else ".")
            )

    def _check_recursive(self, name_of_kind: str) -> None:
        """Refuse settings that have no effect on models that are fitted to whole recordings."""
        given = {name: getattr(self, name) for name in ("windows", "ridge") if getattr(self, name) is not None}
        without_effect = ("method", *(("activation", "restarts", "members") if self.embedding == "memristive" else ()))
        defaults = {field.name: field.default for field in fields(self)}
        given |= {name: getattr(self, name) for name in without_effect if getattr(self, name) != defaults[name]}
        if self.embedding == "memristive" and self.feedthrough is not None:
            given["feedthrough"] = self.feedthrough
        if given:
            name, value = next(iter(given.items()))
            raise ConfigError(
                f"{name} is {value!r}, which has no effect on embedding='{self.embedding}': {name_of_kind} are fitted by "
                f"Gauss-Newton to whole recordings and choose their ridge. Leave {name} out, or use embedding='derivative'."
            )

    @property
    def first_hidden(self) -> tuple[int, ...]:
        """Hidden layers of the first fits."""
        return DEFAULT_HIDDEN if self.hidden is None else self.hidden

    @property
    def first_ridge(self) -> float:
        """Penalty of the first fits."""
        return DEFAULT_RIDGE if self.ridge is None else self.ridge

    @property
    def first_windows(self) -> tuple[int, ...]:
        """Shooting windows of the first fits."""
        return DEFAULT_WINDOWS if self.windows is None else self.windows

    @property
    def first_iterations(self) -> int:
        """Largest number of Gauss-Newton steps of each stage."""
        return DEFAULT_ITERATIONS if self.iterations is None else self.iterations

    def to_dict(self) -> dict[str, Any]:
        """Return the settings in plain JSON form."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> FitConfig:
        """Build a configuration from the result of `to_dict`.

        Raises:
            ConfigError: a key that is not a setting, or a value outside its range.

        Example:
            >>> FitConfig.from_dict(FitConfig(seed=3).to_dict()) == FitConfig(seed=3)
            True
        """
        return merge_settings(cls, None, stored, what="fit")


def _describe_embeddings() -> str:
    """Return the names of the embeddings with a few words each, for the docstring."""
    summaries = {name: embedding_kind(name).summary for name in embedding_names()}
    return ", ".join(f'"{name}" ({summary})' if summary else f'"{name}"' for name, summary in summaries.items())


FitConfig.__doc__ = (FitConfig.__doc__ or "").replace("{embeddings}", _describe_embeddings())
