"""Programs that run where this package is not: one step as `torch.export`, whole rollouts as ONNX.

`Surrogate.export` writes either, by the suffix of the file. Both take and return SI units, hold plain operations only,
confine the state as `simulate` does, and are compared with the surrogate before anything is written.

**.pt2**, one step, read by `torch.export.load(path).module()` with torch alone:

    next_state, output_at_start, output_at_end = step(state, start, middle, end)

* `state`: in deviations, shape (batch, members * values); the members of an ensemble stand side by side. `Surrogate.state_from`
  and `resting_state` make states of one member; without them begin from the resting state in the file, or from zeros.
* `start`, `middle`, `end`: drives, then parameters, at these instants of the step, in SI, shape (batch, inputs). A held drive
  has the same value three times; a linear one the mean of both ends in the middle; for a spline through the samples
  u_-2 .. u_3 around the step from u_0 to u_1 the middle is (150 (u_0 + u_1) - 25 (u_-1 + u_2) + 3 (u_-2 + u_3)) / 256.
  With a delay embedding the shape is (batch, order, inputs): row j is what belongs to the step j samples later.
* outputs: read from `state` under `start` and from `next_state` under `end`, in SI, shape (batch, outputs), the mean of the
  members. A rollout is `output_at_start` of its first step, then `output_at_end` of every step.

The batch may have any size, the program is differentiable in all its inputs, and its weights are parameters.

**.onnx**, the whole rollout with one Scan node (opset 18), for `onnxruntime` and others:

    output, last_state = session.run(None, {"drive": drive, "state": state})

* `drive`: samples every interval, in SI, shape (batch, time, drives); at least two, four where a drive runs along a spline.
* `state`: as above. `parameters`: in SI, shape (batch, parameters); there only if the surrogate has parameters.
* `output`: in SI, shape (batch, time, outputs). `last_state`: state at the last sample.

Numbers are of the surrogate's own type, float64 or, after `surrogate.float()`, float32. Both files carry facts as JSON:
arguments and results, names, units, sample interval [s], range of each drive and parameter in the fitted data, a resting
state to start from. In a .pt2 they are the extra file "spinode.json", in ONNX the metadata property "spinode". What an
exported program cannot do is say when a run leaves the domain of validity; stay within the ranges.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...dynamics.integrate import STATE_LIMIT, rk4_step
from ...errors import ConfigError, ExportError, SpinodeError
from ...files import check_writable, write_atomically
from ..neural_ode.embedding import delayed, settled_drive, stage_drive
from ..neural_ode.member import Member
from ..neural_ode.model import SurrogateModel
from .checks import TOLERANCE, check_rollout, check_step, inside_runs

#: Name of the JSON facts in a .pt2, and in the metadata of an ONNX model.
FACTS, KEY = "spinode.json", "spinode"

INSTALL = 'pip install "spinode[export]"'

#: The opset in which torch's ONNX operators are written, so that nothing is converted.
OPSET = 18


class Step(nn.Module):
    """One step of every member, as written to a .pt2; weights keep their names in the surrogate.

    Args:
        surrogate: What to take fields, feedthroughs and scales from; they are shared, not copied.
    """

    def __init__(self, surrogate: SurrogateModel) -> None:
        super().__init__()
        self.scales = surrogate.scales
        self.members: Sequence[Member] = surrogate.members
        self.drives = len(surrogate.ports.drive)
        self.outputs = len(surrogate.ports.output)

    def forward(self, state: Tensor, start: Tensor, middle: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """State after the step, outputs at its start and at its end; shapes are given at the top of this module."""
        first, half, last = (self.scales.drive(inputs).flatten(1) for inputs in (start, middle, end))
        moved = self.advance(state, torch.stack([first, half, last], -2))
        return moved, self.read(state, first[:, : self.drives]), self.read(moved, last[:, : self.drives])

    def advance(self, state: Tensor, stages: Tensor) -> Tensor:
        """State after one step; state (batch, members * values), stages (batch, 3, seen), in deviations."""
        parts = state.chunk(len(self.members), -1)
        moved = [rk4_step(member.field, part, stages) for member, part in zip(self.members, parts, strict=True)]
        return torch.cat(moved, -1).clamp(-STATE_LIMIT, STATE_LIMIT)

    def read(self, state: Tensor, drive: Tensor) -> Tensor:
        """Outputs in SI, the mean of the members; states (..., members * values) and drives (..., drives) in deviations."""
        parts = state.chunk(len(self.members), -1)
        outputs = [part[..., : self.outputs] + drive @ m.feedthrough.T for m, part in zip(self.members, parts, strict=True)]
        return self.scales.output_si(torch.stack(outputs).mean(0))


class Advance(nn.Module):
    """Only the motion of a step, in deviations: what a rollout repeats.

    Args:
        step: Whose.
    """

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def forward(self, state: Tensor, stages: Tensor) -> Tensor:
        """See `Step.advance`."""
        return self.step.advance(state, stages)


class Rollout(nn.Module):
    """A whole rollout with one `scan` over time, as written to ONNX.

    Args:
        surrogate: As for `Step`.
        kinds: How each drive and parameter runs between samples.
        advance: `Advance` or what torch.export made of it.
    """

    def __init__(self, surrogate: SurrogateModel, kinds: tuple[str, ...], advance: nn.Module) -> None:
        super().__init__()
        self.step = Step(surrogate)
        self.advance = advance
        self.kinds = kinds
        self.order = surrogate.embedding.order if surrogate.embedding.kind == "delay" else 1

    def forward(self, drive: Tensor, state: Tensor, parameters: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (batch, time, outputs) in SI and the last state; shapes are given at the top of this module."""
        from torch._higher_order_ops import scan

        if parameters is not None:
            drive = torch.cat([drive, parameters.unsqueeze(1).expand(-1, drive.shape[1], -1)], -1)
        inputs = self.step.scales.drive(drive)
        stages = delayed(stage_drive(inputs, self.kinds), self.order)

        def moved(x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
            after = self.advance(x, u)
            return after, after.clone()  # what is carried on and what is kept must not be one tensor

        last, later = scan(moved, state, stages.movedim(1, 0))
        states = torch.cat([state.unsqueeze(1), later.movedim(0, 1)], 1)
        return self.step.read(states, settled_drive(inputs, self.kinds)[..., : self.step.drives]), last


def export(surrogate: SurrogateModel, path: str | Path, *, interpolation: Mapping[str, str] | None = None) -> None:
    """Write a surrogate as a program that runs without this package, whole or not at all; see the top of this module.

    Args:
        surrogate: Any; an ensemble answers with the mean of its members.
        path: Ends in .pt2 (one step, differentiable) or .onnx (whole rollouts).
        interpolation: How each drive runs between samples, by name, as in `Surrogate.simulate`. An ONNX model is made for it; a
            .pt2 takes the drive within the step from its caller and only carries a note.

    Raises:
        ConfigError: another suffix, an unknown interpolation, or a surrogate with NaN or of half precision.
        TraceError: the path cannot be written.
        ExportError: the vector field cannot be exported, a library is missing, or the exported program does not agree with the
            surrogate.
    """
    where = Path(path)
    writers = {".pt2": _pt2, ".onnx": _onnx}
    suffix = where.suffix.lower()
    if suffix not in writers:
        raise ConfigError(
            f"cannot export to {str(path)!r}: it ends in {where.suffix!r}; expected .pt2 (one step, for torch) or "
            ".onnx (whole rollouts)."
        )
    check_writable(where)
    _check_numbers(surrogate)
    if surrogate.noise.device.type != "cpu":
        surrogate = deepcopy(surrogate).cpu()
    drives, constants = len(surrogate.ports.drive), len(surrogate.ports.parameters)
    _, kinds = surrogate.assemble_inputs(torch.zeros(1, drives), torch.zeros(constants), interpolation)
    write_atomically(where, writers[suffix](surrogate, kinds))


def _check_numbers(surrogate: SurrogateModel) -> None:
    if surrogate.noise.dtype not in TOLERANCE:
        raise ConfigError(
            f"the surrogate is in {surrogate.noise.dtype}; expected float64 or float32. Use `.double()` or `.float()`."
        )
    for name, tensor in surrogate.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise ConfigError(f"{name!r} of the surrogate holds NaN or infinite numbers; nothing can be exported. Fit anew.")


def _pt2(surrogate: SurrogateModel, kinds: tuple[str, ...]) -> bytes:
    step, content = Step(surrogate), io.BytesIO()
    runs, batch = inside_runs(surrogate, 3, 2), {0: torch.export.Dim("batch")}
    with _quiet(), torch.enable_grad():
        program = _traced(step, (runs.side_by_side, *runs.steps(surrogate, kinds)[0]), [batch] * 4)
        facts = _facts(surrogate, kinds, _step_described(surrogate))
        torch.export.save(program, content, extra_files={FACTS: json.dumps(facts)})
        content.seek(0)
        check_step(torch.export.load(content).module(), step, surrogate, kinds)
    return content.getvalue()


def _onnx(surrogate: SurrogateModel, kinds: tuple[str, ...]) -> bytes:
    _demand("onnx", "onnxscript", "onnxruntime")
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time", min=8)
    sizes = {"drive": {0: batch, 1: time}, "state": {0: batch}, "parameters": {0: batch}}
    example = inside_runs(surrogate, 3, 16).arrays(surrogate)
    dynamic = [sizes[name] for name in example]
    # Without gradients: torch's converter cannot follow a scan that keeps what its backward pass needs.
    with _quiet(), torch.no_grad():
        program = _traced(Rollout(surrogate, kinds, _advance(surrogate, kinds)), tuple(example.values()), dynamic)
        try:
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(example),
                output_names=["output", "last_state"],
                dynamic_shapes=dynamic,
                custom_translation_table={torch.ops.aten.scalar_tensor.default: _scalar},
            )
            assert converted is not None  # only with the exporter of old
            content = _serialised(converted.model, _facts(surrogate, kinds, _rollout_described(surrogate)))
        except ImportError as error:
            raise ExportError(f"the ONNX libraries do not fit this torch ({error}); run: {INSTALL}") from None
        except Exception as error:
            raise ExportError(
                f"the surrogate cannot be written as ONNX: {_cause(error)}. Not every operation of torch can be; write the "
                "vector field of simpler ones, or export to .pt2, which takes them all."
            ) from None
        check_rollout(lambda arrays: _run_onnx(content, arrays), surrogate, kinds)
    return content


