"""`report`: one HTML page with the assessment of a surrogate and the figures and scores behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...reporting.page import Figure, Page, Section, Table, draw_figure, flatten_rows, format_value, minus, render_page
from ...units import readable
from ...version import __version__
from .evaluation.assessment import assess
from .evaluation.evaluate import Evaluation
from .evaluation.noise_correction import DENOMINATOR
from .evaluation.remedies import Names
from .evaluation.scores import nrmse_by_output
from .evaluation.structure_remarks import is_linear
from .evaluation.wording import CLEAN
from .plots import (
    plot_coverage,
    plot_domain,
    plot_history,
    plot_horizon,
    plot_overlay,
    plot_parity,
    plot_phase,
    plot_residuals,
    plot_spectrum,
)
from .surrogate import Surrogate

#: Samples of the close-ups at the start and the end of the run, in which single periods are visible.
CLOSE_UP = 400

#: Maximum number of outputs with figures of their own; the table of scores contains all of them.
MAX_OUTPUTS = 4

#: Maximum number of structures in the table of the search.
MAX_STRUCTURES = 16

#: Approximate number of horizons in the table of scores.
HORIZONS = 8


def report(
    surrogate: Surrogate,
    evaluation: Evaluation,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    names: Names | None = None,
) -> str:
    """Create a self-contained HTML page: assessment, figures, scores, configuration and provenance.

    Args:
        surrogate: The model.
        evaluation: Its scores on a recording, from `spinode.evaluate`.
        path: File to write; none if omitted.
        title: Heading; the names of the channels if omitted.
        names: Files and options for the commands of the remedies; placeholders if omitted.

    Returns:
        The page. It loads nothing: styles and pictures are included.

    Raises:
        TraceError: the path cannot be written.

    Example:
        >>> import spinode
        >>> from spinode.datasets import read_trace, sample_path
        >>> surrogate = spinode.load(spinode.surrogates.zoo.path("macrospin"))
        >>> trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
        >>> scores = spinode.evaluate(surrogate, trace.between(40e-9, 45e-9))
        >>> html = spinode.report(surrogate, scores, "macrospin.html")  # doctest: +SKIP
    """
    ports = surrogate.ports
    default_title = f"Surrogate of {', '.join(ports.output)} under {', '.join(ports.drive) or 'no drive'}"
    page = Page(
        title=default_title if title is None else title,
        subtitle=_subtitle(surrogate, evaluation),
        assessment=assess(surrogate, evaluation, names=names),
        numbers=_key_numbers(evaluation),
        sections=(
            *_figure_sections(surrogate, evaluation),
            Section("Scores", tables=[*_score_tables(evaluation), *_fit_tables(surrogate)]),
            Section("Configuration", tables=[_configuration(surrogate)]),
            Section("Provenance", tables=_provenance(surrogate, evaluation)),
        ),
    )
    return render_page(page, path)


def _subtitle(surrogate: Surrogate, evaluation: Evaluation) -> str:
    trace = evaluation.trace
    time_unit = trace.unit("time")
    file = trace.provenance.get("file")
    source = f"{file}, " if file else ""
    start, stop = (readable(float(trace.time[index]), time_unit) for index in (0, -1))
    members = len(surrogate.members)
    return (
        f"Free run over {source}t = {start} to {stop} ({len(trace)} samples of {readable(surrogate.interval, time_unit)}). "
        f"State: {surrogate.embedding.kind} embedding of order {surrogate.embedding.order}, "
        f"{members} {'member' if members == 1 else 'members'}."
    )


# --- numbers and tables -----------------------------------------------------------------------------------------------


def _key_numbers(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    linear = evaluation.baseline_nrmse if evaluation.baseline_model_error is None else evaluation.baseline_model_error
    noise = evaluation.model_error
    noisy = noise is not None and noise.floor > CLEAN
    numbers: tuple[tuple[str, str], ...] = ((f"{evaluation.nrmse:.3g}", "NRMSE of the free run"),)
    if noise is not None and noisy:
        own = "–" if evaluation.noise_alone else f"{noise.nrmse:.3g}" if noise.resolved else f"< {noise.high:.2g}"
        numbers = (
            (own, f"NRMSE of the model, without the noise, over {DENOMINATOR}"),
            (f"{noise.floor:.3g}", "noise / deviation of the recording"),
            (f"{evaluation.nrmse:.3g}", "NRMSE with the noise"),
        )
    return (
        *numbers,
        ("–" if linear is None else f"{linear:.3g}", f"NRMSE of a linear ARX model{', without the noise' if noisy else ''}"),
        (minus(f"{evaluation.r2:.4f}"), "R²"),
        (f"{evaluation.spectrum_error:.3g}", "spectrum error"),
        (f"{100 * evaluation.outside_domain:.1f} %", "of the steps outside the domain"),
        (f"{100 * evaluation.coverage:.1f} %", "within the 90 % interval"),
    )


def _score_tables(evaluation: Evaluation) -> list[Table]:
    time_unit = evaluation.trace.unit("time")

    def time(value: float | None) -> str:
        return "never" if value is None else f"t = {readable(value, time_unit)}"

    scores = nrmse_by_output(evaluation)
    rows = [
        ("NRMSE", format_value(evaluation.nrmse)),
        *((f"NRMSE of {name}", format_value(value)) for name, value in scores.items() if len(scores) > 1),
        *_noise_rows(evaluation),
        ("NRMSE of a linear ARX model", format_value(evaluation.baseline_nrmse)),
        ("the same without the noise", format_value(evaluation.baseline_model_error)),
        ("R²", format_value(evaluation.r2)),
        ("spectrum error", format_value(evaluation.spectrum_error)),
        ("steps outside the domain", f"{100 * evaluation.outside_domain:.3g} %"),
        ("coverage of the 90 % interval", f"{100 * evaluation.coverage:.3g} %"),
        ("change of the device", time(evaluation.regime_change_at)),
        ("NRMSE before this change", format_value(evaluation.nrmse_before_change)),
        ("divergence of the run", time(evaluation.diverged_at)),
    ]
    horizon = evaluation.horizon
    selected = list(horizon[:: max(1, len(horizon) // HORIZONS)])
    if horizon and selected[-1] != horizon[-1]:
        selected.append(horizon[-1])
    horizon_rows = [(readable(elapsed, time_unit), format_value(error)) for elapsed, error in selected]
    return [
        Table(rows),
        Table(horizon_rows, "Error with the length of the run", ("time since the start", "NRMSE up to this time")),
    ]


def _noise_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the split of the error into noise and model."""
    error = evaluation.model_error
    if error is None:
        return []
    unit = evaluation.trace.unit
    names = list(evaluation.trace.output)
    return [
        (f"NRMSE without the noise, over {DENOMINATOR}", _without_noise(evaluation)),
        *((f"the same of {name}", format_value(value)) for name, value in error.by_output.items() if len(names) > 1),
        *((f"noise of {n}", readable(float(v), unit(n))) for n, v in zip(names, error.noise, strict=True)),
        ("noise / standard deviation of the recording", format_value(error.floor)),
        ("noise estimated from", error.method),
    ]


