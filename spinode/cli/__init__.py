"""The command `spinode`: composes readers, fit, scores and report. Bad input ends in one message and exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..config import FitConfig
from ..errors import ConfigError, SpinodeError, TraceError
from ..files import check_writable
from ..trace import Trace, TraceSet

#: Exit codes: bad input, and interrupted by the user.
BAD_INPUT, INTERRUPTED = 2, 130
#: Most reads that `simulate-synapse` writes: a file of some 50 MB.
MOST_READS = 10**6

_QUOTED = r"""'[^']*'|"[^"]*\""""
# How messages of the package call what the command line has options for; applied in this order.
_OPTIONS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(rf"(?:pulses=)?PulseLayout\(((?:[^()'\"]|{_QUOTED})*)\)"),
        lambda found: re.sub(r", (?=--)", " ", in_options(found[1].removeprefix("..., "))),
    ),
    (re.compile(rf"\bcolumns=\{{((?:[^{{}}'\"]|{_QUOTED})*)\}}"), lambda found: _pair_options("--column", found[1])),
    (re.compile(rf"\bunits=\{{((?:[^{{}}'\"]|{_QUOTED})*)\}}"), lambda found: _pair_options("--unit", found[1])),
    (
        re.compile(rf"(?<![\w-])(pulses|layout|polarity|read_voltage|conductance_unit|time)=({_QUOTED}|[-+.\w]*[-+\w])"),
        lambda found: f"{_option(found[1])} {shlex.quote(found[2].strip(found[2][0]) if found[2][0] in _MARKS else found[2])}",
    ),
    (
        re.compile(
            r"(?<![\w-])(pulses|polarity|read_voltage|conductance_unit|columns|units|time|voltage|width|devices)=(?:\.{3})?(?=[\s.,;:)]|$)"
        ),
        lambda found: _option(found[1]),
    ),
    (re.compile(r"\b(read_voltage|polarity) is "), lambda found: f"{_option(found[1])} is "),
    (re.compile(r"(--polarity SET) or 'RESET'"), r"\1 or RESET"),
    (
        re.compile(r' \(or the layout by name: "long", "up-down", "ramps"\) for a TraceSet with .*?cycle'),
        " (or long, up-down, ramps)",
    ),
)
_MARKS = "'\""


def in_options(message: str) -> str:
    """A message of the package in the words of the command line: `polarity='SET'` becomes `--polarity SET`."""
    for pattern, words in _OPTIONS:
        message = pattern.sub(words, message)
    return message


def _option(name: str) -> str:
    known = {"pulses": "layout", "columns": "column", "units": "unit"}
    return "--" + known.get(name, name).replace("_", "-")


