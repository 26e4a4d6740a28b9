"""Export to .pt2: one step of a surrogate as a `torch.export` program, read by torch alone.

    step = torch.export.load(path).module()
    next_state, output_at_start, output_at_end = step(state, start, middle, end)

* `state`: in deviations, shape (batch, members * values); the members of an ensemble are side by side. `Surrogate.state_from`
  and `resting_state` compute states of one member; without them start from the resting state in the file, or from zeros.
* `start`, `middle`, `end`: drives, then parameters, at these times of the step, in SI units, shape (batch, inputs). A held
  drive has the same value three times; a linear one the mean of both ends in the middle; for a spline through the samples
  u_-2 .. u_3 around the step from u_0 to u_1 the middle is (150 (u_0 + u_1) - 25 (u_-1 + u_2) + 3 (u_-2 + u_3)) / 256.
  If the vector field also sees later steps, as with a delay embedding of order > 1, the shape is (batch, order, inputs): row j
  contains the values of the step j samples later.
* outputs: read from `state` under `start` and from `next_state` under `end`, in SI units, shape (batch, outputs), the mean of
  the members. A rollout is `output_at_start` of its first step, then `output_at_end` of every step.

The batch may have any size, the program is differentiable in all its inputs, and its weights are parameters. Numbers have the
type of the surrogate, float64 or, after `surrogate.float()`, float32. The file contains facts as JSON in the extra file
"spinode.json": arguments and results, names, units, sample interval [s], range of each drive and parameter in the fitted
data, a resting state. The state is limited as in `simulate`, but the program does not report steps outside the domain of
validity; keep the inputs within the ranges. The interpolation is stored as a fact only, since the caller passes the drive
within the step.
"""

from __future__ import annotations

import io
import json

import torch

from ..neural_ode.model import SurrogateModel
from .checks import check_step, random_runs
from .facts import collect_facts, step_signature
from .registry import register
from .step import Step
from .tracing import suppress_output, trace_module

#: Name of the extra file with the facts.
FACTS_FILE = "spinode.json"


@register(".pt2", "one step, for torch.export.load")
def write_torch_program(surrogate: SurrogateModel, interpolation: tuple[str, ...]) -> bytes:
    """Return the content of a .pt2 file; see the description of this module.

    Raises:
        ExportError: the vector field cannot be exported, or the program does not agree with the surrogate.
    """
    step, content = Step(surrogate), io.BytesIO()
    runs, batch = random_runs(surrogate, 3, 2), {0: torch.export.Dim("batch")}
    with suppress_output(), torch.enable_grad():
        program = trace_module(step, (runs.stacked_state, *runs.step_inputs(surrogate, interpolation)[0]), [batch] * 4)
        facts = collect_facts(surrogate, interpolation, step_signature(surrogate))
        torch.export.save(program, content, extra_files={FACTS_FILE: json.dumps(facts)})
        content.seek(0)
        check_step(torch.export.load(content).module(), step, surrogate, interpolation)
    return content.getvalue()