def _without_noise(evaluation: Evaluation) -> str:
    error = evaluation.model_error
    if error is None or evaluation.noise_alone:
        return "none: nothing beyond the noise was found in the recording"
    return f"{format_value(error.nrmse)}, 90 % interval {error.low:.3g} .. {error.high:.3g}"


def _search_table(record: Mapping[str, Any]) -> list[Table]:
    """Return the structures that the fit compared, the best first."""
    last = {str(entry["name"]): entry for entry in record.get("search") or ()}
    tried = sorted(last.values(), key=lambda entry: math.inf if entry.get("error") is None else float(entry["error"]))
    rows = []
    for entry in tried[:MAX_STRUCTURES]:
        text = format_value(entry.get("error")) + (", diverges" if entry.get("diverged") else "")
        rows.append((str(entry["name"]), f"{text} (round {entry['rung']})"))
    title = "Structures that were compared" + (f", the best {MAX_STRUCTURES}" if len(tried) > MAX_STRUCTURES else "")
    return [Table(rows, title, ("structure", "free-run NRMSE on the validation segments"))] if rows else []


def _fit_tables(surrogate: Surrogate) -> list[Table]:
    """Return tables of the structures that were compared, and of the restarts."""
    record = surrogate.record
    orders = [(f"order {entry['order']}", format_value(entry.get("error"))) for entry in record.get("order_scan") or ()]
    errors, differences = record.get("validation") or [], record.get("disagreement") or []
    kept = record.get("kept") or []
    restarts = []
    for index, error in enumerate(errors):
        text = f"validation NRMSE {format_value(error)}"
        if index < len(differences) and differences[index]:
            text += f", {format_value(differences[index])} standard deviations from the others under the probe drive"
        name = "linear model, which has no restarts" if is_linear(surrogate) else f"restart {index + 1}"
        restarts.append((f"{name}{', kept' if index in kept else ''}", text))
    tables = _search_table(record)
    if orders:
        tables.append(Table(orders, "Embedding orders in quick fits", ("order", "error of free runs over 40 samples")))
    if restarts:
        tables.append(Table(restarts, "Fit" if is_linear(surrogate) else "Restarts"))
    return tables


