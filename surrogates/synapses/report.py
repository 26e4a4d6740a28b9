"""`synapse_report`: one HTML page on how far a synapse surrogate can be trusted, with the figures behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...reporting.page import Figure, Page, Section, Table, draw_figure, flatten_rows, format_value, minus, render_page
from ...traces.trace import Trace, TraceSet
from ...units import readable
from ...version import __version__
from .assessment import assess
from .evaluation import SynapseEvaluation, evaluate_synapse
from .model import SynapseSurrogate
from .plots import have_same_schedule, plot_correlation, plot_drift, plot_innovations, plot_interval, plot_population


def synapse_report(
    surrogate: SynapseSurrogate,
    traces: SynapseEvaluation | TraceSet | Sequence[Trace] | Trace,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    seed: int = 0,
) -> str:
    """Return one self-contained HTML page: the assessment, the figures behind it, noise, configuration and provenance.

    Args:
        surrogate: The model.
        traces: Recordings to test it on, preferably some that the fit has not used; or their scores from `evaluate_synapse`.
        path: File to write; nothing is written if omitted.
        title: Heading.
        seed: Seed of the free runs.

    Returns:
        The page. It contains its styles and pictures and loads nothing.

    Raises:
        TraceError: recordings that do not suit the surrogate, or a path that cannot be written.
    """
    evaluation = traces if isinstance(traces, SynapseEvaluation) else evaluate_synapse(surrogate, traces, seed=seed)
    assessment = assess(surrogate, evaluation)
    page = Page(
        title=title if title is not None else f"Memory device under {' and '.join(surrogate.polarities)} pulses",
        subtitle=_subtitle(surrogate, evaluation),
        assessment=assessment,
        numbers=_numbers(evaluation),
        sections=(
            Section("Recordings and free runs", figures=_run_figures(surrogate, evaluation)),
            Section("Drift and noise", figures=_drift_figures(surrogate, evaluation)),
            _steps(surrogate, evaluation),
            _noise(surrogate),
            _configuration(surrogate),
            _provenance(surrogate, evaluation),
        ),
    )
    return render_page(page, path)


def _subtitle(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> str:
    record, traces = surrogate.record, evaluation.traces
    file = traces[0].provenance.get("file")
    which = "the recordings of the fit" if evaluation.fitted else "recordings that are not those of the fit"
    return (
        f"Fitted on {record.get('devices', '?')} device(s), {record.get('recordings', '?')} recording(s), "
        f"{record.get('reads', '?')} reads. Tested on {which}{f' ({file})' if file else ''}: {len(traces)}, with "
        f"{sum(len(trace) for trace in traces)} reads."
    )


def _numbers(evaluation: SynapseEvaluation) -> tuple[tuple[str, str], ...]:
    z = evaluation.innovation
    loglik = evaluation.steps.loglik[evaluation.steps.held_out]
    return (
        (f"{z.std():.2f}" if len(z) else "–", "standard deviation of one-step errors / predicted one"),
        (minus(f"{evaluation.correlation(1):+.2f}"), "correlation of neighbouring one-step errors"),
        (f"{100 * evaluation.coverage:.0f} %", "of the reads within the 90 % interval of free runs"),
        (minus(f"{np.mean(loglik):.2f}") if len(loglik) else "–", "log likelihood per read (density in the unit)"),
        (f"{100 * evaluation.outside:.1f} %", "of the reads outside the fitted range"),
    )


def _run_figures(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> list[Figure]:
    figures = []
    for which, index in enumerate(evaluation.shown):
        parameters = evaluation.traces[index].parameters
        name = ", ".join(f"{key} {parameters[key]:g}" for key in ("device", "cycle") if key in parameters)
        figures.append(
            draw_figure(
                lambda which=which: plot_interval(surrogate, evaluation, which),  # type: ignore[misc]
                f"Recorded reads ({name}) and the 90 % interval of free runs from the first read.",
                wide=True,
            )
        )
    if have_same_schedule(evaluation.traces):
        figures.append(
            draw_figure(
                lambda: plot_population(surrogate, evaluation.traces),
                "Median, 5 and 95 % quantiles of the recordings (dots) and of virtual devices (lines).",
                wide=True,
            )
        )
    return figures


def _drift_figures(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> tuple[Figure, ...]:
    return (
        draw_figure(
            lambda: plot_drift(surrogate),
            "Mean change of the typical device by one usual pulse, with its 90 % interval.",
        ),
        draw_figure(lambda: plot_innovations(evaluation), "One-step errors in predicted standard deviations."),
        draw_figure(
            lambda: plot_correlation(evaluation),
            "Correlation of one-step errors; within the grey band, 95 % of uncorrelated errors lie.",
        ),
    )


def _steps(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Section:
    """Return what learning in a network depends on."""
    scores = evaluation.step_scores
    rows = [(name, minus(text)) for name, text in [*scores.rows(surrogate.unit), *scores.whole()]]
    head = ("steps", "recorded / virtual devices")
    return Section("Steps at the pulse of use", tables=(Table(rows, head=head),))


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
        ("inputs in addition to the conductance", ", ".join(surrogate.inputs.names) or "none"),
        ("parameters of a device", ", ".join(surrogate.drift.latents.names) or "none"),
        ("maximum number of pulses in one midpoint step", f"{surrogate.chunk:g}"),
        *((name, format_value(value)) for name, value in (surrogate.record.get("config") or {}).items()),
    ]
    return Section("Configuration", tables=(Table(rows),))


def _provenance(surrogate: SynapseSurrogate, evaluation: SynapseEvaluation) -> Section:
    fitted = list(flatten_rows(surrogate.record.get("provenance") or {})) or [("source", "not recorded")]
    tested = list(flatten_rows(evaluation.traces[0].provenance)) or [("source", "not recorded")]
    software = [
        ("spinode (report)", __version__),
        ("fingerprint of the fitted data", format_value(surrogate.record.get("fingerprint"))),
    ]
    return Section(
        "Provenance",
        tables=(
            Table(fitted, "Fitted recordings"),
            Table(tested, "Recordings of this report"),
            Table(software, "Software and data"),
        ),
    )
