"""Run the model in a file under the drive in another file: a surrogate of a driven device, a neural SDE, or a surrogate with a
fast response.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, DomainError, TraceError

if TYPE_CHECKING:
    from ...traces.trace import Trace
    from ...typing import Array
    from ..parser import Parser

SUMMARY = "run a fitted model under the drive of a file"
#: Fewest samples of a drive.
MIN_SAMPLES = 8
#: Most steps of the model between two samples of a drive; `spinode evaluate` has the same limit.
MAX_REFINEMENT = 2.5
#: Most samples of a drive after resampling.
MAX_SAMPLES = 10**8


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..options import add_channels, add_reading, add_save, add_seed

    parser.add_argument("surrogate", metavar="SURROGATE", help="file written by spinode fit or spinode fit-stochastic")
    parser.add_argument("table", metavar="DRIVE_FILE", help="file with the time and the drive channels")
    add_save(parser, "file of the outputs (.csv)")
    parser.add_argument("--resample", action="store_true", help="resample a drive of another interval to the model's")
    parser.add_argument("--noise", action="store_true", help="add the noise that was found in the fitted recording")
    add_seed(parser, "seed of the noise")
    parser.add_argument("--strict", action="store_true", help="fail where the run leaves the fitted domain")
    add_channels(parser, "output channel: start from its first samples instead of from rest; may be repeated")
    add_reading(parser)


@dataclass(frozen=True)
class _Result:
    """Outputs by name, their units, and which steps are outside the fitted domain."""

    output: dict[str, Array]
    units: dict[str, str]
    outside: Array


def run(arguments: Any) -> None:
    """Run the command."""
    from ...datasets import write_csv
    from ...surrogates.artifacts import load
    from ...surrogates.neural_ode.surrogate import Surrogate
    from ...traces.trace import Trace
    from ...validation import seed_number
    from ..inputs import check_not_a_folder, check_target

    check_target(arguments.save, arguments.table, arguments.surrogate)
    check_not_a_folder(arguments.surrogate)
    seed_number("seed", arguments.seed)
    model = load(arguments.surrogate)
    _check_runnable(model, arguments)
    grid = _drive_on_grid(model, arguments)
    result = (_run_surrogate if isinstance(model, Surrogate) else _run_device)(model, grid, arguments)
    share = float(result.outside.mean())
    if arguments.strict and share:
        first = float(grid.time[int(result.outside.argmax())])
        raise DomainError(
            f"{share:.1%} of the steps are outside the fitted domain, the first at {first:.6g} s; nothing was written. "
            "Reduce the drive, or leave --strict out."
        )
    output = {**result.output, "outside domain": result.outside.astype(float)}
    write_csv(arguments.save, Trace(grid.time, grid.drive, output, grid.parameters, result.units))
    if share:
        print(
            f"spinode: warning: {share:.1%} of the steps are outside the domain that the model was fitted on "
            '(column "outside domain"): the result there is an extrapolation.',
            file=sys.stderr,
        )
    print(f"saved {arguments.save}: {len(grid)} samples every {model.interval:.6g} s")


def _check_runnable(model: Any, arguments: Any) -> None:
    """Check that a model can run under a drive in time, with these options."""
    from ...contracts.driven_device import DrivenDevice
    from ...surrogates.neural_ode.surrogate import Surrogate
    from ...surrogates.synapses.model import SynapseSurrogate

    if isinstance(model, SynapseSurrogate):
        raise ConfigError(
            f"{arguments.surrogate} is a surrogate of a memory device, which is programmed by pulses; use "
            "`spinode simulate-synapse`."
        )
    if isinstance(model, Surrogate):
        return
    if not isinstance(model, DrivenDevice):
        raise ConfigError(f"{arguments.surrogate} contains a {type(model).__name__}, which does not run under a drive in time.")
    if arguments.output:
        raise ConfigError(
            f"output cannot be given: a {type(model).__name__} starts from rest under the first sample; leave it out."
        )


def _drive_on_grid(model: Any, arguments: Any) -> Trace:
    from ...surrogates.neural_ode.evaluation.matching import match_channels
    from ...traces.resample import resample
    from ...traces.sampling import is_uniform, median_interval
    from ..inputs import read

    named = model if hasattr(model, "ports") else model.surrogate
    trace: Trace = match_channels(named, read(arguments, arguments.table), arguments.drive, arguments.output)
    if not arguments.output:
        trace = replace(trace, output={})  # from rest, unless initial samples are requested
    if len(trace) < MIN_SAMPLES:
        raise TraceError(f"the drive file has {len(trace)} samples; at least {MIN_SAMPLES} are needed.")
    if not arguments.resample and not is_uniform(trace, model.interval, 0.05):
        raise TraceError(
            f"the drive is sampled every {median_interval(trace):.6g} s, the surrogate steps every {model.interval:.6g} s "
            "(all samples must be within a twentieth of a step of its grid); pass --resample to resample it."
        )
    _check_resampling(median_interval(trace), trace.duration, model.interval)
    return resample(trace, model.interval)


def _check_resampling(sampled: float, duration: float, interval: float) -> None:
    """Check that a drive can be resampled to the interval of the model.

    Raises:
        TraceError: the drive is sampled much more coarsely, or would have too many samples.
    """
    if sampled > MAX_REFINEMENT * interval:
        raise TraceError(
            f"the drive is sampled every {sampled:.4g} s, the surrogate steps every {interval:.4g} s; the values between the "
            "samples are unknown. Record or compute the drive at a shorter interval, or fit a surrogate with a longer "
            "sample_interval."
        )
    if duration > MAX_SAMPLES * interval:
        raise TraceError(
            f"the drive lasts {duration:.4g} s, {duration / interval:.3g} steps of the surrogate's {interval:.4g} s; expected "
            f"at most {MAX_SAMPLES}. Select a part of it with --start and --stop."
        )


def _run_surrogate(surrogate: Any, grid: Trace, arguments: Any) -> _Result:
    import torch

    from ...random import seeded_generator

    run = surrogate.run(grid)
    names, values = surrogate.ports.output, run.output
    if arguments.noise:
        generator = seeded_generator(arguments.seed)
        values = values + surrogate.noise * torch.randn(values.shape, generator=generator, dtype=values.dtype)
    output = {name: values[:, i].numpy() for i, name in enumerate(names)}
    output |= {f"{name} spread": run.spread[:, i].numpy() for i, name in enumerate(names)}
    units = dict(surrogate.ports.units) | {f"{name} spread": surrogate.ports.units.get(name, "") for name in names}
    return _Result(output, units, run.outside.numpy())


def _run_device(model: Any, grid: Trace, arguments: Any) -> _Result:
    """Run a `DrivenDevice` from rest under the first sample.

    It returns the output at the end of each sample; the drive is shifted by one sample, so that each row of the result is the
    output at the time of its row.
    """
    import torch

    from ...random import seeded_generator

    ports = (model if hasattr(model, "ports") else model.surrogate).ports
    drive = torch.stack([torch.tensor(grid.drive[name]) for name in ports.drive], -1)
    drive = torch.cat([drive[:1], drive[:-1]])
    generator = seeded_generator(arguments.seed) if arguments.noise else None
    with torch.no_grad():
        response = model.step_block(model.initial_state(drive[0]), drive, generator=generator)
    output = {name: response.output[:, i].numpy() for i, name in enumerate(ports.output)}
    return _Result(output, dict(ports.units), response.outside.numpy())
