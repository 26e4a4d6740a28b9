"""`SelfTarget`: targets that the outputs themselves define, by their winners, with homeostasis."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...validation import number, whole_number


class SelfTarget(nn.Module):
    """Make a target of the outputs of a batch: 1 for the winners, 0 for the others.

        winners = the k largest of o - H;  t = 1 for winners, else 0
        t <- (1 - smoothing) t + smoothing k / N;  t <- mask t
        H <- H + homeostasis (mean over the batch of t - activity)

    H handicaps outputs that win more often than their share, so that all outputs take part; without it a few win always. For
    single samples the mean is a moving average, Y <- (1 - rate) Y + rate t.

    Args:
        outputs: Number of outputs N.
        winners: Number of winners k for each sample.
        homeostasis: Step of H; 0 for none.
        smoothing: Share of the target that is spread over all outputs.
        activity: Mean target that H aims at; k / N if omitted.
        rate: Rate of the moving average.

    Attributes:
        handicap: H, shape (outputs,).

    Raises:
        ConfigError: more winners than outputs, or a setting out of range.

    Example:
        >>> rule = SelfTarget(3, winners=1, homeostasis=0.6)
        >>> outputs = torch.tensor([[0.5, 0.4, 0.1]])
        >>> [rule.target(outputs).argmax().item() for _ in range(4)]
        [0, 1, 2, 0]

    Source: Liu et al., arXiv:2403.12116 (2024), and the authors' code.
    """

    handicap: Tensor
    average: Tensor

    def __init__(
        self,
        outputs: int,
        *,
        winners: int = 1,
        homeostasis: float = 0.0,
        smoothing: float = 0.0,
        activity: float | None = None,
        rate: float = 0.6,
    ) -> None:
        super().__init__()
        self.winners = whole_number("winners", winners, 1)
        if self.winners > outputs:
            raise ConfigError(f"there are {self.winners} winners among {outputs} outputs; expected at most as many.")
        self.homeostasis = number("homeostasis", homeostasis, 0)
        self.smoothing = number("smoothing", smoothing, 0, 1)
        self.activity = self.winners / outputs if activity is None else number("activity", activity, 0)
        self.rate = number("rate", rate, 0, 1)
        self.register_buffer("handicap", torch.zeros(outputs))
        self.register_buffer("average", torch.zeros(outputs))

    def reset(self) -> None:
        """Set H and the moving average to zero, as at the beginning of each epoch."""
        self.handicap.zero_()
        self.average.zero_()

    @torch.no_grad()
    def target(self, outputs: Tensor, mask: Tensor | None = None, *, sequential: bool = False) -> Tensor:
        """Return the targets of a batch, and update H.

        Args:
            outputs: Shape (batch, outputs), already multiplied by the mask.
            mask: 0 for outputs that are silent, else 1, of the same shape; None for none.
            sequential: True for single samples.
        """
        chosen = (outputs - self.handicap).topk(self.winners, dim=1).indices
        target = torch.zeros_like(outputs).scatter_(1, chosen, 1.0)
        if self.smoothing:
            target.mul_(1 - self.smoothing).add_(self.smoothing * self.winners / outputs.shape[1])
        if mask is not None:
            target.mul_(mask)
        if self.homeostasis:
            mean = target.mean(0)
            if sequential:
                mean = self.average.lerp_(mean, self.rate)
            self.handicap.add_(mean - self.activity, alpha=self.homeostasis)
        return target