def _pair_options(option: str, pairs: str) -> str:
    """`--column a=b --column c=...` for the inside of a dict with words as keys."""
    found = re.findall(rf"({_QUOTED}): ({_QUOTED}|\.\.\.)", pairs)
    words = [f"{key[1:-1]}={value if value == '...' else value[1:-1]}" for key, value in found]
    return " ".join(f"{option} {shlex.quote(word)}" for word in words) or option


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process if omitted.

    Returns:
        Exit code: 0, or 2 for bad input, or 130 if interrupted.
    """
    arguments = parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = arguments.run
    worded = in_options if run in (_inspect, _fit_synapse, _simulate_synapse) else str

    def print_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        print(f"spinode: warning: {worded(str(message))}", file=sys.stderr)

    shown, warnings.showwarning = warnings.showwarning, print_warning
    try:
        run(arguments)
        sys.stdout.flush()
    except SpinodeError as error:
        return _fail(worded(str(error)))
    except MemoryError:
        return _fail("there is not enough memory for this; take a shorter stretch or a longer sample interval.")
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough; anything written at exit would complain again.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("\nspinode: interrupted.", file=sys.stderr)
        return INTERRUPTED
    finally:
        warnings.showwarning = shown
    return 0


def _fail(message: str) -> int:
    print(f"spinode: error: {message}", file=sys.stderr)
    return BAD_INPUT


class _Parser(argparse.ArgumentParser):
    """One sentence for a wrong option, as for any other bad input."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"spinode: error: {message} (see `{self.prog} --help`).\n")


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = _Parser(prog="spinode", description="A measurement file in, a fast differentiable device model out.")
    from .. import __version__

    top.add_argument("--version", action="version", version=f"spinode {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    inspect = _command(commands, "inspect", _inspect, "say what is in a file, in what units, and what is odd about it")
    inspect.add_argument("table", metavar="TABLE", help="measurement file")
    _reading(inspect)
    _pulsed(inspect, None)

    fit = _command(commands, "fit", _fit, "fit a surrogate to a stretch of one or several files")
    fit.add_argument("tables", metavar="TABLE", nargs="+", help="measurement file; several make a set of traces")
    _reading(fit)
    _channels(fit)
    fit.add_argument("--save", required=True, metavar="FILE", help="where the surrogate goes (.safetensors)")
    _settings(fit)
    fit.add_argument("--checkpoint", metavar="FILE", help="progress file; beside the surrogate if omitted")
    fit.add_argument("--quiet", action="store_true", help="print nothing but the result")

    evaluate = _command(commands, "evaluate", _evaluate, "score a surrogate on a recording it has not seen")
    report = _command(commands, "report", _report, "write one HTML file that says how far to trust a surrogate")
    for command in (evaluate, report):
        command.add_argument("surrogate", metavar="SURROGATE", help="file written by `spinode fit`")
        command.add_argument("table", metavar="TABLE", help="measurement file")
        _reading(command)
        _channels(command)
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    report.add_argument("--save", required=True, metavar="FILE", help="where the report goes (.html)")

    simulate = _command(commands, "simulate", _simulate, "run a surrogate under the drive of a file")
    simulate.add_argument("surrogate", metavar="SURROGATE", help="file written by `spinode fit`")
    simulate.add_argument("table", metavar="DRIVE_FILE", help="file with the time and the drive channels")
    _reading(simulate)
    _channels(simulate)
    simulate.add_argument("--save", required=True, metavar="FILE", help="where the outputs go (.csv)")
    simulate.add_argument("--resample", action="store_true", help="resample a drive of another interval to the surrogate's")
    simulate.add_argument("--noise", action="store_true", help="add the measurement noise found in the fitted recording")
    simulate.add_argument("--seed", type=int, default=0, help="seed of the noise (default 0)")
    simulate.add_argument("--strict", action="store_true", help="fail where the run leaves the fitted domain")

    export = _command(commands, "export", _export, "write a surrogate as a program that runs without spinode")
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

    synapse = _command(commands, "fit-synapse", _fit_synapse, "fit a memory device that was read pulse by pulse")
    synapse.add_argument(
        "tables",
        metavar="[SET=|RESET=]FILE",
        nargs="+",
        help="pulse file; several make one set of recordings. A polarity before the name holds for that file alone",
    )
    _pulse_reading(synapse)
    _pulsed(synapse, "auto")
    synapse.add_argument("--separate", action="store_true", help="each file holds other devices, whatever their numbers")
    synapse.add_argument("--scale", choices=("linear", "log"), help="of the conductance (what the data suggest)")
    synapse.add_argument("--seed", type=int, default=0, help="default 0")
    synapse.add_argument("--save", required=True, metavar="FILE", help="where the surrogate goes (.safetensors)")
    synapse.add_argument("--report", metavar="FILE", help="page that says how far to trust it (.html)")
    synapse.add_argument("--quiet", action="store_true", help="print nothing but the result")

    pulsing = _command(commands, "simulate-synapse", _simulate_synapse, "pulse virtual devices and write what reads would be")
    pulsing.add_argument("surrogate", metavar="SURROGATE", help="file written by `spinode fit-synapse`, or a name of the zoo")
    pulsing.add_argument("--pulses", type=int, required=True, metavar="N", help="number of pulses, each followed by a read")
    pulsing.add_argument("--polarity", choices=("SET", "RESET"), help="of the pulses (that which the device knows)")
    pulsing.add_argument("--voltage", type=float, metavar="VOLTS", help="of the pulses (the usual one)")
    pulsing.add_argument("--width", type=float, metavar="SECONDS", help="of the pulses (the usual one)")
    pulsing.add_argument("--devices", type=int, default=1, metavar="N", help="number of devices (default 1)")
    pulsing.add_argument("--seed", type=int, default=0, help="of devices and noise (default 0)")
    pulsing.add_argument("--save", required=True, metavar="FILE", help="where the reads go (.csv)")

    demo = _command(commands, "demo", _demo, "fit, score and report on a small trace that the package ships")
    demo.add_argument("--folder", default="spinode-demo", help="where surrogate and report go (default spinode-demo)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the fit (default 0)")
    return top


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    made.set_defaults(run=run)
    return made


def _reading(command: argparse.ArgumentParser) -> None:
    command.add_argument("--time", metavar="NAME", help="time column; or the sample interval in seconds, without one")
    command.add_argument("--start", type=float, metavar="SECONDS", help="first instant of the stretch")
    command.add_argument("--stop", type=float, metavar="SECONDS", help="last instant of the stretch")
    command.add_argument(
        "--unit", action="append", default=[], metavar="NAME=UNIT", help="unit of a column, e.g. V=mV; may be repeated"
    )
    command.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="constant of the recording, in SI"
    )


