"""EWC and SI: quadratic penalties that hold weights where tasks left them, for any loop of torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError, FitError

#: What a forward pass gives for `fisher_information`: logits, and input and output of each linear layer in turn.
Traced = tuple[Tensor, Sequence[tuple[Tensor, Tensor]]]


def fisher_information(
    forward: Callable[[Tensor], Traced], inputs: Tensor, labels: Tensor, *, batch: int = 500
) -> list[Tensor]:
    """Diagonal of the empirical Fisher information of linear layers without biases, one tensor a layer.

    F = mean over samples of (d log p(label) / dW)^2. With z = x W^T and d = d log p / dz of a sample, its gradient in W is the
    outer product of d and x, so that F = (d^2)^T (x^2) / samples: no pass for each sample is needed.

    Args:
        forward: Takes inputs and returns logits, shape (samples, classes), and for each layer x and z, z a part of the graph;
            a sample's logits must depend on that sample alone.
        inputs: Shape (samples, *input).
        labels: Classes, shape (samples,).
        batch: Samples of one pass.

    Source: Kirkpatrick et al., PNAS 114, 3521 (2017).
    """
    total: list[Tensor] = []
    for x, y in zip(inputs.split(batch), labels.split(batch), strict=True):
        with torch.enable_grad():
            logits, layers = forward(x)
            loss = nn.functional.cross_entropy(logits, y, reduction="sum")
            slopes = torch.autograd.grad(loss, [z for _, z in layers])
        found = [d.square().T @ z_in.detach().square() for d, (z_in, _) in zip(slopes, layers, strict=True)]
        total = found if not total else [a + b for a, b in zip(total, found, strict=True)]
    return [each / len(inputs) for each in total]


class Elastic:
    """Base of the penalties: importance F and anchor w* for each parameter, penalty strength / 2 sum F (w - w*)^2.

    In a loop of your own, call `add_gradient` between `backward` and the step of the optimiser, or add `penalty()` to the loss.

    Args:
        parameters: What is held; kept as given.
        strength: Factor of the penalty.

    Raises:
        ConfigError: a strength that is not positive and finite, or no parameters.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ConfigError("there are no parameters to hold; pass model.parameters() or some of them.")
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 < strength < math.inf:
            raise ConfigError(
                f"the strength is {strength!r}; expected a finite number above 0. For no penalty take plain gradient descent."
            )
        self.strength = float(strength)
        self.importance = [torch.zeros_like(each) for each in self.parameters]
        self.pull = [torch.zeros_like(each) for each in self.parameters]  # importance times anchor: sums over tasks stay sums

    @torch.no_grad()
    def penalty(self) -> Tensor:
        """The penalty up to a constant, strength (sum F w^2 / 2 - sum F w* w); its gradient is what `add_gradient` adds."""
        parts = [
            (f * w.square() / 2 - b * w).sum() for f, b, w in zip(self.importance, self.pull, self.parameters, strict=True)
        ]
        return self.strength * torch.stack(parts).sum()

    @torch.no_grad()
    def add_gradient(self, values: Sequence[Tensor] | None = None) -> None:
        """Add the gradient of the penalty to that of the parameters.

        Args:
            values: What the network sees of the parameters, where that is something else, such as their signs.
        """
        for parameter, value, f, b in zip(self.parameters, values or self.parameters, self.importance, self.pull, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.addcmul_(f, value, value=self.strength).add_(b, alpha=-self.strength)

    def _hold(self, importance: Sequence[Tensor], values: Sequence[Tensor], decay: float) -> None:
        """With a decay of 1 a penalty for each task, summed; below 1 the older ones fade."""
        if not any(bool(each.any()) for each in importance):
            raise FitError(
                "no weight has any importance: the penalty would be zero. All gradients are zero; look at the inputs."
            )
        for f, b, new, value in zip(self.importance, self.pull, importance, values, strict=True):
            f.mul_(decay).add_(new)
            b.mul_(decay).addcmul_(new, value)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"importance": self.importance, "pull": self.pull}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for name, held in self._tensors():
            for mine, other in zip(held, state[name], strict=True):
                mine.copy_(other)

    def _tensors(self) -> Iterator[tuple[str, list[Tensor]]]:
        yield "importance", self.importance
        yield "pull", self.pull


