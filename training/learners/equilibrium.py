"""`EquilibriumPropagation`: networks that relax to a fixed point and learn from how a nudge moves it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import TaskStream
from ...errors import ConfigError, SettlingWarning
from ...validation import number, one_of, whole_number, whole_numbers
from ..equilibrium.connections import Connection, ConvConnection, DenseConnection
from ..equilibrium.dynamics import Dynamics, Equilibrium, Nudge
from ..equilibrium.network import EquilibriumNetwork
from ..layers.flips import StoredSigns
from ..layers.storage import StoredWeights, device_footprint, drawing_from
from ..rules.binary_momentum import BinaryMomentum
from ..rules.equilibrium import equilibrium_gradients
from ..scopes import Scope
from ..settings import layer_sizes, per_layer
from .learner import count_bytes
from .settling import Settling
from .stepping import SteppingLearner

#: Smallest strength of a nudge: states are in single precision, whose error of 1e-7 the gradient contains divided by beta.
MIN_BETA = 1e-4


class EquilibriumPropagation(SteppingLearner):
    """Learn by equilibrium propagation: a free phase, a phase nudged towards the labels, and the difference of their states.

    Weights, which also decide the states:
        "real": real weights and states; gradient descent.
        "binary": signs times a learnt scale for each layer, which flip by `BinaryMomentum`; real states.
        "binary-all": binary weights, and layers that see binary states of each other; the output needs `duplicates`.

    With a synapse, real weights are stored in pairs of devices and steps become pulses; binary ones are the signs of pairs, and
    flips become SET and RESET pulses, see `StoredSigns`. Averages of gradients, biases and scales remain digital.

    It measures how far each free phase is from its fixed point. The result has the mean and the largest residual and the share
    of the batches that did not settle; one `SettlingWarning` says that most of an epoch did not. A network that oscillates
    before it has learned anything is refused.

    Settings for each layer are one number, or a list from the input to the output; published lists often begin at the output.

    Args:
        stream: What will be learned.
        hidden: Units of each fully connected hidden layer.
        channels: Channels of convolutional layers before them, for streams of images (flatten=False); none if empty.
        kernel: Side of their kernels.
        padding: Zeros around their inputs.
        pool: Side of the squares of max pooling after each.
        weights: "real", "binary" or "binary-all".
        dynamics: "prototypical" or "continuous", see `Dynamics`; "binary-all" has its own.
        dt: Step of continuous dynamics.
        free_steps: Steps of the free phase.
        nudged_steps: Steps of the nudged phase.
        beta: Strength of the nudge.
        beta_sign: "random" for each batch; "positive"; or "symmetric": two nudged phases, an error of second order.
        rate: Learning rate of real weights.
        bias_rate: Learning rate of biases; that of real weights if omitted, 0.025 for binary ones.
        gamma: Share of a new gradient in the average of binary weights.
        threshold: Average that flips a binary weight.
        scale_rate: Learning rate of scales; 0 for fixed ones.
        duplicates: Outputs for each class; the response is their mean.
        settled: Largest residual of a free phase that counts as settled, in units of the range of a state.
        synapse: Model of the memory devices; None for exact weights.
        pulses_per_flip: As for `StoredSigns`.
        w_max: Largest real weight in devices, in units of 1 / sqrt(inputs).
        seed: Seed of initial weights, signs of beta, devices and noise.

    Raises:
        ConfigError: settings out of range or without effect, a beta of 0 or with which nothing settles, convolutions on
            flat inputs.
        FitError: while learning, a network that oscillates, or states that are NaN.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> stream = PermutedTasks(made_digits(train=20, test=10), tasks=1)
        >>> learner = EquilibriumPropagation(stream, hidden=[8], weights="binary")
        >>> sorted(learner.network.connections[0].weight.unique().tolist())
        [-1.0, 1.0]

    Source: Laydevant et al., CVPR-W 2021, arXiv:2103.08953; real weights: Ernoult et al., NeurIPS 2019, arXiv:1905.13633.
    """

    rule = "ep"
    scopes = (
        Scope(
            ("rate",), lambda each: each["weights"] == "real", "real weights; binary ones have gamma, threshold and bias_rate"
        ),
        Scope(
            ("gamma", "threshold", "scale_rate", "pulses_per_flip"),
            lambda each: each["weights"] != "real",
            "binary weights; use weights='binary', or rate for real ones",
        ),
        Scope(("pulses_per_flip",), lambda each: each["synapse"] is not None, "weights in devices; pass a synapse"),
        Scope(
            ("w_max",),
            lambda each: each["synapse"] is not None and each["weights"] == "real",
            "real weights in devices; pass a synapse, and weights='real'",
        ),
        Scope(
            ("kernel", "padding", "pool"), lambda each: bool(each["channels"]), "convolutional layers; pass channels=[32, 64]"
        ),
        Scope(
            ("dynamics",),
            lambda each: each["weights"] != "binary-all",
            "real states; weights='binary-all' has a dynamics of its own",
        ),
    )

    def __init__(
        self,
        stream: TaskStream,
        *,
        hidden: Sequence[int] | int = (512,),
        channels: Sequence[int] | int = (),
        kernel: int = 5,
        padding: int = 2,
        pool: int = 2,
        weights: str = "real",
        dynamics: str = "prototypical",
        dt: float | None = None,
        free_steps: int = 20,
        nudged_steps: int = 10,
        beta: float = 0.3,
        beta_sign: str = "random",
        rate: float | Sequence[float] = 0.1,
        bias_rate: float | Sequence[float] | None = None,
        gamma: float | Sequence[float] | None = None,
        threshold: float | Sequence[float] | None = None,
        scale_rate: float | None = None,
        duplicates: int = 1,
        settled: float = 0.05,
        synapse: Synapse | None = None,
        pulses_per_flip: int | None = None,
        w_max: float = 16.0,
        seed: int = 0,
    ) -> None:
        given = dict(locals())
        super().__init__(stream, seed=seed)
        self._binary = one_of("weights", weights, ("real", "binary", "binary-all")) != "real"
        self.refuse_unused(given)
        kind = "binary" if weights == "binary-all" else one_of("dynamics", dynamics, ("prototypical", "continuous"))
        self.beta = number("beta", beta, 0, above=True)
        self.beta_sign: str = one_of("beta_sign", beta_sign, ("random", "positive", "symmetric"))
        self.free_steps, self.nudged_steps = (
            whole_number("free_steps", free_steps, 1),
            whole_number("nudged_steps", nudged_steps, 1),
        )
        self.duplicates = whole_number("duplicates", duplicates, 1)
        self._shape = tuple(stream.shape)
        conv = whole_numbers("channels", channels, 1, example=(32, 64), empty=True)
        side = {
            "kernel": whole_number("kernel", kernel, 1),
            "padding": whole_number("padding", padding),
            "pool": whole_number("pool", pool, 1),
        }
        connections, sizes = self._connections(conv, side, hidden)
        self.network = EquilibriumNetwork(connections, Dynamics(kind, dt))
        self._check_beta()
        self.layers = self.network.connections
        count = len(connections)
        default = 0.025 if self._binary else rate
        rates = {
            "rate": per_layer("rate", rate, count),
            "bias_rate": per_layer("bias_rate", default if bias_rate is None else bias_rate, count),
            "gamma": per_layer("gamma", 1e-4 if gamma is None else gamma, count),
            "threshold": per_layer("threshold", 5e-7 if threshold is None else threshold, count),
            "scale_rate": number("scale_rate", 1e-4 if scale_rate is None else scale_rate, 0),
        }
        self._make_optimisers(rates)
        self.settling = Settling(number("settled", settled, 0, above=True))
        self.stores = nn.ModuleList()
        w_max = number("w_max", w_max, 0, above=True)
        if synapse is not None:
            self._to_devices(synapse, pulses_per_flip, w_max)
        own = ("bias_rate", "gamma", "threshold", "scale_rate") if self._binary else ("rate", "bias_rate")
        phases = {"free_steps": free_steps, "nudged_steps": nudged_steps, "beta": self.beta, "beta_sign": beta_sign}
        shape = {"channels": list(conv), **side} if conv else {}
        devices: dict[str, Any] = {"synapse": "ideal"}
        if synapse is not None:
            devices = {"synapse": repr(synapse), **({"pulses_per_flip": pulses_per_flip} if self._binary else {"w_max": w_max})}
        self._settings = {
            "hidden": sizes, **shape, "weights": weights, "dynamics": kind, "dt": self.network.dynamics.step, **phases,
            **{name: rates[name] for name in own}, "duplicates": self.duplicates, "settled": settled, **devices,
        }  # fmt: skip

    def _check_beta(self) -> None:
        """Refuse nudges that are lost in rounding, and those under which an output cannot settle.

        An output between 0 and 1 follows s <- s + dt (r - s + beta (y - s)), whose factor 1 - dt (1 + beta) has to be within
        -1 .. 1 for either sign of beta; prototypical dynamics, s <- r + beta (y - s), has the factor -beta. Binary units are
        nudged by a constant, which may be of any strength.
        """
        if self.beta < MIN_BETA:
            raise ConfigError(
                f"beta is {self.beta:g}, so small that states of single precision, whose errors the gradient contains divided "
                f"by beta, do not show the nudge; expected at least {MIN_BETA:g}, such as 0.3."
            )
        dynamics = self.network.dynamics
        if dynamics.is_binary:
            return
        limit = 1.0
        if dynamics.kind == "continuous" and self.beta_sign == "positive":
            limit = 2 / dynamics.step - 1
        if self.beta >= limit:
            raise ConfigError(
                f"beta is {self.beta:g}, and a nudged output does not settle at {limit:g} or more with {dynamics.kind} "
                f"dynamics and beta_sign={self.beta_sign!r}; expected less, such as 0.3."
            )

    def _connections(
        self, conv: tuple[int, ...], side: dict[str, int], hidden: Sequence[int] | int
    ) -> tuple[list[Connection], list[int]]:
        connections: list[Connection] = []
        below = self._shape
        if conv and len(below) != 3:
            raise ConfigError(
                f"channels needs images of shape (channels, height, width), and the inputs have shape {below}; pass "
                "flatten=False to the stream."
            )
        for channels in conv:
            connections.append(ConvConnection(below, channels, **side, binary=self._binary, generator=self.generator))
            below = connections[-1].above
        sizes = layer_sizes(math.prod(below), hidden, self.classes * self.duplicates)
        for inputs, outputs in pairwise(sizes):
            connections.append(DenseConnection(inputs, outputs, binary=self._binary, generator=self.generator))
        return connections, sizes[1:-1]

    def _make_optimisers(self, rates: dict[str, Any]) -> None:
        layers = self.network.connections
        weights: list[dict[str, Any]]
        self.optimiser: torch.optim.Optimizer
        if self._binary:
            weights = [
                {"params": [layer.weight], "gamma": gamma, "threshold": threshold}
                for layer, gamma, threshold in zip(layers, rates["gamma"], rates["threshold"], strict=True)
            ]
            scales = {"params": [layer.scale for layer in layers], "scale": True, "rate": rates["scale_rate"]}
            self.optimiser = BinaryMomentum([*weights, scales])
        else:
            weights = [{"params": [layer.weight], "lr": rate} for layer, rate in zip(layers, rates["rate"], strict=True)]
            self.optimiser = torch.optim.SGD(weights, lr=0.0)
        biases = [{"params": [layer.bias], "lr": rate} for layer, rate in zip(layers, rates["bias_rate"], strict=True)]
        self.bias_optimiser = torch.optim.SGD(biases, lr=0.0)

    def _to_devices(self, synapse: Synapse, pulses: int | None, w_max: float) -> None:
        for layer in self.network.connections:
            if self._binary:
                store: Any = StoredSigns(layer.weight.data, synapse, pulses=pulses, generator=self.generator)
                layer.weight.data.copy_(store.read(noisy=False))
            else:
                limit = w_max * layer.weight[0].numel() ** -0.5
                store = StoredWeights(layer.weight, synapse, kind="pair", w_max=limit, generator=self.generator)
            self.stores.append(store)

    # --- phases -------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Take over the weights as they are, or read them from the devices."""
        self.network.prepare([store.read() for store in self.stores] if len(self.stores) else None)

    def _free(self, inputs: Tensor) -> Equilibrium:
        self._prepare()
        return self.network.free(self.flat(inputs).view(-1, *self._shape), self.free_steps)

    def _target(self, labels: Tensor, like: Tensor) -> Tensor:
        """Return 1 for the outputs of the class and 0 for the others."""
        return nn.functional.one_hot(labels, self.classes).to(like).repeat_interleave(self.duplicates, 1)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the response of the free phase, on one read of the weights."""
        with drawing_from(self.stores, generator):
            response = self._free(inputs).response
        return response.view(len(response), self.classes, self.duplicates).mean(-1).log_softmax(-1)[None]

    # --- learning -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Take one step: free phase, nudged phase or phases, gradients, flips or steps."""
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            raise ConfigError("equilibrium propagation cannot be shared by several processes; use processes=1.")
        free = self._free(inputs)
        target = self._target(labels, free.response)
        loss = self.finite((free.response - target).square_().sum().div_(2 * len(labels)), inputs)
        self._watch(free)
        beta = self.beta
        if self.beta_sign == "random" and int(torch.randint(2, (), generator=self.generator)):
            beta = -beta
        nudged = self.network.nudged(Nudge(target, beta, free), self.nudged_steps)
        other, span = free, beta
        if self.beta_sign == "symmetric":
            other, span = self.network.nudged(Nudge(target, -beta, free), self.nudged_steps), 2 * beta
        equilibrium_gradients(self.network, nudged, other, span)
        self.step()
        return loss

    def _watch(self, free: Equilibrium) -> None:
        """Count the phase; refuse a network that oscillates before it has learned."""
        if self.settling.count(free.residual) == 1 and self._settings["weights"] != "binary-all":
            self.settling.refuse_oscillation(free.residual, self.network.dynamics)

    def step(self) -> None:
        """Apply the gradients, and update the devices."""
        self.optimiser.step()
        self.bias_optimiser.step()
        for layer, store in zip(self.network.connections, self.stores, strict=False):
            store.update(layer.weight.data if isinstance(store, StoredSigns) else layer.weight)

    def on_train_epoch_end(self) -> None:
        """Warn once if most phases of the epoch did not settle."""
        message = self.settling.end_epoch(self.free_steps)
        if message is not None:
            warnings.warn(message, SettlingWarning, stacklevel=2)

    # --- settings, state and cost -------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return all settings but the stream and the seed."""
        return dict(self._settings)

    def stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield the optimisers of weights and biases."""
        yield from super().stateful_parts()
        yield "bias optimiser", self.bias_optimiser

    def footprint(self) -> dict[str, float]:
        """Return bytes of parameters and averages, how the free phases settled, flips, and the cost of the devices."""
        weights = sum(layer.weight.numel() for layer in self.network.connections)
        figures = {"memory [B]": float(count_bytes(self.parameters()) + self._binary * 4 * weights)}
        figures["memory of the network alone [B]"] = weights / 8 if self._binary else 4.0 * weights
        figures |= self.settling.figures()
        if isinstance(self.optimiser, BinaryMomentum):
            figures["flips of a weight"] = sum(self.optimiser.flips) / weights
        counts = [store.flips for store in self.stores if isinstance(store, StoredSigns)]
        if counts:
            requested, failed = torch.stack(counts).sum(0).tolist()
            figures |= {"flips in devices": float(requested), "flips that failed [share]": failed / max(requested, 1)}
        return {**figures, **device_footprint(self.stores)}
