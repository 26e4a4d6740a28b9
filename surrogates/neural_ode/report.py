"""`report`: one HTML file that says how far to trust a surrogate, and shows why."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files import write_atomically
from ...units import readable
from ...version import __version__
from .evaluation.assessment import (
    BAD,
    CARE,
    GOOD,
    NOTE,
    Remark,
    judge,
    nrmse_by_output,
    order_verdict as order_verdict,
    verdict as verdict,
)
from .evaluation.evaluate import Evaluation
from .surrogate import Surrogate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels per inch of the figures: sharp on a screen of high resolution and in print.
DPI = 150

#: Samples of the close-ups at the start and the end of the run, in which single periods can be seen.
CLOSE_UP = 400

#: Most outputs that get figures of their own; the table of scores holds all.
OUTPUTS_DRAWN = 4

_GRADES = {GOOD: ("good", "Holds"), CARE: ("care", "With care"), BAD: ("bad", "Not to be relied on")}
_MARKS = {
    GOOD: ("good", "✓", "in order"),
    NOTE: ("note", "•", "to be known"),
    CARE: ("care", "!", "take care"),
    BAD: ("bad", "✗", "speaks against it"),
}

_STYLE = """
:root { --ink: #1c1c1c; --quiet: #5a5a5a; --line: #d9d9d9; --good: #00664b; --care: #8a5a00; --bad: #a83200; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: #fff; color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
p.sub { color: var(--quiet); margin: 0 0 1.2rem; overflow-wrap: anywhere; }
.headline { border-left: .5rem solid; padding: .8rem 1.1rem; margin: 0 0 1rem; font-size: 1.15rem; background: #f7f7f7;
  overflow-wrap: anywhere; }
.headline b { display: block; font-size: .85rem; letter-spacing: .04em; text-transform: uppercase; }
.good { color: var(--good); border-color: var(--good); } .care { color: var(--care); border-color: var(--care); }
.bad { color: var(--bad); border-color: var(--bad); } .note { color: var(--quiet); }
.headline span { color: var(--ink); }
ul.remarks { list-style: none; padding: 0; margin: 0; }
ul.remarks li { display: flex; gap: .7rem; padding: .3rem 0; }
ul.remarks li > span { overflow-wrap: anywhere; min-width: 0; }
ul.remarks i { font-style: normal; font-weight: 700; flex: 0 0 1.2rem; text-align: center; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1.2rem 0; }
.numbers div { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .8rem; }
.numbers b { display: block; font-size: 1.3rem; } .numbers span { color: var(--quiet); font-size: .85rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.2rem; }
figure { margin: 0; break-inside: avoid; } figure.wide { grid-column: 1 / -1; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--quiet); font-size: .92rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .93rem; min-width: 50%; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
thead th { font-weight: 600; } tbody th { font-weight: 400; color: var(--quiet); }
code { font-size: .9em; overflow-wrap: anywhere; }
@media screen and (max-width: 44rem) { figure.wide { overflow-x: auto; } figure.wide img { width: 48rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; } tr { break-inside: avoid; }
  .headline, i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def report(surrogate: Surrogate, evaluation: Evaluation, path: str | Path | None = None, *, title: str | None = None) -> str:
    """One self-contained HTML page: the verdict, the figures behind it, scores, configuration and provenance.

    Args:
        surrogate: The model.
        evaluation: Its scores on a recording, from `spinode.surrogates.neural_ode.evaluation.evaluate.evaluate`.
        path: Where to write the page; nowhere if omitted.
        title: Heading; made of the names of the channels if omitted.

    Returns:
        The page. It loads nothing: styles and pictures are inside.

    Raises:
        TraceError: the path cannot be written.
    """
    ports = surrogate.ports
    drives = ", ".join(ports.drive) or "no drive"
    heading = title if title is not None else f"Surrogate of {', '.join(ports.output)} under {drives}"
    sections = (
        _verdict(surrogate, evaluation),
        _numbers(evaluation),
        _figures(surrogate, evaluation),
        _scores(surrogate, evaluation),
        _configuration(surrogate),
        _provenance(surrogate, evaluation),
    )
    page = (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(heading)}</title><style>{_STYLE}</style></head>\n<body>\n"
        f'<header><h1>{_text(heading)}</h1><p class="sub">{_text(_subtitle(surrogate, evaluation))}</p></header>\n<main>\n'
        + "\n".join(sections)
        + f'\n</main>\n<footer><p class="sub">Written by spinode {_text(__version__)}.</p></footer>\n</body></html>\n'
    )
    if path is not None:
        write_atomically(Path(path), page.encode("utf-8", "replace"))
    return page


def _text(value: object) -> str:
    """Text as HTML; control characters, which HTML cannot hold, as question marks."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "?", str(value)))


def _subtitle(surrogate: Surrogate, evaluation: Evaluation) -> str:
    trace = evaluation.trace
    clock = trace.unit("time")
    file = trace.provenance.get("file")
    stretch = f"t = {readable(float(trace.time[0]), clock)} to {readable(float(trace.time[-1]), clock)}"
    order = surrogate.embedding.order
    return (
        f"Free run over {f'{file}, ' if file else ''}{stretch} ({len(trace)} samples of "
        f"{readable(surrogate.interval, clock)}). State: {surrogate.embedding.kind} embedding of order {order}, "
        f"{len(surrogate.members)} {'member' if len(surrogate.members) == 1 else 'members'}."
    )


# --- words and numbers ------------------------------------------------------------------------------------------------


def _verdict(surrogate: Surrogate, evaluation: Evaluation) -> str:
    judged = judge(surrogate, evaluation)
    name, word = _GRADES[judged.grade]
    items = "\n".join(_remark(remark) for remark in judged.remarks)
    return (
        f'<section><div class="headline {name}"><b>{word}</b><span>{_sentence(judged.headline)}</span></div>\n'
        f'<ul class="remarks">\n{items}\n</ul></section>'
    )


def _remark(remark: Remark) -> str:
    name, mark, meaning = _MARKS[remark.grade]
    return f'<li><i class="{name}" role="img" aria-label="{meaning}">{mark}</i><span>{_sentence(remark.text)}</span></li>'


def _sentence(text: str) -> str:
    """A sentence as HTML, its per cent signs kept beside their numbers."""
    return _text(text).replace(" %", "\u00a0%")


def _numbers(evaluation: Evaluation) -> str:
    linear = evaluation.baseline_nrmse
    pairs = (
        (f"{evaluation.nrmse:.3g}", "NRMSE of the free run"),
        ("–" if linear is None else f"{linear:.3g}", "NRMSE of a linear ARX model"),
        (f"{evaluation.r2:.4f}".replace("-", "−"), "R²"),
        (f"{evaluation.spectrum_error:.3g}", "spectrum error"),
        (f"{100 * evaluation.outside_domain:.1f} %", "of the steps outside the domain"),
        (f"{100 * evaluation.coverage:.1f} %", "within the 90 % interval"),
    )
    cells = "".join(f"<div><b>{_text(value)}</b><span>{_text(label)}</span></div>" for value, label in pairs)
    return f'<section class="numbers">{cells}</section>'


def _table(rows: Iterator[tuple[str, str]] | list[tuple[str, str]], head: tuple[str, str] | None = None) -> str:
    top = "" if head is None else f"<thead><tr><th>{_text(head[0])}</th><th>{_text(head[1])}</th></tr></thead>"
    body = "".join(f"<tr><th scope='row'>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _scores(surrogate: Surrogate, evaluation: Evaluation) -> str:
    clock = evaluation.trace.unit("time")

    def at(value: float | None) -> str:
        return "never" if value is None else f"t = {readable(value, clock)}"

    def score(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}"

    rows = [("NRMSE", score(evaluation.nrmse))]
    scores = nrmse_by_output(evaluation)
    rows += [(f"NRMSE of {name}", score(value)) for name, value in scores.items()] if len(scores) > 1 else []
    rows += [
        ("NRMSE of a linear ARX model", score(evaluation.baseline_nrmse)),
        ("R²", score(evaluation.r2)),
        ("spectrum error", score(evaluation.spectrum_error)),
        ("steps outside the domain", f"{100 * evaluation.outside_domain:.3g} %"),
        ("coverage of the 90 % interval", f"{100 * evaluation.coverage:.3g} %"),
        ("change of the device", at(evaluation.regime_change_at)),
        ("NRMSE before that change", score(evaluation.nrmse_before_change)),
        ("divergence of the run", at(evaluation.diverged_at)),
    ]
    some = evaluation.horizon[:: max(1, len(evaluation.horizon) // 8)]
    chosen = some if not evaluation.horizon or some[-1] == evaluation.horizon[-1] else (*some, evaluation.horizon[-1])
    horizon = [(readable(time, clock), score(value)) for time, value in chosen]
    tables = _table(rows) + "<h3>Error with the horizon</h3>" + _table(horizon, ("time since the start", "NRMSE up to there"))
    return f"<section><h2>Scores</h2>{tables}{_scan(surrogate)}</section>"


def _scan(surrogate: Surrogate) -> str:
    """Embedding orders tried, and restarts."""
    record, made = surrogate.record, ""
    scan = [(f"order {e['order']}", _plain(e.get("error"))) for e in record.get("order_scan") or ()]
    if scan:
        made += "<h3>Embedding orders in quick fits</h3>" + _table(scan, ("order", "error of free runs over 40 samples"))
    errors, apart = record.get("validation") or [], record.get("disagreement") or []
    kept = record.get("kept") or []
    rows = []
    for index, error in enumerate(errors):
        told = f"validation NRMSE {_plain(error)}"
        if index < len(apart) and apart[index]:
            told += f", {_plain(apart[index])} deviations from the others under the probe drive"
        rows.append((f"restart {index + 1}{', kept' if index in kept else ''}", told))
    return made + ("<h3>Restarts</h3>" + _table(rows) if rows else "")


def _plain(value: Any) -> str:
    """A stored value for a table: numbers to four digits, everything else as JSON."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(each) for each in value) or "–"
    return json.dumps(value, ensure_ascii=False, default=str)


def _configuration(surrogate: Surrogate) -> str:
    config: Mapping[str, Any] = surrogate.record.get("config") or {}
    ports = surrogate.ports
    units = ports.units
    rows = [
        (role, ", ".join(f"{name} [{units.get(name) or '1'}]" for name in names) or "none")
        for role, names in (("drive", ports.drive), ("output", ports.output), ("parameters", ports.parameters))
    ]
    rows += [("step", readable(surrogate.interval, "s")), ("chosen order", str(surrogate.embedding.order))]
    rows += [(name, _plain(value)) for name, value in config.items()]
    return f"<section><h2>Configuration</h2>{_table(rows)}</section>"


def _provenance(surrogate: Surrogate, evaluation: Evaluation) -> str:
    record = surrogate.record
    parts = []
    for index, data in enumerate(record.get("data") or ()):
        name = "Fitted recording" + (f" {index + 1}" if len(record["data"]) > 1 else "")
        span = [
            ("stretch", f"{readable(float(data['start']), 's')} to {readable(float(data['stop']), 's')}"),
            ("samples", _plain(data.get("samples"))),
        ]
        parts.append(f"<h3>{name}</h3>" + _table(span + list(_flat(data.get("provenance") or {}))))
    parts.append("<h3>Recording of this report</h3>" + _table(list(_flat(evaluation.trace.provenance))))
    versions = [("spinode (report)", __version__), *_flat(record.get("versions") or {})]
    made = [("fingerprint of the fitted data", _plain(record.get("fingerprint")))]
    parts.append("<h3>Software and data</h3>" + _table(made + versions))
    return f"<section><h2>Provenance</h2>{''.join(parts)}</section>"


def _flat(stored: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as rows with dotted names."""
    for name, value in stored.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}: ")
        else:
            yield f"{above}{name}", _plain(value)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _figures(surrogate: Surrogate, evaluation: Evaluation) -> str:
    names = surrogate.ports.output[:OUTPUTS_DRAWN]
    waves = "\n".join(figure for name in names for figure in _waves(evaluation, name, len(surrogate.ports.output) > 1))
    left = len(surrogate.ports.output) - len(names)
    more = f"<p>{left} further outputs are in the table of scores only.</p>" if left else ""
    return (
        f'<section><h2>Recording and free run</h2><div class="figures">{waves}</div>{more}</section>\n'
        f'<section><h2>Where it holds</h2><div class="figures">{"".join(_trust(surrogate, evaluation))}</div></section>\n'
        f'<section><h2>How it was fitted</h2><div class="figures">{"".join(_training(surrogate))}</div></section>'
    )


def _waves(evaluation: Evaluation, name: str, several: bool) -> Iterator[str]:
    from .plots import plot_overlay, plot_parity, plot_phase, plot_spectrum

    of = f" of {name}" if several else ""
    time = np.asarray(evaluation.trace.time)
    yield _figure(
        lambda: plot_overlay(evaluation, output=name)[0],
        f"Recording and free run{of} over the whole stretch, with the difference below.",
        wide=True,
    )
    if len(time) > 2 * CLOSE_UP:
        stop, start = float(time[CLOSE_UP]), float(time[-CLOSE_UP])
        yield _figure(
            lambda: plot_overlay(evaluation, output=name, stop=stop)[0],
            f"Close-up{of} of the first {CLOSE_UP} samples.",
            wide=True,
        )
        yield _figure(
            lambda: plot_overlay(evaluation, output=name, start=start)[0],
            f"Close-up{of} of the last {CLOSE_UP} samples, where a drift of the phase would show.",
            wide=True,
        )
    yield _figure(
        lambda: plot_phase(evaluation, output=name),
        f"Phase portrait{of}: the loops of recording and model should lie on each other.",
    )
    yield _figure(
        lambda: plot_spectrum(evaluation, output=name),
        f"Power spectra{of}: where the error comes near the recording, the model knows nothing of that band.",
    )
    yield _figure(
        lambda: plot_parity(evaluation, output=name), f"Predicted against recorded samples{of}; on the diagonal they are equal."
    )


def _trust(surrogate: Surrogate, evaluation: Evaluation) -> Iterator[str]:
    from .plots import plot_coverage, plot_domain, plot_horizon, plot_residuals

    yield _figure(
        lambda: plot_residuals(evaluation),
        "Errors of runs of a few samples from every recorded state: where they rise for good, the device has changed.",
        wide=True,
    )
    yield _figure(lambda: plot_horizon(evaluation), "How the error grows with the length of the run.")
    yield _figure(
        lambda: plot_domain(surrogate, evaluation),
        "Where the fit has seen data, and where this run goes; a step can lie outside along an axis that is not shown.",
    )
    yield _figure(lambda: plot_coverage(evaluation), "Whether the predicted intervals hold what they promise.")


def _training(surrogate: Surrogate) -> Iterator[str]:
    from .plots import plot_history

    yield _figure(
        lambda: plot_history(surrogate),
        "Error after each stage of each restart; the stage that validates best is the one that was kept.",
        wide=True,
    )


def _figure(draw: Callable[[], Axes], caption: str, *, wide: bool = False) -> str:
    picture = base64.b64encode(png(draw())).decode("ascii")
    kind = ' class="wide"' if wide else ""
    return (
        f'<figure{kind}><img src="data:image/png;base64,{picture}" alt="{_text(caption)}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def png(ax: Axes) -> bytes:
    """The figure of these Axes as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)  # whatever backend the process uses for its windows
    with warnings.catch_warnings():
        # A name in a script that the font lacks prints as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
