"""Export to .onnx: whole rollouts of a surrogate with one Scan node (opset 18), for `onnxruntime` and other runtimes.

    output, last_state = session.run(None, {"drive": drive, "state": state})

* `drive`: samples every interval, in SI units, shape (batch, time, drives); at least two, four if a drive is interpolated by a
  spline.
* `state`: in deviations, shape (batch, members * values); the members of an ensemble are side by side. `Surrogate.state_from`
  and `resting_state` compute states of one member; without them start from the resting state in the file, or from zeros.
* `parameters`: in SI units, shape (batch, parameters); only if the surrogate has parameters.
* `output`: in SI units, shape (batch, time, outputs), the median of the members. `last_state`: state at the last sample.

Numbers have the type of the surrogate, float64 or, after `surrogate.float()`, float32. The interpolation of the drives is part
of the model. The metadata property "spinode" contains facts as JSON: inputs and outputs, names, units, sample interval [s],
range of each drive and parameter in the fitted data, a resting state. The state is limited as in `simulate`, but the model
does not report steps outside the domain of validity; keep the inputs within the ranges.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ExportError
from ..neural_ode.drive_interpolation import settled_drive
from ..neural_ode.model import SurrogateModel
from .checks import check_rollout, random_runs
from .facts import collect_facts, rollout_signature
from .registry import register
from .step import StateStep, Step
from .tracing import root_cause, suppress_output, trace_module

#: Metadata property with the facts.
FACTS_PROPERTY = "spinode"

#: The opset of torch's ONNX operators, so that no conversion between opsets is needed.
OPSET = 18

_INSTALL = 'pip install "spinode[export]"'


class Rollout(nn.Module):
    """A whole rollout with one `scan` over time.

    Args:
        surrogate: The model.
        interpolation: Kind of interpolation of each drive and parameter.
        state_step: A `StateStep`, or its traced graph.
    """

    def __init__(self, surrogate: SurrogateModel, interpolation: tuple[str, ...], state_step: nn.Module) -> None:
        super().__init__()
        self.step = Step(surrogate)
        self.state_step = state_step
        self.drive_stages = surrogate.drive_stages
        self.interpolation = interpolation

    def forward(self, drive: Tensor, state: Tensor, parameters: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the outputs in SI units, shape (batch, time, outputs), and the last state; see the module for the shapes."""
        from torch._higher_order_ops import scan

        if parameters is not None:
            drive = torch.cat([drive, parameters.unsqueeze(1).expand(-1, drive.shape[1], -1)], -1)
        inputs = self.step.scales.drive(drive)
        stages = self.drive_stages(inputs, self.interpolation)

        def advance(state: Tensor, stages: Tensor) -> tuple[Tensor, Tensor]:
            next_state = self.state_step(state, stages)
            return next_state, next_state.clone()  # the carried and the collected state must not be the same tensor

        last_state, later_states = scan(advance, state, stages.movedim(1, 0))
        states = torch.cat([state.unsqueeze(1), later_states.movedim(0, 1)], 1)
        return self.step.read(states, settled_drive(inputs, self.interpolation)[..., : self.step.drives]), last_state


@register(".onnx", "whole rollouts, for an ONNX runtime")
def write_onnx(surrogate: SurrogateModel, interpolation: tuple[str, ...]) -> bytes:
    """Return the content of an ONNX file; see the description of this module.

    Raises:
        ExportError: a library is missing, the vector field cannot be exported, or the model does not agree with the surrogate.
    """
    _check_libraries("onnx", "onnxscript", "onnxruntime")
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time", min=8)
    sizes = {"drive": {0: batch, 1: time}, "state": {0: batch}, "parameters": {0: batch}}
    example = random_runs(surrogate, 3, 16).rollout_inputs(surrogate)
    dynamic = [sizes[name] for name in example]
    # Without gradients: the converter does not support a scan that stores tensors for its backward pass.
    with suppress_output(), torch.no_grad():
        rollout = Rollout(surrogate, interpolation, _traced_state_step(surrogate, interpolation))
        program = trace_module(rollout, tuple(example.values()), dynamic)
        try:
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(example),
                output_names=["output", "last_state"],
                dynamic_shapes=dynamic,
                custom_translation_table={torch.ops.aten.scalar_tensor.default: _scalar_tensor},
            )
            assert converted is not None  # None is for the legacy exporter
            content = _serialize(converted.model, collect_facts(surrogate, interpolation, rollout_signature(surrogate)))
        except ImportError as error:
            raise ExportError(f"the ONNX libraries do not match this torch ({error}); run: {_INSTALL}") from None
        except Exception as error:
            raise ExportError(
                f"the surrogate cannot be converted to ONNX: {root_cause(error)}. ONNX lacks some torch operations; build the "
                "vector field from simpler ones, or export to .pt2, which supports all of them."
            ) from None
        check_rollout(lambda inputs: _run(content, inputs), surrogate, interpolation)
    return content


def _traced_state_step(surrogate: SurrogateModel, interpolation: tuple[str, ...]) -> nn.Module:
    """Return the state update as a graph of its own, since a scan accepts no constants and reports errors of a field badly."""
    runs, batch = random_runs(surrogate, 3, 2), {0: torch.export.Dim("batch")}
    inputs = runs.step_inputs(surrogate, interpolation)[0]
    stages = torch.stack([surrogate.scales.drive(values).flatten(1) for values in inputs], -2)
    program = trace_module(StateStep(Step(surrogate)), (runs.stacked_state, stages), [batch] * 2)
    graph = program.module(check_guards=False)
    for part in graph.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, Tensor):
                delattr(part, name)
                part.register_buffer(name, value)
    return graph


def _check_libraries(*libraries: str) -> None:
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if importlib.util.find_spec("torch._higher_order_ops.scan") is None:
        missing.append("a newer torch")
    if missing:
        raise ExportError(f"an export to ONNX needs {' and '.join(missing)}; run: {_INSTALL}")


def _scalar_tensor(s: float, dtype: int = 1, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:
    """Translate aten::scalar_tensor; torch's own translation rounds the number to float32 even in a float64 model."""
    from onnxscript import ir, opset18

    number: Any = ir.tensor(np.array(s, dtype=ir.DataType(dtype).numpy()))
    return opset18.Constant(value=number)


def _serialize(model: Any, facts: Mapping[str, Any]) -> bytes:
    from onnxscript import ir

    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # source lines and paths of this machine do not belong in the file
    model.metadata_props[FACTS_PROPERTY] = json.dumps(facts)
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
        value.doc_string = (facts["arguments"] | facts["results"])[value.name]
    content: bytes = ir.to_proto(model).SerializeToString()
    return content


def _run(content: bytes, inputs: Mapping[str, Tensor]) -> Tensor:
    """Run an ONNX model and return its outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures are exceptions
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        output, _ = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    except Exception as error:  # onnxruntime has no common base class for its errors
        raise ExportError(
            f"onnxruntime cannot run the exported model: {root_cause(error)}. It supports some operations in float32 only: "
            "try `surrogate.float().export(...)`."
        ) from None
    return torch.as_tensor(output)