class EWC(Elastic):
    """Elastic weight consolidation: after each task F is the diagonal of its Fisher information.

    `kind`:
        "task": a penalty for each task, about its own last weights; their sum is again quadratic.
        "online": F <- decay F + F of the task, all about the newest weights.
        "stream": F <- decay F + g^2 after every step, about the weights before it; call `after_step`.

    Args:
        parameters: What is held.
        importance: Strength.
        kind: See above.
        decay: See above; unused by "task".

    Raises:
        ConfigError: another kind, or a decay outside 0 .. 1.
        FitError: by `end_task`, a Fisher information that is zero.

    Source: Kirkpatrick et al., PNAS 114, 3521 (2017); online: Schwarz et al., ICML (2018); stream: Bonnet et al.,
    arXiv:2504.13569 (2025).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], importance: float, *, kind: str = "task", decay: float = 0.2
    ) -> None:
        super().__init__(parameters, importance)
        if kind not in ("task", "online", "stream"):
            raise ConfigError(f"kind is {kind!r}; expected 'task', 'online' or 'stream'.")
        if not 0 <= decay <= 1:
            raise ConfigError(f"decay is {decay!r}; expected a number from 0 to 1.")
        self.kind, self.decay = kind, float(decay)

    @torch.no_grad()
    def end_task(self, fisher: Sequence[Tensor], values: Sequence[Tensor] | None = None) -> None:
        """Hold on to the weights of a task.

        Args:
            fisher: Of each parameter, see `fisher_information`.
            values: What the network sees of the parameters, where that is something else.
        """
        seen = [each.detach() for each in (values or self.parameters)]
        if self.kind == "task":
            self._hold(fisher, seen, 1.0)
            return
        for b, f, value in zip(self.pull, self.importance, seen, strict=True):
            torch.mul(f, value, out=b)  # one anchor: what is held of older tasks moves to it as well
        self._hold(fisher, seen, self.decay)

    @torch.no_grad()
    def after_step(self, gradients: Sequence[Tensor], before: Sequence[Tensor]) -> None:
        """Of "stream".

        Args:
            gradients: Of the loss without the penalty.
            before: The weights before the step.
        """
        for f, b, g, w in zip(self.importance, self.pull, gradients, before, strict=True):
            f.mul_(self.decay).addcmul_(g, g)
            torch.mul(f, w, out=b)


class SI(Elastic):
    """Synaptic intelligence: F of a task is how much of the fall of the loss a weight's way has brought.

    F <- F + max(0, path) / ((w - w*)^2 + damping) and w* <- w after each task, with path the sum of -g dw over its steps. The
    penalty is c sum F (w - w*)^2.

    Args:
        parameters: What is held.
        strength: c.
        damping: Keeps weights that did not move from counting for much.

    Raises:
        ConfigError: a damping that is not positive.
        FitError: by `end_task`, a path along which no loss fell.

    Source: Zenke et al., ICML (2017).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float, *, damping: float = 1.0) -> None:
        super().__init__(parameters, strength)
        self.strength *= 2  # no half in front, unlike EWC
        if not 0 < damping < math.inf:
            raise ConfigError(f"damping is {damping!r}; expected a finite number above 0.")
        self.damping = float(damping)
        self.path = [torch.zeros_like(each) for each in self.parameters]
        self.anchor = [each.detach().clone() for each in self.parameters]

    @torch.no_grad()
    def after_step(self, gradients: Sequence[Tensor], before: Sequence[Tensor]) -> None:
        """Call after each step.

        Args:
            gradients: Of the loss without the penalty.
            before: The weights before the step.
        """
        for path, g, old, new in zip(self.path, gradients, before, self.parameters, strict=True):
            path.addcmul_(g, new - old, value=-1)

    @torch.no_grad()
    def end_task(self) -> None:
        """Hold on to the weights of a task."""
        found = [
            path.clamp(min=0) / ((w - anchor).square() + self.damping)
            for path, w, anchor in zip(self.path, self.parameters, self.anchor, strict=True)
        ]
        for f, b, path, anchor, w in zip(self.importance, self.pull, self.path, self.anchor, self.parameters, strict=True):
            torch.mul(f, w, out=b)
            path.zero_()
            anchor.copy_(w)
        self._hold(found, [each.detach() for each in self.parameters], 1.0)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {**super().state_dict(), "path": self.path, "anchor": self.anchor}

    def _tensors(self) -> Iterator[tuple[str, list[Tensor]]]:
        yield from super()._tensors()
        yield "path", self.path
        yield "anchor", self.anchor
