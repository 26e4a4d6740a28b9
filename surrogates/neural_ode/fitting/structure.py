"""`Structure`: what a fit can choose about a model, and the structures that a search tries."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..embedding import Embedding
from ..embeddings.base import embedding_kind, embedding_names
from .config import FitConfig

#: Largest number of state values that the search tries.
MAX_STATE = 24

#: Penalties over the first one that the search tries.
RIDGE_FACTORS = (1.0, 30.0, 1000.0)

#: Hidden layers that the search tries. Small networks cost a fifth, and few data do not determine more weights.
WIDTHS: dict[str, tuple[tuple[int, ...], ...]] = {
    "quick": ((8, 8),),
    "default": ((8, 8), (16, 16)),
    "long": ((8, 8), (16, 16), (32, 32)),
}


@dataclass(frozen=True)
class Structure:
    """Structure of a model.

    Attributes:
        embedding: Kind of the embedding.
        order: Its order.
        hidden: Widths of the hidden layers; none for a linear model.
        ridge: Penalty on the squared weights.

    Example:
        >>> Structure("delay", 3, (16, 16), 3e-7).name
        'delay order 3, hidden 16 16, ridge 3e-07'
        >>> Structure("delay", 3, (), 3e-7).name
        'linear, delay order 3'
    """

    embedding: str
    order: int
    hidden: tuple[int, ...]
    ridge: float

    @property
    def linear(self) -> bool:
        """True for a linear model."""
        return not self.hidden

    @property
    def name(self) -> str:
        """The structure in a few words."""
        embedding = f"{self.embedding} order {self.order}"
        if self.linear:
            return f"linear, {embedding}"
        return f"{embedding}, hidden {' '.join(map(str, self.hidden))}, ridge {self.ridge:.0e}"

    def to_dict(self) -> dict[str, Any]:
        """Return the structure in plain JSON form."""
        return {**asdict(self), "hidden": list(self.hidden)}

    def settle(self, config: FitConfig) -> FitConfig:
        """Return settings in which this structure is chosen."""
        return replace(config, embedding=self.embedding, order=self.order, ridge=self.ridge, hidden=self.hidden or (1,))


def embeddings_to_try(config: FitConfig, outputs: int) -> list[Embedding]:
    """Return the embeddings that settings leave open, the smallest first.

    Args:
        config: Settings; a given kind or order is the only one.
        outputs: Number of outputs, each of which has `order` state values.

    Example:
        >>> [each.order for each in embeddings_to_try(FitConfig(embedding="delay", effort="quick"), outputs=1)]
        [1, 2, 3, 5]
    """
    kinds = [name for name in embedding_names() if embedding_kind(name).search_orders]
    tried = [
        Embedding(name, order)
        for name in (kinds if config.embedding is None else [config.embedding])
        for order in _orders(config, name)
        if order == config.order or order * outputs <= MAX_STATE
    ]
    return sorted(tried, key=lambda embedding: (embedding.order, not embedding.chain))


def _orders(config: FitConfig, name: str) -> tuple[int, ...]:
    kind = embedding_kind(name)
    if config.order is not None:
        return (config.order,) if config.order <= kind.max_order else ()
    return kind.search_orders.get(config.effort) or (1, 2, 3)


@dataclass(frozen=True)
class Variant:
    """What distinguishes fits in one embedding.

    Attributes:
        hidden: Widths of the hidden layers.
        ridge: Penalty on the squared weights.
        start: "linear" (from the linear model) or "random" (from random weights).
    """

    hidden: tuple[int, ...]
    ridge: float
    start: str

    def structure(self, embedding: Embedding) -> Structure:
        """Return the structure in an embedding."""
        return Structure(embedding.kind, embedding.order, self.hidden, self.ridge)


def variants_to_try(config: FitConfig, *, linear: bool) -> list[Variant]:
    """Return variants in the order in which they are worth their time; what the settings give is not varied.

    Args:
        config: Settings.
        linear: True if fits can start from a linear model.

    Example:
        >>> [(each.hidden, each.start) for each in variants_to_try(FitConfig(hidden=5, ridge=1e-6), linear=True)]
        [((5,), 'linear'), ((5,), 'random')]
    """
    starts = ("linear", "random") if linear else ("random",)
    ridges = [config.first_ridge * factor for factor in RIDGE_FACTORS] if config.ridge is None else [config.first_ridge]
    widths = WIDTHS[config.effort] if config.hidden is None else (config.hidden,)
    return [Variant(hidden, ridge, start) for ridge, hidden, start in itertools.product(ridges, widths, starts)]