def _pulse_reading(command: argparse.ArgumentParser) -> None:
    """`_reading` without the instants between which a recording is cut."""
    command.add_argument("--time", metavar="NAME", help="time column; or the interval between reads in seconds")
    for option, shown, text in (
        ("--unit", "NAME=UNIT", "unit of a column, e.g. G=uS; may be repeated"),
        ("--parameter", "NAME=VALUE", "constant of the recordings, in SI"),
    ):
        command.add_argument(option, action="append", default=[], metavar=shown, help=text)


def _pulsed(command: argparse.ArgumentParser, layout: str | None) -> None:
    command.add_argument(
        "--layout",
        choices=("auto", "long", "up-down", "ramps"),
        default=layout,
        help="how a file of pulses is built: a row for each read, two columns (after SET, after RESET), or a column a ramp",
    )
    command.add_argument("--polarity", choices=("SET", "RESET"), help="of the pulses, where a file does not tell")
    command.add_argument("--read-voltage", type=float, metavar="VOLTS", help="of the reads, where a file has currents")
    command.add_argument("--conductance-unit", metavar="UNIT", help="of the reads, such as uS, kOhm or nA")
    command.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="column of a role (device, cycle, pulse, direction, conductance, ...), none if NAME is empty; may be repeated",
    )


def _channels(command: argparse.ArgumentParser) -> None:
    command.add_argument("--drive", action="append", default=[], metavar="NAME", help="drive channel; may be repeated")
    command.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="NAME",
        help="output channel; may be repeated (in `simulate`: start from its first samples instead of from rest)",
    )


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


# --- commands -----------------------------------------------------------------------------------------------------------


def _inspect(arguments: argparse.Namespace) -> None:
    from ..diagnose import summary

    if arguments.layout is not None:
        return _inspect_pulses(arguments)
    for name in ("polarity", "read_voltage", "conductance_unit", "column"):
        if getattr(arguments, name) not in (None, []):
            raise ConfigError(
                f"--{name.replace('_', '-')} belongs to a file of pulses; pass --layout too, such as --layout auto."
            )

    print(summary(_read(arguments, arguments.table), file=arguments.table))
    return None


def _inspect_pulses(arguments: argparse.Namespace) -> None:
    from ..surrogates.pulse_summary import pulse_summary

    if arguments.start is not None or arguments.stop is not None:
        raise ConfigError("--start and --stop have no place beside --layout: a file of pulses is read whole.")
    traces = _read_pulses(arguments, [arguments.table])
    print(pulse_summary(traces))
    words = ["spinode", "fit-synapse", arguments.table, "--layout", arguments.layout]
    for option in ("polarity", "read_voltage", "conductance_unit", "time"):
        if getattr(arguments, option) is not None:
            words += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
    for option in ("column", "unit", "parameter"):
        words += [word for value in getattr(arguments, option) for word in (f"--{option}", value)]
    print(f"To fit a model:\n  {shlex.join([*words, '--save', 'device.safetensors'])}")


