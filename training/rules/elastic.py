"""EWC and SI: quadratic penalties that keep weights near their values after earlier tasks, for any training loop of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError, FitError
from ...validation import number, one_of

#: What a forward pass returns for `fisher_information`: logits, and input and output of each linear layer in turn.
Traced = tuple[Tensor, Sequence[tuple[Tensor, Tensor]]]


def fisher_information(
    forward: Callable[[Tensor], Traced], inputs: Tensor, labels: Tensor, *, batch: int = 500
) -> list[Tensor]:
    """Return the diagonal of the empirical Fisher information of linear layers without biases, one tensor per layer.

    F = mean over samples of (d log p(label) / dW)^2. With z = x W^T and d = d log p / dz of a sample, its gradient in W is the
    outer product of d and x, so that F = (d^2)^T (x^2) / samples: no pass for each sample is needed.

    Args:
        forward: Takes inputs and returns logits, shape (samples, classes), and for each layer x and z, with z a part of the
            graph; a sample's logits must depend on that sample only.
        inputs: Shape (samples, *input).
        labels: Classes, shape (samples,).
        batch: Samples per pass.

    Source: Kirkpatrick et al., PNAS 114, 3521 (2017).
    """
    total: list[Tensor] = []
    for x, y in zip(inputs.split(batch), labels.split(batch), strict=True):
        with torch.enable_grad():
            logits, layers = forward(x)
            loss = nn.functional.cross_entropy(logits, y, reduction="sum")
            gradients = torch.autograd.grad(loss, [z for _, z in layers])
        sums = [d.square().T @ layer_input.detach().square() for d, (layer_input, _) in zip(gradients, layers, strict=True)]
        total = sums if not total else [a + b for a, b in zip(total, sums, strict=True)]
    return [layer_sum / len(inputs) for layer_sum in total]


class Elastic:
    """Base of the penalties: importance F and anchor w* for each parameter, penalty strength / 2 sum F (w - w*)^2.

    In your own training loop, call `add_gradient` between `backward` and the step of the optimiser.

    Args:
        parameters: The penalised parameters.
        strength: Factor of the penalty.

    Raises:
        ConfigError: a strength that is not positive and finite, or no parameters.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ConfigError("there are no parameters to penalise; pass model.parameters() or some of them.")
        self.strength = number("strength", strength, 0, above=True)
        self.importance = [torch.zeros_like(parameter) for parameter in self.parameters]
        #: Importance times anchor, so that sums over tasks remain sums.
        self.pull = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def penalty(self) -> Tensor:
        """Return the penalty up to a constant, strength (sum F w^2 / 2 - sum F w* w); `add_gradient` adds its gradient."""
        parts = [
            (f * w.square() / 2 - b * w).sum() for f, b, w in zip(self.importance, self.pull, self.parameters, strict=True)
        ]
        return self.strength * torch.stack(parts).sum()

    @torch.no_grad()
    def add_gradient(self, values: Sequence[Tensor] | None = None) -> None:
        """Add the gradient of the penalty to that of the parameters.

        Args:
            values: Values that the network uses in place of the parameters, such as their signs, if different.
        """
        for parameter, value, f, b in zip(self.parameters, values or self.parameters, self.importance, self.pull, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.addcmul_(f, value, value=self.strength).add_(b, alpha=-self.strength)

    def _consolidate(self, importance: Sequence[Tensor], values: Sequence[Tensor], decay: float) -> None:
        """Add the penalty of a task; at a decay below 1 those of older tasks fade."""
        if not any(bool(layer.any()) for layer in importance):
            raise FitError("no weight has any importance: the penalty would be zero. All gradients are zero; check the inputs.")
        for f, b, new, value in zip(self.importance, self.pull, importance, values, strict=True):
            f.mul_(decay).add_(new)
            b.mul_(decay).addcmul_(new, value)

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors that a checkpoint needs."""
        return {"importance": self.importance, "pull": self.pull}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the tensors that `state_dict` returned."""
        for name, tensors in self._tensors():
            for tensor, stored in zip(tensors, state[name], strict=True):
                tensor.copy_(stored)

    def _tensors(self) -> Iterator[tuple[str, list[Tensor]]]:
        yield "importance", self.importance
        yield "pull", self.pull


class EWC(Elastic):
    """Elastic weight consolidation: after each task F is the diagonal of its Fisher information.

    `kind`:
        "task": a penalty for each task, around its own last weights; the sum of quadratic penalties is one quadratic penalty.
        "online": F <- decay F + F of the task, all around the newest weights.
        "stream": F <- decay F + g^2 after every step, around the weights before it; call `after_step`.

    Args:
        parameters: The penalised parameters.
        importance: Factor of the penalty, importance / 2 sum F (w - w*)^2.
        kind: "task", "online" or "stream".
        decay: Factor of the earlier F, 0 .. 1; unused by "task".

    Raises:
        ConfigError: another kind, or a decay outside 0 .. 1.
        FitError: by `end_task`, a Fisher information that is zero.

    Example:
        >>> weight = nn.Parameter(torch.tensor([[1.0, 2.0]]))
        >>> ewc = EWC([weight], importance=3.0)
        >>> ewc.end_task([torch.tensor([[1.0, 0.0]])])  # only the first weight matters to the task
        >>> with torch.no_grad():
        ...     _ = weight.add_(0.5)
        >>> ewc.add_gradient()
        >>> weight.grad.tolist()
        [[1.5, 0.0]]

    Source: Kirkpatrick et al., PNAS 114, 3521 (2017); online: Schwarz et al., ICML (2018); stream: Bonnet et al.,
    arXiv:2504.13569 (2025).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], importance: float, *, kind: str = "task", decay: float = 0.2
    ) -> None:
        super().__init__(parameters, importance)
        self.kind: str = one_of("kind", kind, ("task", "online", "stream"))
        self.decay = number("decay", decay, 0, 1)

    @torch.no_grad()
    def end_task(self, fisher: Sequence[Tensor], values: Sequence[Tensor] | None = None) -> None:
        """Add the penalty of a task.

        Args:
            fisher: Fisher information of each parameter, see `fisher_information`.
            values: Values that the network uses in place of the parameters, if different.
        """
        anchors = [value.detach() for value in (values or self.parameters)]
        if self.kind == "task":
            self._consolidate(fisher, anchors, 1.0)
            return
        for b, f, value in zip(self.pull, self.importance, anchors, strict=True):
            torch.mul(f, value, out=b)  # one anchor: the penalties of older tasks move to it as well
        self._consolidate(fisher, anchors, self.decay)

    @torch.no_grad()
    def after_step(self, gradients: Sequence[Tensor], before: Sequence[Tensor]) -> None:
        """Update importance and anchor after a step, for the kind "stream".

        Args:
            gradients: Gradients of the loss without the penalty.
            before: The weights before the step.
        """
        for f, b, g, w in zip(self.importance, self.pull, gradients, before, strict=True):
            f.mul_(self.decay).addcmul_(g, g)
            torch.mul(f, w, out=b)


class SI(Elastic):
    """Synaptic intelligence: F of a task measures how much the path of a weight contributed to the decrease of the loss.

    F <- F + max(0, path) / ((w - w*)^2 + damping) and w* <- w after each task, with path the sum of -g dw over its steps. The
    penalty is c sum F (w - w*)^2.

    Args:
        parameters: The penalised parameters.
        strength: c.
        damping: Limits the importance of weights that hardly moved.

    Raises:
        ConfigError: a damping that is not positive.
        FitError: by `end_task`, a path along which the loss did not decrease.

    Source: Zenke et al., ICML (2017).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float, *, damping: float = 1.0) -> None:
        super().__init__(parameters, strength)
        self.strength *= 2  # no factor 1/2, unlike EWC
        self.damping = number("damping", damping, 0, above=True)
        self.path = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.anchor = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def after_step(self, gradients: Sequence[Tensor], before: Sequence[Tensor]) -> None:
        """Continue the path integral after a step.

        Args:
            gradients: Gradients of the loss without the penalty.
            before: The weights before the step.
        """
        for path, g, old, new in zip(self.path, gradients, before, self.parameters, strict=True):
            path.addcmul_(g, new - old, value=-1)

    @torch.no_grad()
    def end_task(self) -> None:
        """Add the penalty of a task."""
        importance = [
            path.clamp(min=0) / ((w - anchor).square() + self.damping)
            for path, w, anchor in zip(self.path, self.parameters, self.anchor, strict=True)
        ]
        for f, b, path, anchor, w in zip(self.importance, self.pull, self.path, self.anchor, self.parameters, strict=True):
            torch.mul(f, w, out=b)
            path.zero_()
            anchor.copy_(w)
        self._consolidate(importance, [parameter.detach() for parameter in self.parameters], 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors that a checkpoint needs."""
        return {**super().state_dict(), "path": self.path, "anchor": self.anchor}

    def _tensors(self) -> Iterator[tuple[str, list[Tensor]]]:
        yield from super()._tensors()
        yield "path", self.path
        yield "anchor", self.anchor
