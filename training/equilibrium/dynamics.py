"""`Dynamics`: how states move towards a fixed point, and `Equilibrium`, where they have arrived."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ConfigError
from ...validation import number, one_of

#: Filter of pre-activations of binary units, in Laydevant et al.
BINARY_STEP = 0.5
#: Value from which on a binary unit is active.
BINARY_THRESHOLD = 0.5


@dataclass(frozen=True)
class Dynamics:
    """How the states of all layers move in one step, all at the same time; rho(x) = clip(x, 0, 1).

    - "prototypical": s <- rho(dPhi/ds), and for a nudged output s <- clip(rho(dPhi/ds) + beta (y - s), 0, 1)
    - "continuous": s <- clip(s + dt (dPhi/ds - s + [beta (y - s)]), 0, 1), the Euler steps of ds/dt; for states within 0 .. 1
      the derivative of rho, by which dPhi/ds would be multiplied, is 1
    - "binary": the same with dt = 0.5 for filtered pre-activations s, while Phi is that of the binary states h = [s >= 0.5];
      the output is nudged by the constant beta (y - s_free)

    The fixed points of the first two are the same. A synchronous step can oscillate with period two where the feedback is
    strong; the continuous one with a small dt then settles.

    Attributes:
        kind: "prototypical", "continuous" or "binary".
        dt: Step of "continuous"; 1 for "prototypical", 0.5 for "binary" if omitted.

    Raises:
        ConfigError: an unknown kind, dt outside 0 .. 1, or dt for "prototypical".

    Example:
        >>> Dynamics("continuous", 0.2).step, Dynamics("binary").is_binary
        (0.2, True)

    Source: Ernoult et al., NeurIPS 2019, arXiv:1905.13633; Laydevant et al., CVPR-W 2021, arXiv:2103.08953.
    """

    kind: str = "prototypical"
    dt: float | None = None

    def __post_init__(self) -> None:
        one_of("dynamics", self.kind, ("prototypical", "continuous", "binary"))
        if self.kind == "prototypical" and self.dt not in (None, 1, 1.0):
            raise ConfigError(f"dt is {self.dt}, but prototypical dynamics is discrete; use dynamics='continuous', or no dt.")
        number("dt", self.step, 0, 1, above=True)

    @property
    def step(self) -> float:
        """The share of the way to dPhi/ds that a step takes."""
        default = {"prototypical": 1.0, "continuous": 0.2, "binary": BINARY_STEP}[self.kind]
        return default if self.dt is None else self.dt

    @property
    def is_binary(self) -> bool:
        """True if layers see binary states of each other."""
        return self.kind == "binary"

    @property
    def start(self) -> float:
        """Value of all states before the free phase."""
        return 1.0 if self.is_binary else 0.0


@dataclass
class Equilibrium:
    """States at the end of a phase; the tensors are buffers that the next phase of the same name overwrites.

    Attributes:
        inputs: Input, shape (batch, *input).
        states: States s of the layers, shape (batch, *layer).
        outputs: What other layers see of them: the states, or the binary ones.
        base: Drive of the first layer by the input, shape (batch, *layer).
        residual: Root mean square of dPhi/ds - s over batch and units in the last step, of the layer where it is largest.
        logits: With a softmax read-out, its logits, shape (batch, classes).
    """

    inputs: Tensor
    states: list[Tensor]
    outputs: list[Tensor]
    base: Tensor
    residual: float
    logits: Tensor | None = None

    @property
    def layers(self) -> list[Tensor]:
        """What the layers see of each other, from the input on."""
        return [self.inputs, *self.outputs]

    @property
    def response(self) -> Tensor:
        """State of the output; the probabilities of a softmax read-out."""
        return self.states[-1] if self.logits is None else self.logits.softmax(-1)


@dataclass(frozen=True)
class Nudge:
    """What pulls the output towards a target in the nudged phase.

    Attributes:
        target: Shape (batch, outputs).
        beta: Strength, of either sign.
        free: Free phase, from whose states the nudged one starts.
    """

    target: Tensor
    beta: float
    free: Equilibrium


def settle(state: Tensor, drive: Tensor, step: float) -> None:
    """Move a state by a share `step` of the way to its drive, in place, and clip it to 0 .. 1.

    Example:
        >>> state = torch.tensor([0.0, 0.5])
        >>> settle(state, torch.tensor([1.0, -9.0]), 0.2)
        >>> state.tolist()
        [0.20000000298023224, 0.0]
    """
    if step == 1.0:
        torch.clamp(drive, 0.0, 1.0, out=state)
    else:
        state.lerp_(drive, step).clamp_(0.0, 1.0)