def _fit(arguments: argparse.Namespace) -> None:
    from ..fit import fit

    _check_target(arguments.save, *arguments.tables)
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
        listed = ", ".join(_read(arguments, arguments.tables[0]).channels)
        raise TraceError(f"no --output was given; name what the device answers with. The channels are: {listed}.")
    traces = [_read(arguments, table, arguments.drive, arguments.output) for table in arguments.tables]
    checkpoint = Path(arguments.checkpoint or f"{arguments.save}.checkpoint")
    _check_target(str(checkpoint), *arguments.tables)
    if checkpoint.exists():
        print(f"spinode: resuming from {checkpoint}", file=sys.stderr)
    progress = _Progress(arguments.quiet)
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


def _check_target(target: str, *inputs: str) -> None:
    """Refuse to write where it cannot be done, or over what is read."""
    check_writable(target)
    for path in inputs:
        if Path(target).exists() and Path(path).exists() and Path(target).samefile(path):
            raise TraceError(f"{target} is the file that is read; writing would destroy it. Choose another name.")


def _forget(checkpoint: Path) -> None:
    import shutil

    checkpoint.unlink(missing_ok=True)
    for folder in checkpoint.parent.glob(f"{checkpoint.name}.lightning*"):
        shutil.rmtree(folder, ignore_errors=True)


def _fit_sentences(surrogate: Any) -> list[str]:
    from ..report import order_verdict

    kept = [surrogate.record["validation"][index] for index in surrogate.record["kept"]]
    lines = ["validation: free-run NRMSE " + ", ".join(f"{value:.4f}" for value in kept) + " on the last stretch, unseen"]
    return [*lines, *order_verdict(surrogate)]


