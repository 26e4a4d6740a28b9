"""The command `demo`: the way through on a trace that the package ships."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import TraceError
from ..files import check_writable
from .messages import Progress
from .options import command


def add_commands(commands: Any) -> None:
    """Register it."""
    demo = command(commands, "demo", _demo, "fit, score and report on a small trace that the package ships")
    demo.add_argument("--folder", default="spinode-demo", help="where surrogate and report go (default spinode-demo)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the fit (default 0)")


def _demo(arguments: argparse.Namespace) -> None:
    from ..datasets import read_trace, sample_path
    from ..surrogates.neural_ode.evaluation.assessment import assess
    from ..surrogates.neural_ode.evaluation.evaluate import evaluate
    from ..surrogates.neural_ode.fitting.fit import fit
    from ..surrogates.neural_ode.report import report

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
    progress = Progress(quiet=False)
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
    for sentence in assess(surrogate, evaluation).sentences:
        print(f"- {sentence}")
    print(f"saved {saved}\nsaved {page}")
