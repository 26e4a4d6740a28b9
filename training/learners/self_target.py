"""`SelfDefinedTarget`: a network whose winning outputs are its target, with few labels or none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError, SettlingWarning
from ...validation import flag, number, one_of, whole_number, whole_numbers
from ..layers.responders import FeedForward, Relaxing, Responder
from ..layers.storage import StoredWeights, device_footprint, drawing_from
from ..rules.self_target import SelfTarget
from ..scopes import Scope
from ..settings import per_layer
from .labelled import draw_labelled
from .learner import count_bytes
from .self_target_branch import Branch
from .settling import Settling
from .stepping import SteppingLearner

#: Defaults of each way of learning: learning rate of a layer, final factor of the rates, smoothing of targets, rate of the
#: moving average for single samples.
_DEFAULTS: dict[str, dict[str, float]] = {
    "bp": {"rate": 8.0, "decay": 5e-4, "smoothing": 0.0, "average_rate": 0.6},
    "ep": {"rate": 0.03, "decay": 1e-3, "smoothing": 0.3, "average_rate": 0.1},
}
_CONTROLS = ("untrained", "no homeostasis")
#: Optimisers of a branch: without labels, with labels beside, and before.
_UNSUPERVISED, _SUPERVISED, _PRETRAINING = 0, 1, 2


class SelfDefinedTarget(SteppingLearner):
    """Learn without labels: the winners among the outputs, chosen with homeostasis, are the target of the network.

    "unsupervised": labels serve only afterwards, to give each output the class to which it responds most ("mean": the class
    whose outputs respond most on average; "maximum": that of the largest output), and to fit a linear read-out. Beware of the
    read-out: that of a network that has learned nothing reaches 97 % on MNIST, as its control shows.

    "semi-supervised": an output for each class and a softmax. The network first learns the labelled samples alone, then in
    each epoch all samples with their winner as target, and once more the labelled ones. All samples of a task include the
    labelled ones.

    The rates fall linearly over the epochs of the run. Controls learn beside, with the same initial weights, and are scored as
    views of their own: "untrained", and "no homeostasis".

    Args:
        stream: What will be learned; in the semi-supervised mode it also provides the labelled samples.
        by: "bp", backpropagation, or "ep", equilibrium propagation with continuous dynamics.
        mode: "unsupervised" or "semi-supervised".
        hidden: Units of each hidden layer.
        outputs: Number of outputs; that of the classes in the semi-supervised mode.
        winners: Winners of each sample.
        homeostasis: Step of the handicap of outputs that win too often.
        rate: Learning rate, one or one for each layer; 8 for "bp", whose loss is a mean over outputs, 0.03 for "ep".
        optimizer: "sgd" or "adam".
        decay: Factor that the rates approach linearly over the epochs of all tasks; 5e-4 for "bp", 1e-3 for "ep".
        dropout: Share of silent units of each layer, from the input to the output.
        smoothing: Share of the target that is spread over all outputs; 0 for "bp", 0.3 for "ep".
        average_rate: Rate of the average over single samples, at a batch size of 1; 0.6 for "bp", 0.1 for "ep".
        labels: Number of labelled samples of each task, as evenly from all classes as possible; all if None.
        read_out: True to fit a linear read-out when a task ends.
        read_out_epochs: Its epochs.
        read_out_rate: Its learning rate, which falls by a tenth after each epoch.
        controls: Some of "untrained" and "no homeostasis".
        free_steps: Steps of the free phase of "ep".
        nudged_steps: Steps of its nudged phase.
        beta: Strength of its nudge.
        dt: Step of its dynamics.
        settled: Largest residual of a free phase that counts as settled.
        pretrain_epochs: Epochs on the labelled samples before.
        pretrain_rate: Their learning rate, one or one for each layer; `rate` if omitted.
        pretrain_batch: Their batch size.
        pretrain_decay: Factor of that rate after each epoch.
        unsupervised_factors: First factor of the rates of epochs without labels, beside labelled ones, and the one that they
            approach at the end of the run.
        supervised_factors: The same for epochs with labels.
        synapse: Model of the memory devices, pairs of which store the weights; None for exact weights.
        w_max: Largest weight in devices, in units of 1 / sqrt(inputs).
        seed: Seed of initial weights, dropout, labelled samples, devices and noise.

    Raises:
        ConfigError: settings out of range or without effect; a semi-supervised mode without labels, on a stream without
            boundaries, or with more labels than samples; fewer labels than classes.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> stream = PermutedTasks(made_digits(train=20, test=10), tasks=1)
        >>> SelfDefinedTarget(stream, outputs=30, winners=2, controls=["untrained"]).views
        ('mean', 'maximum', 'untrained mean')

    Source: Liu et al., arXiv:2403.12116 (2024), and the authors' code.
    """

    rule = "unsupervised"
    scopes = (
        Scope(
            ("free_steps", "nudged_steps", "beta", "dt"),
            lambda each: each["by"] == "ep",
            "equilibrium propagation; use by='ep'",
        ),
        Scope(
            ("outputs", "winners", "decay", "read_out"),
            lambda each: each["mode"] == "unsupervised",
            "the unsupervised mode; the semi-supervised one has an output for each class, one winner, and factors of its own",
        ),
        Scope(
            (
                "pretrain_epochs",
                "pretrain_rate",
                "pretrain_batch",
                "pretrain_decay",
                "unsupervised_factors",
                "supervised_factors",
            ),
            lambda each: each["mode"] == "semi-supervised",
            "the semi-supervised mode; use mode='semi-supervised'",
        ),
        Scope(("read_out_epochs", "read_out_rate"), lambda each: bool(each["read_out"]), "the read-out; pass read_out=True"),
        Scope(("w_max",), lambda each: each["synapse"] is not None, "weights in devices; pass a synapse"),
    )
    branches: Any  # nn.ModuleDict, whose element type is unknown to type checkers
    task: Tensor

    def __init__(
        self,
        stream: TaskStream,
        *,
        by: str = "bp",
        mode: str = "unsupervised",
        hidden: Sequence[int] | int = (),
        outputs: int = 2000,
        winners: int = 6,
        homeostasis: float = 0.4,
        rate: float | Sequence[float] | None = None,
        optimizer: str = "sgd",
        decay: float | None = None,
        dropout: float | Sequence[float] = (),
        smoothing: float | None = None,
        average_rate: float | None = None,
        labels: int | None = None,
        read_out: bool = False,
        read_out_epochs: int = 50,
        read_out_rate: float = 0.1,
        controls: Sequence[str] | str = ("untrained",),
        free_steps: int = 40,
        nudged_steps: int = 10,
        beta: float = 0.2,
        dt: float = 0.2,
        settled: float = 0.05,
        pretrain_epochs: int = 100,
        pretrain_rate: float | Sequence[float] | None = None,
        pretrain_batch: int = 32,
        pretrain_decay: float = 0.96,
        unsupervised_factors: Sequence[float] = (0.001, 0.1),
        supervised_factors: Sequence[float] = (0.2, 0.03),
        synapse: Synapse | None = None,
        w_max: float = 4.0,
        seed: int = 0,
    ) -> None:
        given = dict(locals())
        super().__init__(stream, seed=seed)
        defaults = _DEFAULTS[one_of("by", by, tuple(_DEFAULTS))]
        self.mode: str = one_of("mode", mode, ("unsupervised", "semi-supervised"))
        self._is_semi = mode == "semi-supervised"
        self.refuse_unused(given)
        self._boundaries = bool(stream.boundaries)
        self.labels = None if labels is None else whole_number("labels", labels, self.classes)
        self._check_labels(stream, flag("read_out", read_out))
        outputs = self.classes if self._is_semi else whole_number("outputs", outputs, 1)
        sizes = [self.features, *whole_numbers("hidden", hidden, 1, empty=True), outputs]
        if self._is_semi and len(sizes) == 2:
            raise ConfigError("the semi-supervised mode has a softmax above a hidden layer; pass hidden=[5000] or fewer.")
        layers = len(sizes) - 1
        silent = per_layer("dropout", dropout if dropout != () else 0.0, layers + 1)
        self.dropout = [number("dropout", share, 0, 1, below=True) for share in silent]
        pick = {"decay": decay, "smoothing": smoothing, "average_rate": average_rate}
        chosen = {name: number(name, defaults[name] if value is None else value, 0, 1) for name, value in pick.items()}
        rates = per_layer("rate", defaults["rate"] if rate is None else rate, layers)
        self._rates = [rates, rates, rates if pretrain_rate is None else per_layer("pretrain_rate", pretrain_rate, layers)]
        self._factors = [(1.0, chosen["decay"]), (1.0, 1.0)]
        if self._is_semi:
            self._factors = [_two("unsupervised_factors", unsupervised_factors), _two("supervised_factors", supervised_factors)]
        self._optimizer: str = one_of("optimizer", optimizer, ("sgd", "adam"))
        self._read_out = {
            "epochs": whole_number("read_out_epochs", read_out_epochs, 1),
            "rate": number("read_out_rate", read_out_rate, 0, above=True),
        }
        self._pretraining = (
            whole_number("pretrain_epochs", pretrain_epochs),
            whole_number("pretrain_batch", pretrain_batch, 1),
            number("pretrain_decay", pretrain_decay, 0, 1),
        )
        self._network: dict[str, Any] = {
            "bp": {"dropout": self.dropout[:-1], "softmax": self._is_semi},
            "ep": {
                "softmax": self._is_semi, "dt": number("dt", dt, 0, 1, above=True), "beta": number("beta", beta, 0, above=True),
                "steps": (whole_number("free_steps", free_steps, 1), whole_number("nudged_steps", nudged_steps, 1)),
            },
        }[by]  # fmt: skip
        self.by = by
        share = (1 - self.dropout[-1]) if by == "bp" else 1 / (1 - self.dropout[-1])
        rule = {
            "winners": 1 if self._is_semi else winners, "smoothing": chosen["smoothing"], "rate": chosen["average_rate"],
            "homeostasis": number("homeostasis", homeostasis, 0),
        }  # fmt: skip
        activity = share * float(whole_number("winners", rule["winners"], 1)) / outputs
        state = self.generator.get_state()
        self.branches = nn.ModuleDict({"trained": self._branch(sizes, {**rule, "activity": activity})})
        for control in self._controls(controls, homeostasis):
            self.generator.set_state(state)  # the same initial weights
            own = None if control == "untrained" else {**rule, "activity": activity, "homeostasis": 0.0}
            self.branches[control] = self._branch(sizes, own)
        w_max = number("w_max", w_max, 0, above=True)
        if synapse is not None:
            self._to_devices(synapse, w_max)
        self.optimiser = self.branches["trained"].optimisers[0]
        self.settling = Settling(number("settled", settled, 0, above=True))
        self.register_buffer("task", torch.zeros((), dtype=torch.int64))
        self._cached: tuple[int, Tensor, Tensor] | None = None
        self._stream = stream if self._is_semi else None
        self._ways = ["outputs"] if self._is_semi else ["mean", "maximum"]
        if flag("read_out", read_out) and not self._is_semi:
            self._ways.append("read-out")
        self.views = tuple(self._ways) + tuple(
            f"{control} {way}" for control in self.branches if control != "trained" for way in self._ways if way != "maximum"
        )
        self._settings = self._describe(sizes, rule, chosen, synapse, w_max)

    def _controls(self, controls: Any, homeostasis: float) -> list[str]:
        """Return the names of the controls, each once."""
        names = [one_of("a control", each, _CONTROLS) for each in ([controls] if isinstance(controls, str) else controls)]
        if "no homeostasis" in names and homeostasis == 0:
            raise ConfigError(
                "the control 'no homeostasis' is the network itself, whose homeostasis is 0; leave the control out, or pass "
                "homeostasis=0.4."
            )
        return list(dict.fromkeys(names))

    def _check_labels(self, stream: TaskStream, read_out: bool) -> None:
        """Refuse settings whose labels would not be there, or would not be the only ones."""
        if not self._is_semi:
            chosen = "labels" if self.labels is not None else "read_out" if read_out else ""
            if chosen and not self._boundaries:
                raise ConfigError(
                    f"{chosen} is given, but labelled samples are chosen when a task ends, and the stream {stream.name!r} has "
                    f"no boundaries: there outputs get their classes from all labels. Leave {chosen} out."
                )
            return
        if self.labels is None:
            raise ConfigError(
                "the semi-supervised mode has no labelled samples to begin with; pass labels=600, or mode='unsupervised'."
            )
        if not self._boundaries:
            raise ConfigError(
                f"the semi-supervised mode begins each task with its labelled samples, and the stream {stream.name!r} has no "
                "boundaries; use mode='unsupervised'."
            )

    def _describe(
        self, sizes: list[int], rule: dict[str, Any], chosen: dict[str, float], synapse: Synapse | None, w_max: float
    ) -> dict[str, Any]:
        """Return all settings that shape the result, as plain values."""
        semi = {}
        if self._is_semi:
            names = ("pretrain_epochs", "pretrain_batch", "pretrain_decay")
            semi = {
                **dict(zip(names, self._pretraining, strict=True)),
                "pretrain_rate": self._rates[2],
                "factors": [list(each) for each in self._factors],
            }
        devices = {"synapse": "ideal"} if synapse is None else {"synapse": repr(synapse), "w_max": w_max}
        network = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._network.items()
            if name != "dropout"
        }
        return {
            "by": self.by, "mode": self.mode, "hidden": sizes[1:-1], "outputs": sizes[-1], **rule, "rate": self._rates[0],
            "optimizer": self._optimizer, "decay": chosen["decay"], "dropout": self.dropout, "labels": self.labels, **network,
            "views": list(self.views), "read_out": dict(self._read_out), **semi, **devices,
        }  # fmt: skip

    def _branch(self, sizes: list[int], rule: dict[str, Any] | None) -> Branch:
        make: Any = FeedForward if self.by == "bp" else Relaxing
        network: Responder = make(sizes, **self._network, generator=self.generator)
        if rule is None:
            return Branch(network, None, self.classes, sizes[-1])
        optimisers = [self._new_optimiser(network, rates) for rates in self._rates[: 3 if self._is_semi else 1]]
        return Branch(network, SelfTarget(sizes[-1], **rule), self.classes, sizes[-1], optimisers)

    def _new_optimiser(self, network: Responder, rates: Sequence[float]) -> torch.optim.Optimizer:
        groups = [{"params": [layer.weight, layer.bias], "lr": rate} for layer, rate in zip(network.layers, rates, strict=True)]
        return torch.optim.SGD(groups) if self._optimizer == "sgd" else torch.optim.Adam(groups)

    def _to_devices(self, synapse: Synapse, w_max: float) -> None:
        def make(weight: nn.Parameter) -> StoredWeights:
            limit = w_max * weight.shape[1] ** -0.5
            return StoredWeights(weight, synapse, kind="pair", w_max=limit, generator=self.generator)

        for branch in self.branches.values():
            branch.to_devices(make)

    def _trained(self) -> Iterator[Branch]:
        """Yield the branches that learn."""
        yield from (branch for branch in self.branches.values() if branch.rule is not None)

    # --- learning -----------------------------------------------------------------------------------------------------

    def _draw(self, inputs: Tensor) -> tuple[list[Tensor | None], float]:
        """Return the masks of all layers and the sign of the nudge, the same for all branches."""
        widths = [inputs.shape[1], *(layer.weight.shape[0] for layer in self.branches["trained"].network.layers)]
        masks = [
            inputs.new_empty(len(inputs), width).bernoulli_(1 - share, generator=self.generator) if share else None
            for width, share in zip(widths, self.dropout, strict=True)
        ]
        sign = 1.0 if self.by == "bp" else float(torch.randint(2, (), generator=self.generator) * 2 - 1)
        return masks, sign

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Take one step without labels; on a stream without boundaries the class means follow."""
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            raise ConfigError("winners and homeostasis cannot be shared by several processes; use processes=1.")
        rows = self.flat(inputs)
        masks, sign = self._draw(rows)
        losses = [branch.learn_without_labels(rows, masks, sequential=batch_size == 1, sign=sign) for branch in self._trained()]
        if self.by == "ep":
            self.settling.count(self.branches["trained"].network.residual)
        if not self._boundaries:
            for branch in self.branches.values():
                branch.follow(rows, labels)
        return self.finite(losses[0], inputs)

    def _learn_labelled(self, which: int, batch_size: int) -> None:
        """Take one pass over the labelled samples of the task."""
        rows, labels = self._labelled(int(self.task))
        for chosen in torch.randperm(len(labels), generator=self.generator).split(batch_size):
            masks, sign = self._draw(rows[chosen])
            for branch in self._trained():
                loss = branch.learn_with_labels(rows[chosen], labels[chosen], masks, which=which, sign=sign)
                self.finite(loss, rows[chosen])

    def _labelled(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the labelled samples of a task, which depend on seed and task only."""
        assert self._stream is not None
        if self._cached is None or self._cached[0] != index:
            task = self._stream[index]
            chosen = draw_labelled(task, self.labels, self.classes, self.seed)
            self._cached = (index, self.flat(task.inputs[chosen].to(self.device)), task.labels[chosen].to(self.device))
        return self._cached[1:]

    def begin_task(self, index: int) -> None:
        """Learn the labelled samples alone, in the semi-supervised mode."""
        self.task.fill_(index)
        if not self._is_semi:
            return
        epochs, batch, decay = self._pretraining
        for epoch in range(epochs):
            self._set_rates(_PRETRAINING, decay**epoch)
            self._learn_labelled(_PRETRAINING, batch)

    def on_train_epoch_start(self) -> None:
        """Set the rates of the epoch, and begin it without handicaps."""
        done = self.trainer.current_epoch / max(self.trainer.max_epochs or 1, 1)
        for which in (_UNSUPERVISED, _SUPERVISED) if self._is_semi else (_UNSUPERVISED,):
            first, last = self._factors[which]
            self._set_rates(which, first + (last - first) * done)
        for branch in self._trained():
            assert branch.rule is not None
            branch.rule.reset()

    def _set_rates(self, which: int, factor: float) -> None:
        for branch in self._trained():
            for group, rate in zip(branch.optimisers[which].param_groups, self._rates[which], strict=True):
                group["lr"] = rate * factor

    def on_train_epoch_end(self) -> None:
        """Learn the labelled samples once more, in the semi-supervised mode; warn once if most phases did not settle."""
        if self._is_semi:
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            self._learn_labelled(_SUPERVISED, data.batch_size)
        message = self.settling.end_epoch(self._network.get("steps", (0,))[0])
        if message is not None:
            warnings.warn(message, SettlingWarning, stacklevel=2)

    def end_task(self, index: int, task: Task) -> None:
        """Give outputs their classes by the labelled samples, and fit the read-outs."""
        if self._is_semi:
            return
        chosen = draw_labelled(task, self.labels, self.classes, self.seed)
        rows, labels = self.flat(task.inputs[chosen].to(self.device)), task.labels[chosen].to(self.device)
        for branch in self.branches.values():
            branch.associate(rows, labels)
            if "read-out" in self._ways:
                branch.fit_read_out(rows, labels, self._read_out, self.seed + index)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the scores of a view as logarithms of probabilities."""
        name = next((control for control in self.branches if view.startswith(f"{control} ")), "trained")
        branch = self.branches[name]
        with drawing_from(branch.stores, generator):
            scores: Tensor = branch.scores(self.flat(inputs), view.removeprefix(f"{name} "))
            return scores.log_softmax(-1)[None]

    # --- settings, state and cost -------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return all settings but the stream and the seed."""
        return dict(self._settings)

    def identity_parts(self) -> dict[str, Any]:
        """Return all parts but the stream, which a run has of its own, and the samples cached from it."""
        return {name: value for name, value in super().identity_parts().items() if name not in ("_stream", "_cached")}

    def stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield the optimisers of all branches."""
        for name, branch in self.branches.items():
            yield from branch.stateful_parts(name)

    def footprint(self) -> dict[str, float]:
        """Return bytes of the trained network, outputs without a class, how free phases settled, and the cost of devices."""
        trained = self.branches["trained"]
        figures = {"memory [B]": float(count_bytes(trained.network.parameters()))}
        if not self._is_semi:
            figures["outputs without a class [share]"] = trained.silent()
        if self.by == "ep":
            figures |= self.settling.figures()
        return {**figures, **device_footprint(trained.device_stores)}


def _two(name: str, values: Any) -> tuple[float, float]:
    first, last = per_layer(name, values, 2)
    return first, last
