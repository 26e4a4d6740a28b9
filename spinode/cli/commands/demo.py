"""Fit, score and report on a small trace that the package ships."""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

#: What to type next, in the folder of the demo.
NEXT = (
    "spinode inspect macrospin.csv",
    "spinode evaluate macrospin.safetensors macrospin_held.csv",
    "spinode simulate macrospin.safetensors macrospin_held.csv --save response.csv",
    "spinode report macrospin.safetensors macrospin_held.csv --save held.html",
    "spinode view macrospin.safetensors macrospin_held.csv",
    "spinode export macrospin.safetensors macrospin.pt2",
)

SUMMARY = "fit, score and report on a small trace that the package ships"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..options import add_progress, add_seed

    parser.add_argument(
        "--save",
        "--folder",
        default="spinode-demo",
        metavar="FOLDER",
        help="folder of surrogate and report (default: spinode-demo)",
    )
    add_seed(parser, "seed of the fit")
    add_progress(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...datasets import read_trace, sample_path
    from ...surrogates.neural_ode.evaluation.assessment import assess
    from ...surrogates.neural_ode.evaluation.evaluate import evaluate
    from ...surrogates.neural_ode.fitting.fit import fit
    from ...surrogates.neural_ode.report import report
    from ..inputs import check_target, make_folder
    from ..progress import show_progress

    folder = make_folder(arguments.save)
    surrogate_path, page = folder / "macrospin.safetensors", folder / "macrospin.html"
    for path in (surrogate_path, page, folder / "macrospin.csv", folder / "macrospin_held.csv"):
        check_target(path)
    trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    split = float(trace.time[0] + 0.7 * trace.duration)
    print(f"fitting {split * 1e9:.0f} ns of a macrospin driven through its anisotropy ...")
    with show_progress(arguments) as progress:
        surrogate = fit(trace.between(None, split), seed=arguments.seed, progress=progress)
    surrogate.save(surrogate_path)
    evaluation = evaluate(surrogate, trace.between(split, None))
    report(surrogate, evaluation, page)
    for name in ("macrospin.csv", "macrospin_held.csv"):
        shutil.copyfile(sample_path(name), folder / name)
    other_drive = evaluate(surrogate, read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz"))
    for name, scores in (("after the fitted part", evaluation), ("under another drive, held steps", other_drive)):
        print(f"{name:34} free-run NRMSE {scores.nrmse:.4f}   linear ARX {scores.baseline_nrmse:.2f}")
    for sentence in assess(surrogate, evaluation).sentences:
        print(f"- {sentence}")
    print(f"saved {surrogate_path}\nsaved {page}\nTo go on:")
    for command in (f"cd {shlex.quote(str(folder))}", *NEXT):
        print(f"  {command}")