def _evaluate(arguments: argparse.Namespace) -> None:
    evaluation, surrogate = _evaluation(arguments)
    if arguments.json:
        print(json.dumps(evaluation.to_dict(), allow_nan=False))
        return
    from ..report import verdict

    scores = evaluation.to_dict()
    for name in ("nrmse", "baseline_nrmse", "r2", "spectrum_error", "outside_domain", "coverage"):
        print(f"{name:16} {'none' if scores[name] is None else format(scores[name], '.4g')}")
    for name in ("diverged_at", "regime_change_at", "nrmse_before_change"):
        print(f"{name:19} {'none' if scores[name] is None else format(scores[name], '.6g')}")
    shown = scores["horizon"][:: max(1, len(scores["horizon"]) // 6)]
    print("horizon          " + "  ".join(f"{t:.3g} s: {value:.3g}" for t, value in shown))
    for sentence in verdict(surrogate, evaluation):
        print(f"- {sentence}")


def _report(arguments: argparse.Namespace) -> None:
    from ..report import report

    _check_target(arguments.save, arguments.table, arguments.surrogate)
    evaluation, surrogate = _evaluation(arguments)
    report(surrogate, evaluation, arguments.save)
    print(f"saved {arguments.save}")


def _evaluation(arguments: argparse.Namespace) -> tuple[Any, Any]:
    from ..evaluate import evaluate
    from ..persist import load

    surrogate = load(arguments.surrogate)
    trace = _read(arguments, arguments.table)
    return evaluate(surrogate, trace, drive=arguments.drive, output=arguments.output), surrogate


def _simulate(arguments: argparse.Namespace) -> None:
    import torch

    from ..datasets import write_csv
    from ..evaluate import matched
    from ..persist import load
    from ..resample import interval_of, is_uniform, resample

    _check_target(arguments.save, arguments.table, arguments.surrogate)
    surrogate = load(arguments.surrogate)
    trace = matched(surrogate, _read(arguments, arguments.table), arguments.drive, arguments.output)
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
    from ..persist import load

    _check_target(arguments.target, arguments.surrogate)
    surrogate = load(arguments.surrogate)
    if arguments.float32:
        surrogate = surrogate.float()
    surrogate.export(arguments.target, interpolation=dict(_pairs("--interpolation", arguments.interpolation)))
    one = arguments.target.lower().endswith(".pt2")
    what = "one step, for torch.export.load" if one else "whole rollouts, for an ONNX runtime"
    print(f"saved {arguments.target}: {what}; compared with PyTorch")


def _fit_synapse(arguments: argparse.Namespace) -> None:
    from ..surrogates.fit_synapse import SynapseConfig, fit_synapse
    from ..surrogates.pulse_summary import not_known

    files = [file for _, file in map(_polarity_of, arguments.tables)]
    targets = [arguments.save] + ([arguments.report] if arguments.report else [])
    for target in targets:
        _check_target(target, *files)
    if len(set(targets)) < len(targets):
        raise ConfigError(f"--save and --report both name {arguments.save}; give the page a name of its own.")
    if Path(arguments.save).suffix.lower() != ".safetensors":
        raise ConfigError(f"--save is {arguments.save}; expected a name that ends in .safetensors, as surrogates have.")
    config = SynapseConfig(scale=arguments.scale, seed=arguments.seed)
    traces = _read_pulses(arguments, arguments.tables)
    progress = _Progress(arguments.quiet)
    surrogate = fit_synapse(traces, config, progress=progress)
    progress.end()
    surrogate.save(arguments.save)
    print(surrogate.describe())
    for sentence in not_known(int(surrogate.record["devices"])):
        print(f"not known:  {sentence}")
    print(f"saved {arguments.save}")
    if arguments.report:
        from ..surrogates.synapse_report import synapse_report

        synapse_report(surrogate, traces, arguments.report)
        print(f"saved {arguments.report}")


def _simulate_synapse(arguments: argparse.Namespace) -> None:
    import torch

    from ..datasets import pulse_traces, write_pulses
    from ..surrogates.zoo import load_synapse

    _check_target(arguments.save, arguments.surrogate)
    surrogate = load_synapse(arguments.surrogate)
    for name in ("pulses", "devices"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name} is {getattr(arguments, name)}; expected a whole number of at least 1.")
    if arguments.pulses * arguments.devices > MOST_READS:
        raise ConfigError(
            f"--pulses {arguments.pulses} for --devices {arguments.devices} make {arguments.pulses * arguments.devices} reads; "
            f"expected at most {MOST_READS} in one file. Take fewer, or call `pulse_traces` in Python."
        )
    polarity = arguments.polarity or surrogate.polarities[0]
    traces = pulse_traces(
        surrogate,
        torch.full((arguments.pulses,), 1.0 if polarity == "SET" else -1.0),
        devices=arguments.devices,
        voltage=arguments.voltage,
        width=arguments.width,
        generator=torch.Generator().manual_seed(arguments.seed),
    )
    write_pulses(arguments.save, traces)
    if arguments.devices > 1 and not surrogate.of_devices:
        print("spinode: warning: the surrogate knows no spread between devices; these differ by noise only.", file=sys.stderr)
    print(
        f"saved {arguments.save}: {_counted(arguments.devices, 'device')}, "
        f"{_counted(arguments.pulses, f'{polarity} pulse')} each"
    )


def _demo(arguments: argparse.Namespace) -> None:
    from ..datasets import read_trace, sample_path
    from ..evaluate import evaluate
    from ..fit import fit
    from ..report import report, verdict

    folder = Path(arguments.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceError(f"cannot make the folder {folder}: {error.strerror or error}. Pass --folder.") from None
    saved, page = folder / "macrospin.safetensors", folder / "macrospin.html"
    for path in (saved, page):
        check_writable(path)
    trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    split = float(trace.time[0] + 0.7 * trace.duration)
    progress = _Progress(quiet=False)
    print(f"fitting {split * 1e9:.0f} ns of a macrospin driven through its anisotropy ...")
    surrogate = fit(trace.between(None, split), seed=arguments.seed, restarts=3, progress=progress)
    progress.end()
    surrogate.save(saved)
    evaluation = evaluate(surrogate, trace.between(split, None))
    report(surrogate, evaluation, page)
    held = evaluate(surrogate, read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz"))
    rows = (("the stretch after the fitted one", evaluation), ("another drive: held steps", held))
    for name, scores in rows:
        print(f"{name:34} free-run NRMSE {scores.nrmse:.4f}   linear ARX {scores.baseline_nrmse:.2f}")
    for sentence in verdict(surrogate, evaluation):
        print(f"- {sentence}")
    print(f"saved {saved}\nsaved {page}")


# --- helpers ------------------------------------------------------------------------------------------------------------


def _read(arguments: argparse.Namespace, table: str, drive: Sequence[str] = (), output: Sequence[str] = ()) -> Trace:
    from ..datasets import read_trace

    for option, names in (("--drive", drive), ("--output", output)):
        if len(set(names)) < len(names):
            raise ConfigError(f"{option} names {next(n for n in names if list(names).count(n) > 1)!r} twice; give each once.")
    clock: str | float | None = arguments.time
    if clock is not None:
        with contextlib.suppress(ValueError):
            clock = float(clock)
    return read_trace(
        table,
        drive=drive,
        output=output,
        parameters={name: _number(name, value) for name, value in _pairs("--parameter", arguments.parameter)},
        time=clock,
        start=arguments.start,
        stop=arguments.stop,
        units=dict(_pairs("--unit", arguments.unit)),
    )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _polarity_of(table: str) -> tuple[str | None, str]:
    """Polarity and name of a file, from SET=FILE, RESET=FILE or FILE; a file of just that name wins."""
    head, _, rest = table.partition("=")
    if rest and head not in ("SET", "RESET") and not Path(table).exists() and Path(rest).exists():
        raise ConfigError(f"there is no file {table}; the polarity before the name of a file is SET= or RESET=: SET={rest}.")
    return (head, rest) if head in ("SET", "RESET") and rest and not Path(table).exists() else (None, table)


def _read_pulses(arguments: argparse.Namespace, tables: Sequence[str]) -> TraceSet:
    """The recordings of all files of pulses."""
    from ..datasets import PulseLayout, read_trace

    clock: str | float | None = arguments.time
    if clock is not None:
        with contextlib.suppress(ValueError):
            clock = float(clock)
    found: list[Trace] = []
    for table in tables:
        polarity, file = _polarity_of(table)
        layout = PulseLayout(
            layout=arguments.layout,
            polarity=polarity or arguments.polarity,
            read_voltage=arguments.read_voltage,
            conductance_unit=arguments.conductance_unit,
            columns=dict(_pairs("--column", arguments.column)),
        )
        parameters = {name: _number(name, value) for name, value in _pairs("--parameter", arguments.parameter)}
        units = dict(_pairs("--unit", arguments.unit))
        traces = list(read_trace(file, pulses=layout, parameters=parameters, time=clock, units=units))
        if getattr(arguments, "separate", False):
            numbers = sorted({trace.parameters.get("device", 0.0) for trace in traces})
            first = 1 + max((trace.parameters["device"] for trace in found), default=-1.0)
            places = {number: first + place for place, number in enumerate(numbers)}
            traces = [
                replace(t, parameters={**t.parameters, "device": places[t.parameters.get("device", 0.0)]}) for t in traces
            ]
        found += traces
    return TraceSet(found)


def _pairs(option: str, values: Sequence[str]) -> list[tuple[str, str]]:
    example = {"--unit": "V=mV", "--parameter": "T=300", "--interpolation": "V=held", "--column": "conductance=G"}[option]
    form = "ROLE=NAME" if option == "--column" else "NAME=VALUE"
    for value in values:
        if "=" not in value:
            raise ConfigError(f"{option} {value!r} has no '='; expected {form}, such as {option} {example}.")
    # The name of a column may hold '=' itself; roles, units and numbers do not.
    cut = str.partition if option == "--column" else str.rpartition
    return [(name, text) for name, _, text in (cut(value, "=") for value in values)]


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"the parameter {name!r} is {text!r}; expected a number in SI units.") from None
    if not np.isfinite(value):
        raise ConfigError(f"the parameter {name!r} is {text!r}; expected a finite number.")
    return value


class _Progress:
    """Progress on one line of a terminal; where there is none, only what ends a restart."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()

    def __call__(self, line: str) -> None:
        if self.quiet:
            return
        if self.terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif "step" not in line:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self.terminal and not self.quiet:
            print(file=sys.stderr)
