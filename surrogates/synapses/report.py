"""`synapse_report`: one HTML page that says how far to trust a synapse surrogate, and shows why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...files import write_atomically
from ...traces.trace import Trace, TraceSet
from ...units import readable
from ...version import __version__
from ..neural_ode.report import _GRADES, _STYLE, _figure, _flat, _plain, _remark, _sentence, _table, _text
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
    heading = title if title is not None else f"Memory device under {' and '.join(surrogate.polarities)} pulses"
    sections = (
        _verdict(surrogate, assessment),
        _numbers(assessment),
        _figures(surrogate, assessment),
        _noise(surrogate),
        _configuration(surrogate),
        _provenance(surrogate, assessment),
    )
    page = (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(heading)}</title><style>{_STYLE}</style></head>\n<body>\n"
        f'<header><h1>{_text(heading)}</h1><p class="sub">{_text(_subtitle(surrogate, assessment))}</p></header>\n<main>\n'
        + "\n".join(sections)
        + f'\n</main>\n<footer><p class="sub">Written by spinode {_text(__version__)}.</p></footer>\n</body></html>\n'
    )
    if path is not None:
        write_atomically(Path(path), page.encode("utf-8", "replace"))
    return page


def _subtitle(surrogate: SynapseSurrogate, assessment: Assessment) -> str:
    record, traces = surrogate.record, assessment.traces
    file = traces[0].provenance.get("file")
    which = "the recordings of the fit" if assessment.fitted else "recordings that are not those of the fit"
    return (
        f"Fitted on {record.get('devices', '?')} device(s), {record.get('recordings', '?')} recording(s), "
        f"{record.get('reads', '?')} reads. Judged by {which}{f' ({file})' if file else ''}: {len(traces)}, with "
        f"{sum(len(trace) for trace in traces)} reads."
    )


def _verdict(surrogate: SynapseSurrogate, assessment: Assessment) -> str:
    found = remarks(surrogate, assessment)
    grade, sentence = headline(surrogate, found)
    name, word = _GRADES[grade]
    items = "\n".join(_remark(remark) for remark in found)
    return (
        f'<section><div class="headline {name}"><b>{word}</b><span>{_sentence(sentence)}</span></div>\n'
        f'<ul class="remarks">\n{items}\n</ul></section>'
    )


def _numbers(assessment: Assessment) -> str:
    z = assessment.innovation
    held = assessment.steps.loglik[assessment.steps.held]
    pairs = (
        (f"{z.std():.2f}" if len(z) else "–", "deviation of one-step errors, over the predicted one"),
        (f"{assessment.correlation(1):+.2f}".replace("-", "−"), "correlation of neighbouring errors"),
        (f"{100 * assessment.coverage:.0f} %", "of the reads within the 90 % band of free runs"),
        (f"{np.mean(held):.2f}".replace("-", "−") if len(held) else "–", "log likelihood per read (density in the unit)"),
        (f"{100 * assessment.outside:.1f} %", "of the reads outside the states of the fit"),
    )
    cells = "".join(f"<div><b>{_text(value)}</b><span>{_text(label)}</span></div>" for value, label in pairs)
    return f'<section class="numbers">{cells}</section>'


def _figures(surrogate: SynapseSurrogate, assessment: Assessment) -> str:
    runs = []
    for which, index in enumerate(assessment.shown):
        own = assessment.traces[index].parameters
        name = ", ".join(f"{key} {own[key]:g}" for key in ("device", "cycle") if key in own)
        runs.append(
            _figure(
                lambda which=which: plot_band(surrogate, assessment, which),  # type: ignore[misc]
                f"Recorded reads ({name}) and the band in which nine of ten free runs from the first read lie.",
                wide=True,
            )
        )
    if alike(assessment.traces):
        runs.append(
            _figure(
                lambda: plot_population(surrogate, assessment.traces),
                "Median, 5 and 95 % quantiles over the recordings (dots) and over virtual devices from their start (lines).",
                wide=True,
            )
        )
    trust = (
        _figure(
            lambda: plot_drift(surrogate),
            "Mean change by one usual pulse of the typical device; the shade holds nine of ten draws of what is left open.",
        ),
        _figure(lambda: plot_innovations(assessment), "Errors of one-step predictions, over their predicted deviation."),
        _figure(lambda: plot_correlation(assessment), "Whether one error tells of the next: within the strip it does not."),
    )
    return (
        f'<section><h2>Recordings and free runs</h2><div class="figures">{"".join(runs)}</div></section>\n'
        f'<section><h2>Drift and noise</h2><div class="figures">{"".join(trust)}</div></section>'
    )


def _noise(surrogate: SynapseSurrogate) -> str:
    unit = surrogate.unit if surrogate.scale.kind == "linear" else ""
    kind = "" if surrogate.scale.kind == "linear" else ", relative"
    rows = [
        (f"{name}{kind}", f"{readable(value, unit)}, 95 %: {readable(low, unit)} .. {readable(high, unit)}")
        for name, (value, low, high) in surrogate.uncertainty().items()
    ]
    return f"<section><h2>Noise</h2>{_table(rows, ('kind', 'standard deviation'))}</section>"


def _configuration(surrogate: SynapseSurrogate) -> str:
    rows = [
        ("scale of the conductance", surrogate.scale.kind),
        ("inputs beside the conductance", ", ".join(surrogate.inputs.names) or "none"),
        ("parameters of a device", ", ".join(surrogate.drift.latents.names) or "none"),
        ("pulses in one midpoint step, at most", f"{surrogate.chunk:g}"),
        *((name, _plain(value)) for name, value in (surrogate.record.get("config") or {}).items()),
    ]
    return f"<section><h2>Configuration</h2>{_table(rows)}</section>"


def _provenance(surrogate: SynapseSurrogate, assessment: Assessment) -> str:
    fitted = list(_flat(surrogate.record.get("provenance") or {})) or [("source", "not recorded")]
    judged = list(_flat(assessment.traces[0].provenance)) or [("source", "not recorded")]
    made = [("spinode (report)", __version__), ("fingerprint of the fitted data", _plain(surrogate.record.get("fingerprint")))]
    return (
        f"<section><h2>Provenance</h2><h3>Fitted recordings</h3>{_table(fitted)}"
        f"<h3>Recordings of this report</h3>{_table(judged)}<h3>Software and data</h3>{_table(made)}</section>"
    )
