"""Commands for devices driven in time: inspect, fit, evaluate, report, simulate, export."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError, TraceError
from ..surrogates.neural_ode.fitting.config import FitConfig
from ..traces.trace import Trace
from .inputs import check_target, inspected, pairs, read, read_all, reading_words
from .messages import Progress, in_options
from .options import channels, command, pulsed, reading, several
from .synapses import inspect_pulses

#: Free-run NRMSE on the unseen stretch above which another embedding is suggested.
_POOR = 0.3


def add_commands(commands: Any) -> None:
    """Register them."""
    inspect = command(
        commands, "inspect", _inspect, "say what is in a file, in what units, and what is odd about it", in_options
    )
    inspect.add_argument("table", metavar="TABLE", help="measurement file, folder, or pattern in quotes")
    reading(inspect)
    several(inspect)
    pulsed(inspect, None)

    fit = command(commands, "fit", _fit, "fit a surrogate to a stretch of one or several files")
    fit.add_argument(
        "tables", metavar="TABLE", nargs="+", help="measurement file, folder or pattern; several make a set of traces"
    )
    reading(fit)
    several(fit)
    channels(fit)
    fit.add_argument("--save", required=True, metavar="FILE", help="where the surrogate goes (.safetensors)")
    _settings(fit)
    fit.add_argument("--checkpoint", metavar="FILE", help="progress file; beside the surrogate if omitted")
    fit.add_argument("--quiet", action="store_true", help="print nothing but the result")

    evaluate = command(commands, "evaluate", _evaluate, "score a surrogate on a recording it has not seen")
    report = command(commands, "report", _report, "write one HTML file that says how far to trust a surrogate")
    for each in (evaluate, report):
        each.add_argument("surrogate", metavar="SURROGATE", help="file written by `spinode fit`")
        each.add_argument("table", metavar="TABLE", help="measurement file")
        reading(each)
        channels(each)
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    report.add_argument("--save", required=True, metavar="FILE", help="where the report goes (.html)")

    simulate = command(commands, "simulate", _simulate, "run a surrogate under the drive of a file")
    simulate.add_argument("surrogate", metavar="SURROGATE", help="file written by `spinode fit`")
    simulate.add_argument("table", metavar="DRIVE_FILE", help="file with the time and the drive channels")
    reading(simulate)
    channels(simulate)
    simulate.add_argument("--save", required=True, metavar="FILE", help="where the outputs go (.csv)")
    simulate.add_argument("--resample", action="store_true", help="resample a drive of another interval to the surrogate's")
    simulate.add_argument("--noise", action="store_true", help="add the measurement noise found in the fitted recording")
    simulate.add_argument("--seed", type=int, default=0, help="seed of the noise (default 0)")
    simulate.add_argument("--strict", action="store_true", help="fail where the run leaves the fitted domain")

    export = command(commands, "export", _export, "write a surrogate as a program that runs without spinode")
    export.add_argument("surrogate", metavar="SURROGATE", help="file written by `spinode fit`")
    export.add_argument(
        "target", metavar="FILE", help="one step for torch (.pt2), or whole rollouts for other runtimes (.onnx)"
    )
    export.add_argument(
        "--interpolation",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help="how a drive runs between samples: held, linear or spline (as it was fitted); may be repeated",
    )
    export.add_argument("--float32", action="store_true", help="in single precision instead of double")


def _settings(fit: argparse.ArgumentParser) -> None:
    default = FitConfig()
    fit.add_argument("--sample-interval", type=float, metavar="SECONDS", help="interval of one step (the file's own)")
    fit.add_argument("-k", "--order", type=int, metavar="K", help="embedding order (chosen from the data)")
    fit.add_argument("--embedding", default=default.embedding, help="derivative or delay (default %(default)s)")
    fit.add_argument("--method", default=default.method, help="gauss-newton or adam (default %(default)s)")
    fit.add_argument("--resampling", default=default.resampling, help="spline or band-limited (default %(default)s)")
    fit.add_argument("--hidden", type=int, nargs="+", default=list(default.hidden), help="widths of the hidden layers")
    for name in ("restarts", "members", "seed", "ridge", "validation"):
        value = getattr(default, name)
        fit.add_argument(f"--{name}", type=type(value), default=value, help="default %(default)s")


def _inspect(arguments: argparse.Namespace) -> None:
    from ..traces.inspect import summary

    if arguments.layout is not None:
        return inspect_pulses(arguments)
    for name in ("polarity", "read_voltage", "conductance_unit", "column"):
        if getattr(arguments, name) not in (None, []):
            raise ConfigError(
                f"--{name.replace('_', '-')} belongs to a file of pulses; pass --layout too, such as --layout auto."
            )

    traces = inspected(arguments, arguments.table)
    if len(traces) > 1:
        print(f"{len(traces)} recordings in {arguments.table}; the first:\n")
        for name in traces[0].parameters:
            values = [trace.parameters[name] for trace in traces]
            print(f"parameter {name} from {min(values):g} to {max(values):g}")
    plain = not (sys.stdout.encoding or "").casefold().startswith("utf")
    print(summary(traces[0], file=arguments.table, options=reading_words(arguments), plain=plain))
    return None


def _fit(arguments: argparse.Namespace) -> None:
    from ..surrogates.neural_ode.fitting.fit import fit

    check_target(arguments.save, *arguments.tables)
    config = FitConfig.of(
        **{
            name: getattr(arguments, name)
            for name in (
                "sample_interval", "order", "embedding", "method", "resampling", "hidden",
                "restarts", "members", "seed", "ridge", "validation",
            )
        }
    )  # fmt: skip
    if not arguments.output:
        listed = ", ".join(read_all(arguments, arguments.tables[:1])[0].channels)
        raise TraceError(f"no --output was given; name what the device answers with. The channels are: {listed}.")
    traces = read_all(arguments, arguments.tables, arguments.drive, arguments.output)
    checkpoint = Path(arguments.checkpoint or f"{arguments.save}.checkpoint")
    check_target(str(checkpoint), *arguments.tables)
    if checkpoint.exists():
        print(f"spinode: resuming from {checkpoint}", file=sys.stderr)
    progress = Progress(arguments.quiet)
    try:
        surrogate = fit(traces, config, checkpoint=checkpoint, progress=progress)
    except KeyboardInterrupt:
        progress.end()
        print(f"spinode: the same command resumes from {checkpoint}.", file=sys.stderr)
        raise
    progress.end()
    surrogate.save(arguments.save)
    _forget(checkpoint)
    print(surrogate.describe())
    for sentence in _fit_sentences(surrogate):
        print(sentence)
    print(f"saved {arguments.save}")


def _forget(checkpoint: Path) -> None:
    import shutil

    checkpoint.unlink(missing_ok=True)
    for folder in checkpoint.parent.glob(f"{checkpoint.name}.lightning*"):
        shutil.rmtree(folder, ignore_errors=True)


def _fit_sentences(surrogate: Any) -> list[str]:
    from ..surrogates.neural_ode.evaluation.order_remarks import assess_order

    kept = [surrogate.record["validation"][index] for index in surrogate.record["kept"]]
    lines = ["validation: free-run NRMSE " + ", ".join(f"{value:.4f}" for value in kept) + " on the last stretch, unseen"]
    if min(kept) > _POOR and surrogate.record["config"]["embedding"] == "derivative":
        lines.append("That is poor. Where the drive moves the output within a sample, --embedding delay may do far better.")
    return [*lines, assess_order(surrogate).text]


def _evaluate(arguments: argparse.Namespace) -> None:
    evaluation, surrogate = _evaluation(arguments)
    if arguments.json:
        print(json.dumps(evaluation.to_dict(), allow_nan=False))
        return
    from ..surrogates.neural_ode.evaluation.assessment import assess

    scores = evaluation.to_dict()
    for name in ("nrmse", "baseline_nrmse", "r2", "spectrum_error", "outside_domain", "coverage"):
        print(f"{name:16} {'none' if scores[name] is None else format(scores[name], '.4g')}")
    for name in ("diverged_at", "regime_change_at", "nrmse_before_change"):
        print(f"{name:19} {'none' if scores[name] is None else format(scores[name], '.6g')}")
    shown = scores["horizon"][:: max(1, len(scores["horizon"]) // 6)]
    print("horizon          " + "  ".join(f"{t:.3g} s: {value:.3g}" for t, value in shown))
    for sentence in assess(surrogate, evaluation).sentences:
        print(f"- {sentence}")


def _report(arguments: argparse.Namespace) -> None:
    from ..surrogates.neural_ode.report import report

    check_target(arguments.save, arguments.table, arguments.surrogate)
    evaluation, surrogate = _evaluation(arguments)
    report(surrogate, evaluation, arguments.save)
    print(f"saved {arguments.save}")


def _evaluation(arguments: argparse.Namespace) -> tuple[Any, Any]:
    from ..surrogates.neural_ode.evaluation.evaluate import evaluate
    from ..surrogates.neural_ode.serialization import load

    surrogate = load(arguments.surrogate)
    trace = read(arguments, arguments.table)
    return evaluate(surrogate, trace, drive=arguments.drive, output=arguments.output), surrogate


def _simulate(arguments: argparse.Namespace) -> None:
    import torch

    from ..datasets import write_csv
    from ..surrogates.neural_ode.evaluation.matching import match_channels
    from ..surrogates.neural_ode.serialization import load
    from ..traces.resample import interval_of, is_uniform, resample

    check_target(arguments.save, arguments.table, arguments.surrogate)
    surrogate = load(arguments.surrogate)
    trace = match_channels(surrogate, read(arguments, arguments.table), arguments.drive, arguments.output)
    if not arguments.output:
        trace = replace(trace, output={})  # from rest, unless initial samples are asked for
    if len(trace) < 8:
        raise TraceError(f"the drive file holds {len(trace)} samples; at least 8 are needed.")
    step = interval_of(trace)
    if not arguments.resample and not is_uniform(trace, surrogate.interval, 0.05):
        raise TraceError(
            f"the drive is sampled every {step:.6g} s, the surrogate steps every {surrogate.interval:.6g} s "
            "(all samples must lie within a twentieth of a step of its grid); pass --resample to resample it."
        )
    grid = resample(trace, surrogate.interval)
    run = surrogate.run(grid)
    names = surrogate.ports.output
    values = run.output
    if arguments.noise:
        generator = torch.Generator().manual_seed(arguments.seed)
        values = values + surrogate.noise * torch.randn(values.shape, generator=generator, dtype=values.dtype)
    share = float(run.outside.double().mean())
    if arguments.strict and share:
        first = float(run.time[int(run.outside.nonzero()[0])])
        raise TraceError(
            f"{share:.1%} of the steps lie outside the fitted domain, the first at {first:.6g} s; nothing was written. "
            "Reduce the drive, or leave --strict out."
        )
    output = {name: values[:, i].numpy() for i, name in enumerate(names)}
    output |= {f"{name} spread": run.spread[:, i].numpy() for i, name in enumerate(names)}
    output["outside domain"] = run.outside.double().numpy()
    units = dict(surrogate.ports.units) | {f"{name} spread": surrogate.ports.units.get(name, "") for name in names}
    write_csv(arguments.save, Trace(grid.time, grid.drive, output, grid.parameters, units))
    if share:
        print(
            f"spinode: warning: {share:.1%} of the steps lie outside the domain the surrogate was fitted on "
            '(column "outside domain"): the result there is an extrapolation.',
            file=sys.stderr,
        )
    print(f"saved {arguments.save}: {len(grid)} samples every {surrogate.interval:.6g} s")


def _export(arguments: argparse.Namespace) -> None:
    from ..surrogates.neural_ode.serialization import load

    check_target(arguments.target, arguments.surrogate)
    surrogate = load(arguments.surrogate)
    if arguments.float32:
        surrogate = surrogate.float()
    surrogate.export(arguments.target, interpolation=dict(pairs("--interpolation", arguments.interpolation)))
    one = arguments.target.lower().endswith(".pt2")
    what = "one step, for torch.export.load" if one else "whole rollouts, for an ONNX runtime"
    print(f"saved {arguments.target}: {what}; compared with PyTorch")