# --- tracing --------------------------------------------------------------------------------------------------------------

_ADVICE = (
    "A vector field of your own must be made of torch operations on batches of any size, without `if`, loops or "
    "Python numbers that depend on values (use torch.where, keep tensors)."
)


def _traced(
    module: nn.Module, example: tuple[Tensor, ...], dynamic: Sequence[Mapping[int, Any]]
) -> torch.export.ExportedProgram:
    try:
        program = torch.export.export(module, example, dynamic_shapes=tuple(dynamic))
    except SpinodeError:
        raise
    except Exception as error:  # torch has no base class for what can go wrong here
        raise ExportError(f"the vector field cannot be exported: {_cause(error)}. {_ADVICE}") from None
    for graph in (part for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)):
        for node in graph.graph.nodes:
            node.meta.pop("stack_trace", None)  # lines and paths of this machine are nobody's business
    _only_aten(program)
    return program


def _only_aten(program: torch.export.ExportedProgram) -> None:
    """Refuse operations that torch alone does not have: the file could not be loaded elsewhere."""
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            if isinstance(node.target, torch._ops.OpOverload) and node.target.namespace not in ("aten", "prim", "prims"):
                raise ExportError(
                    f"the vector field calls {node.target}, which torch alone does not have; the exported program could not be "
                    "loaded elsewhere. Write that part in torch operations."
                )


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    said = re.sub(r"\s*(For more information|\(Size-like symbols).*", "", lines[0]) if lines else "no reason given"
    return f"{type(error).__name__}: {said.rstrip('.!')}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn, log and print of their own affairs; what matters comes as an exception."""
    level, nowhere = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


