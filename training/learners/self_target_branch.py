"""`Branch`: one network of `SelfDefinedTarget`, trained or a control, with its rule, optimisers, devices and read-outs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...identity import module_parts
from ..layers.read_out import fit_read_out
from ..layers.responders import Responder
from ..layers.storage import StoredWeights
from ..rules.association import associate, class_means, class_scores
from ..rules.self_target import SelfTarget

#: Samples whose outputs are computed at a time.
BLOCK = 1000
#: Weight of a batch in the class means of a stream without boundaries.
RUNNING = 0.05
#: What is computed from the outputs when a task ends, and is no part of what a run must agree with.
_RESULTS = ("means", "read_out", "read_out_bias")


class Branch(nn.Module):
    """One network.

    Args:
        network: The network.
        rule: Makes targets of its outputs; None for a network that is not trained.
        classes: Number of classes.
        outputs: Number of outputs.
        optimisers: Of unsupervised and of supervised steps.
    """

    means: Tensor
    read_out: Tensor
    read_out_bias: Tensor
    stores: Any  # nn.ModuleList, whose element type is unknown to type checkers

    def __init__(
        self,
        network: Responder,
        rule: SelfTarget | None,
        classes: int,
        outputs: int,
        optimisers: Sequence[torch.optim.Optimizer] = (),
    ) -> None:
        super().__init__()
        self.network, self.rule, self.optimisers, self.classes = network, rule, list(optimisers), classes
        self.stores = nn.ModuleList()
        self.register_buffer("means", torch.zeros(classes, outputs))
        self.register_buffer("read_out", torch.zeros(classes, outputs))
        self.register_buffer("read_out_bias", torch.zeros(classes))

    def identity_parts(self) -> dict[str, Any]:
        """Return all parts but what is computed when a task ends."""
        plain = frozenset(vars(nn.Module()))
        return {name: value for name, value in module_parts(self, plain).items() if name not in _RESULTS}

    def to_devices(self, make: Any) -> None:
        """Store the weights of each layer in devices that `make` returns for its parameter."""
        for layer in self.network.layers:
            self.stores.append(make(layer.weight))

    def _weights(self) -> list[Tensor] | None:
        return [store.read() for store in self.stores] if len(self.stores) else None

    # --- learning -----------------------------------------------------------------------------------------------------

    def learn_without_labels(self, inputs: Tensor, masks: Sequence[Tensor | None], *, sequential: bool, sign: float) -> Tensor:
        """Take a step towards the target that the outputs define, and return the loss."""
        assert self.rule is not None
        outputs = self.network.respond(inputs, masks, self._weights())
        target = self.rule.target(outputs, masks[-1], sequential=sequential)
        return self._step(target, 0, sign)

    def learn_with_labels(
        self, inputs: Tensor, labels: Tensor, masks: Sequence[Tensor | None], *, which: int, sign: float
    ) -> Tensor:
        """Take a step towards the labels with one of the optimisers, and return the loss."""
        assert self.rule is not None
        outputs = self.network.respond(inputs, masks, self._weights())
        target = nn.functional.one_hot(labels, outputs.shape[1]).to(outputs)
        smoothing = self.rule.smoothing
        target.mul_(1 - smoothing).add_(smoothing / outputs.shape[1])
        return self._step(target, which, sign)

    def _step(self, target: Tensor, which: int, sign: float) -> Tensor:
        loss = self.network.descend(target, sign)
        self.optimisers[which].step()
        for layer, store in zip(self.network.layers, self.stores, strict=False):
            store.update(layer.weight)
        return loss

    # --- outputs and what they mean -----------------------------------------------------------------------------------

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs of samples, shape (samples, outputs)."""
        return self.network.outputs(inputs, self._weights())

    def associate(self, inputs: Tensor, labels: Tensor) -> None:
        """Take over the mean outputs of the classes of labelled samples; other classes keep theirs."""
        sums, counts = torch.zeros_like(self.means), self.means.new_zeros(self.classes)
        for rows in torch.arange(len(labels)).split(BLOCK):
            means, found = class_means(self.outputs(inputs[rows]), labels[rows], self.classes)
            sums += means * found[:, None]
            counts += found
        seen = counts > 0
        self.means[seen] = sums[seen] / counts[seen, None]

    def follow(self, inputs: Tensor, labels: Tensor) -> None:
        """Move the mean outputs of the classes of a batch, where a stream has no boundaries."""
        means, counts = class_means(self.outputs(inputs), labels, self.classes)
        seen = counts > 0
        is_new = self.means[seen].sum(1, keepdim=True) == 0
        self.means[seen] = torch.where(is_new, means[seen], self.means[seen].lerp(means[seen], RUNNING))

    def fit_read_out(self, inputs: Tensor, labels: Tensor, settings: dict[str, Any], seed: int) -> None:
        """Fit a linear classifier of the outputs to labelled samples."""
        generator = torch.Generator().manual_seed(seed)
        features = torch.cat([self.outputs(inputs[rows]).half() for rows in torch.arange(len(labels)).split(BLOCK)])
        weight, bias = fit_read_out(features, labels, self.classes, **settings, generator=generator)
        self.read_out.copy_(weight)
        self.read_out_bias.copy_(bias)

    def scores(self, inputs: Tensor, how: str) -> Tensor:
        """Return scores of the classes, shape (samples, classes).

        Args:
            inputs: Shape (samples, features).
            how: "mean" or "maximum" of the outputs of a class, "read-out", or "outputs" that are classes themselves.
        """
        outputs = self.outputs(inputs)
        if how == "outputs":
            return outputs
        if how == "read-out":
            return nn.functional.linear(outputs, self.read_out, self.read_out_bias)
        return class_scores(outputs, associate(self.means), self.classes, by=how)

    def silent(self) -> float:
        """Return the share of outputs without a class."""
        return float((associate(self.means) < 0).double().mean())

    def stateful_parts(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield the optimisers by name."""
        for index, optimiser in enumerate(self.optimisers):
            yield f"{name} optimiser {index}", optimiser

    @property
    def device_stores(self) -> list[StoredWeights]:
        """The weights in devices."""
        return list(self.stores)