def _configuration(surrogate: Surrogate) -> Table:
    config: Mapping[str, Any] = surrogate.record.get("config") or {}
    ports = surrogate.ports
    rows = [
        (role, ", ".join(f"{name} [{ports.units.get(name) or '1'}]" for name in names) or "none")
        for role, names in (("drive", ports.drive), ("output", ports.output), ("parameters", ports.parameters))
    ]
    rows += [("step", readable(surrogate.interval, "s")), ("chosen order", str(surrogate.embedding.order))]
    rows += [(name, format_value(value)) for name, value in config.items()]
    return Table(rows)


def _provenance(surrogate: Surrogate, evaluation: Evaluation) -> list[Table]:
    record = surrogate.record
    recordings = record.get("data") or ()
    tables = []
    for index, data in enumerate(recordings):
        title = "Fitted recording" + (f" {index + 1}" if len(recordings) > 1 else "")
        rows = [
            ("used part", f"{readable(float(data['start']), 's')} to {readable(float(data['stop']), 's')}"),
            ("samples", format_value(data.get("samples"))),
            *flatten_rows(data.get("provenance") or {}),
        ]
        tables.append(Table(rows, title))
    tables.append(Table(list(flatten_rows(evaluation.trace.provenance)), "Recording of this report"))
    software = [
        ("fingerprint of the fitted data", format_value(record.get("fingerprint"))),
        ("spinode (report)", __version__),
        *flatten_rows(record.get("versions") or {}),
    ]
    return [*tables, Table(software, "Software and data")]


# --- figures ----------------------------------------------------------------------------------------------------------


def _figure_sections(surrogate: Surrogate, evaluation: Evaluation) -> tuple[Section, ...]:
    names = surrogate.ports.output[:MAX_OUTPUTS]
    several = len(surrogate.ports.output) > 1
    runs = [figure for name in names for figure in _run_figures(evaluation, name, several)]
    omitted = len(surrogate.ports.output) - len(names)
    note = f"{omitted} further outputs are in the table of scores only." if omitted else ""
    return (
        Section("Recording and free run", runs, paragraph=note),
        Section("Validity", list(_validity_figures(surrogate, evaluation))),
        Section("Fit", list(_fit_figures(surrogate))),
    )


def _run_figures(evaluation: Evaluation, name: str, several: bool) -> Iterator[Figure]:
    of_output = f" of {name}" if several else ""
    time = np.asarray(evaluation.trace.time)
    yield draw_figure(
        lambda: plot_overlay(evaluation, output=name)[0],
        f"Recording and free run{of_output} over the whole recording, with their difference below.",
        wide=True,
    )
    if len(time) > 2 * CLOSE_UP:
        yield draw_figure(
            lambda: plot_overlay(evaluation, output=name, stop=float(time[CLOSE_UP]))[0],
            f"Close-up{of_output} of the first {CLOSE_UP} samples.",
            wide=True,
        )
        yield draw_figure(
            lambda: plot_overlay(evaluation, output=name, start=float(time[-CLOSE_UP]))[0],
            f"Close-up{of_output} of the last {CLOSE_UP} samples, where a phase drift would be visible.",
            wide=True,
        )
    yield draw_figure(
        lambda: plot_phase(evaluation, output=name),
        f"Phase portrait{of_output}: the loops of recording and model should coincide.",
    )
    yield draw_figure(
        lambda: plot_spectrum(evaluation, output=name),
        f"Power spectra{of_output}: in a band where the error is as large as the recording, the model predicts nothing.",
    )
    yield draw_figure(
        lambda: plot_parity(evaluation, output=name),
        f"Predicted against recorded samples{of_output}; on the diagonal they are equal.",
    )


def _validity_figures(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[Figure]:
    yield draw_figure(
        lambda: plot_residuals(evaluation),
        "Errors of runs of a few samples from every recorded state: a lasting rise means that the device has changed.",
        wide=True,
    )
    yield draw_figure(lambda: plot_horizon(evaluation), "Growth of the error with the length of the run; noise included.")
    yield draw_figure(
        lambda: plot_domain(surrogate, evaluation),
        "Fitted data and the steps of this run; a step can lie outside the domain along an axis that is not shown.",
    )
    yield draw_figure(
        lambda: plot_coverage(evaluation), "Share of the recorded samples that lie within predicted intervals of each width."
    )


def _fit_figures(surrogate: Surrogate) -> Iterator[Figure]:
    yield draw_figure(
        lambda: plot_history(surrogate),
        "Error after each stage of each restart; of each restart the stage with the lowest validation error is kept.",
        wide=True,
    )
