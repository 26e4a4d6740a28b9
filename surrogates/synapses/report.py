"""`synapse_report`: one HTML page that says how far to trust a synapse surrogate, and shows why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...reporting.page import Figure, Page, Section, Table, draw_figure, flatten_rows, format_value, minus, render_page
from ...traces.trace import Trace, TraceSet
from ...units import readable
from ...version import __version__
from .assessment import Assessment, assess, headline, remarks
from .model import SynapseSurrogate
from .plots import alike, plot_band, plot_correlation, plot_drift, plot_innovations, plot_population


def synapse_report(
    surrogate: SynapseSurrogate,
    traces: TraceSet | Sequence[Trace] | Trace,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    seed: int = 0,
) -> str:
    """One self-contained HTML page: the verdict, the figures behind it, noise, configuration and provenance.

    Args:
        surrogate: The model.
        traces: Recordings to judge it by; best some that the fit has not seen.
        path: Where to write the page; nowhere if omitted.
        title: Heading.
        seed: Of the free runs.

    Returns:
        The page. It loads nothing: styles and pictures are inside.

    Raises:
        TraceError: recordings that do not suit the surrogate, or a path that cannot be written.
    """
    assessment = assess(surrogate, traces, seed=seed)
    found = remarks(surrogate, assessment)
    grade, sentence = headline(surrogate, found)
    page = Page(
        title=title if title is not None else f"Memory device under {' and '.join(surrogate.polarities)} pulses",
        subtitle=_subtitle(surrogate, assessment),
        grade=grade,
        headline=sentence,
        remarks=found,
        numbers=_numbers(assessment),
        sections=(
            Section("Recordings and free runs", figures=_run_figures(surrogate, assessment)),
            Section("Drift and noise", figures=_drift_figures(surrogate, assessment)),
            _noise(surrogate),
            _configuration(surrogate),
            _provenance(surrogate, assessment),
        ),
    )
    return render_page(page, path)


def _subtitle(surrogate: SynapseSurrogate, assessment: Assessment) -> str:
    record, traces = surrogate.record, assessment.traces
    file = traces[0].provenance.get("file")
    which = "the recordings of the fit" if assessment.fitted else "recordings that are not those of the fit"
    return (
        f"Fitted on {record.get('devices', '?')} device(s), {record.get('recordings', '?')} recording(s), "
        f"{record.get('reads', '?')} reads. Judged by {which}{f' ({file})' if file else ''}: {len(traces)}, with "
        f"{sum(len(trace) for trace in traces)} reads."
    )


def _numbers(assessment: Assessment) -> tuple[tuple[str, str], ...]:
    z = assessment.innovation
    held = assessment.steps.loglik[assessment.steps.held]
    return (
        (f"{z.std():.2f}" if len(z) else "–", "deviation of one-step errors, over the predicted one"),
        (minus(f"{assessment.correlation(1):+.2f}"), "correlation of neighbouring errors"),
        (f"{100 * assessment.coverage:.0f} %", "of the reads within the 90 % band of free runs"),
        (minus(f"{np.mean(held):.2f}") if len(held) else "–", "log likelihood per read (density in the unit)"),
        (f"{100 * assessment.outside:.1f} %", "of the reads outside the states of the fit"),
    )


def _run_figures(surrogate: SynapseSurrogate, assessment: Assessment) -> list[Figure]:
    runs = []
    for which, index in enumerate(assessment.shown):
        own = assessment.traces[index].parameters
        name = ", ".join(f"{key} {own[key]:g}" for key in ("device", "cycle") if key in own)
        runs.append(
            draw_figure(
                lambda which=which: plot_band(surrogate, assessment, which),  # type: ignore[misc]
                f"Recorded reads ({name}) and the band in which nine of ten free runs from the first read lie.",
                wide=True,
            )
        )
    if alike(assessment.traces):
        runs.append(
            draw_figure(
                lambda: plot_population(surrogate, assessment.traces),
                "Median, 5 and 95 % quantiles over the recordings (dots) and over virtual devices from their start (lines).",
                wide=True,
            )
        )
    return runs


def _drift_figures(surrogate: SynapseSurrogate, assessment: Assessment) -> tuple[Figure, ...]:
    return (
        draw_figure(
            lambda: plot_drift(surrogate),
            "Mean change by one usual pulse of the typical device; the shade holds nine of ten draws of what is left open.",
        ),
        draw_figure(lambda: plot_innovations(assessment), "Errors of one-step predictions, over their predicted deviation."),
        draw_figure(lambda: plot_correlation(assessment), "Whether one error tells of the next: within the strip it does not."),
    )


def _noise(surrogate: SynapseSurrogate) -> Section:
    unit = surrogate.unit if surrogate.scale.kind == "linear" else ""
    kind = "" if surrogate.scale.kind == "linear" else ", relative"
    rows = [
        (f"{name}{kind}", f"{readable(value, unit)}, 95 %: {readable(low, unit)} .. {readable(high, unit)}")
        for name, (value, low, high) in surrogate.uncertainty().items()
    ]
    return Section("Noise", tables=(Table(rows, head=("kind", "standard deviation")),))


def _configuration(surrogate: SynapseSurrogate) -> Section:
    rows = [
        ("scale of the conductance", surrogate.scale.kind),
        ("inputs beside the conductance", ", ".join(surrogate.inputs.names) or "none"),
        ("parameters of a device", ", ".join(surrogate.drift.latents.names) or "none"),
        ("pulses in one midpoint step, at most", f"{surrogate.chunk:g}"),
        *((name, format_value(value)) for name, value in (surrogate.record.get("config") or {}).items()),
    ]
    return Section("Configuration", tables=(Table(rows),))


def _provenance(surrogate: SynapseSurrogate, assessment: Assessment) -> Section:
    fitted = list(flatten_rows(surrogate.record.get("provenance") or {})) or [("source", "not recorded")]
    judged = list(flatten_rows(assessment.traces[0].provenance)) or [("source", "not recorded")]
    software = [
        ("spinode (report)", __version__),
        ("fingerprint of the fitted data", format_value(surrogate.record.get("fingerprint"))),
    ]
    return Section(
        "Provenance",
        tables=(
            Table(fitted, "Fitted recordings"),
            Table(judged, "Recordings of this report"),
            Table(software, "Software and data"),
        ),
    )