# --- ONNX -----------------------------------------------------------------------------------------------------------------


def _advance(surrogate: SurrogateModel, kinds: tuple[str, ...]) -> nn.Module:
    """The motion of a step as a graph of its own: a scan takes no constants, and says badly what is wrong with a field."""
    runs, batch = inside_runs(surrogate, 3, 2), {0: torch.export.Dim("batch")}
    stages = torch.stack([surrogate.scales.drive(u).flatten(1) for u in runs.steps(surrogate, kinds)[0]], -2)
    graph = _traced(Advance(Step(surrogate)), (runs.side_by_side, stages), [batch] * 2).module(check_guards=False)
    for part in graph.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, Tensor):
                delattr(part, name)
                part.register_buffer(name, value)
    return graph


def _demand(*libraries: str) -> None:
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if importlib.util.find_spec("torch._higher_order_ops.scan") is None:
        missing.append("a newer torch")
    if missing:
        raise ExportError(f"an export to ONNX needs {' and '.join(missing)}; run: {INSTALL}")


def _scalar(s: float, dtype: int = 1, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:
    """aten::scalar_tensor; torch's own translation rounds the number to float32 in a float64 model, too."""
    from onnxscript import ir, opset18

    number: Any = ir.tensor(np.array(s, dtype=ir.DataType(dtype).numpy()))
    return opset18.Constant(value=number)


def _serialised(model: Any, facts: Mapping[str, Any]) -> bytes:
    from onnxscript import ir

    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # lines and paths of this machine are nobody's business
    model.metadata_props[KEY] = json.dumps(facts)
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
        value.doc_string = (facts["arguments"] | facts["results"])[value.name]
    content: bytes = ir.to_proto(model).SerializeToString()
    return content


def _run_onnx(content: bytes, arrays: Mapping[str, Tensor]) -> Tensor:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes as an exception
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        output, _ = session.run(None, {name: tensor.numpy() for name, tensor in arrays.items()})
    except Exception as error:  # its exceptions have no common base either
        raise ExportError(
            f"onnxruntime cannot run the exported model: {_cause(error)}. Some operations exist there in float32 only: "
            "try `surrogate.float().export(...)`."
        ) from None
    return torch.as_tensor(output)


# --- what the files say about themselves ------------------------------------------------------------------------------------


def _facts(
    surrogate: SurrogateModel, kinds: tuple[str, ...], described: tuple[dict[str, str], dict[str, str]]
) -> dict[str, Any]:
    """What somebody needs who has nothing but the file; plain JSON."""
    from ...version import __version__

    ports, points = surrogate.ports, surrogate.domain.points[:, surrogate.state_size :]
    inputs = points * surrogate.scales.drive_scale + surrogate.scales.drive_mean
    ranges = torch.stack([inputs.amin(0), inputs.amax(0)], -1).tolist()
    return {
        "spinode": __version__,
        "arguments": described[0],
        "results": described[1],
        "interval": surrogate.interval,
        "drive": list(ports.drive),
        "output": list(ports.output),
        "parameters": list(ports.parameters),
        "units": dict(ports.units),
        "interpolation": dict(zip(ports.drive, kinds, strict=False)),
        "embedding": {"kind": surrogate.embedding.kind, "order": surrogate.embedding.order},
        "members": len(surrogate.members),
        "state_limit": STATE_LIMIT,
        "ranges": dict(zip(ports.inputs, ranges, strict=True)),
        "rest": _rest(surrogate),
    }


def _step_described(surrogate: SurrogateModel) -> tuple[dict[str, str], dict[str, str]]:
    """Arguments and results of the step, in their order."""
    ports, state = surrogate.ports, _state_described(surrogate)
    rows = f"{surrogate.embedding.order}, " if surrogate.embedding.kind == "delay" else ""
    inputs = f"(batch, {rows}{len(ports.inputs)}): {_named(surrogate, ports.inputs)}"
    outputs = f"(batch, {len(ports.output)}): {_named(surrogate, ports.output)}"
    arguments = {"state": state} | dict.fromkeys(("start", "middle", "end"), inputs)
    return arguments, {"next_state": state} | dict.fromkeys(("output_at_start", "output_at_end"), outputs)


def _rollout_described(surrogate: SurrogateModel) -> tuple[dict[str, str], dict[str, str]]:
    """Inputs and outputs of the rollout, in their order."""
    ports, state = surrogate.ports, _state_described(surrogate)
    every = f"every {surrogate.interval:.6g} s"
    arguments = {"drive": f"(batch, time, {len(ports.drive)}), {every}: {_named(surrogate, ports.drive)}", "state": state}
    if ports.parameters:
        arguments["parameters"] = f"(batch, {len(ports.parameters)}): {_named(surrogate, ports.parameters)}"
    output = f"(batch, time, {len(ports.output)}), {every}: {_named(surrogate, ports.output)}"
    return arguments, {"output": output, "last_state": state}


def _state_described(surrogate: SurrogateModel) -> str:
    return f"(batch, {len(surrogate.members) * surrogate.state_size}): in deviations"


def _named(surrogate: SurrogateModel, names: Sequence[str]) -> str:
    return ", ".join(f"{name} [{surrogate.ports.units.get(name) or '1'}]" for name in names) or "none"


def _rest(surrogate: SurrogateModel) -> dict[str, list[float]] | None:
    """Resting state under the mean of what was fitted, or None where there is none."""
    mean, drives = surrogate.scales.drive_mean, len(surrogate.ports.drive)
    constants = mean[drives:].tolist()
    named = dict(zip(surrogate.ports.parameters, constants, strict=True))
    try:
        states = [
            surrogate.resting_state(mean[:drives], parameters=named, member=index) for index in range(len(surrogate.members))
        ]
    except Exception:  # none near the fitted states, or a field of the user's own that knows no Jacobian or no single state
        return None
    return {"drive": mean[:drives].tolist(), "parameters": constants, "state": torch.cat(states).tolist()}
