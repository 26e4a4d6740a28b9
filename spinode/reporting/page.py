"""The HTML page of a report: one self-contained file of remarks, key numbers, figures and tables.

A report describes its content with the dataclasses of this module; the template `page.html.jinja` turns it into HTML and
escapes all text.
"""

from __future__ import annotations

import base64
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..files import write_atomically
from ..version import __version__
from .remarks import BAD, CARE, GOOD, NOTE, Assessment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Resolution of the figures in pixels per inch, enough for high-resolution screens and for print.
DPI = 150

#: CSS class and label of the headline for each grade.
HEADLINES = {GOOD: ("good", "Reliable"), CARE: ("care", "Use with care"), BAD: ("bad", "Not reliable")}

#: CSS class, symbol and text alternative of a remark for each grade.
SYMBOLS = {
    GOOD: ("good", "✓", "no concern"),
    NOTE: ("note", "•", "for information"),
    CARE: ("care", "!", "caution"),
    BAD: ("bad", "✗", "problem"),
}

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Table:
    """Rows of names and values, with an optional title above and an optional pair of column headings."""

    rows: Sequence[tuple[str, str]]
    title: str = ""
    head: tuple[str, str] | None = None


@dataclass(frozen=True)
class Figure:
    """A PNG picture, base64-encoded, with its caption; a wide one takes the full width of the page."""

    png: str
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with figures, then tables, then a closing paragraph."""

    title: str
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    paragraph: str = ""


@dataclass(frozen=True)
class Page:
    """The content of a report.

    Attributes:
        title: Main heading.
        subtitle: One paragraph below it: the recordings and the model.
        assessment: Headline and remarks at the top.
        numbers: Key numbers as (value, label).
        sections: Everything below.
    """

    title: str
    subtitle: str
    assessment: Assessment
    numbers: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def render_page(page: Page, path: str | Path | None = None) -> str:
    """Return a report as one HTML page that loads nothing, and write it to a file if a path is given.

    Args:
        page: The content.
        path: File to write; replaced atomically.

    Raises:
        TraceError: the path cannot be written.

    Example:
        >>> page = Page("Surrogate of mz", "Free run over 10 ns.", Assessment(GOOD, "Trust it.", ()), [("0.01", "NRMSE")], [])
        >>> html = render_page(page)
        >>> html[:15], "<h1>Surrogate of mz</h1>" in html
        ('<!DOCTYPE html>', True)
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_printable,
    )
    environment.filters["sentence"] = _keep_percent
    template = environment.get_template("page.html.jinja")
    html = template.render(page=page, headlines=HEADLINES, symbols=SYMBOLS, version=__version__)
    if path is not None:
        write_atomically(Path(path), html.encode("utf-8"))
    return html


def _printable(value: Any) -> Any:
    """Return text with question marks in place of control characters, which HTML does not allow."""
    return value if hasattr(value, "__html__") else _CONTROL_CHARACTERS.sub("?", str(value))


def _keep_percent(text: str) -> str:
    """Keep per cent signs on the line of their number."""
    return text.replace(" %", "\u00a0%")


def draw_figure(draw: Callable[[], Axes], caption: str, *, wide: bool = False) -> Figure:
    """Draw a figure and return it as a picture with its caption.

    Args:
        draw: Draws the figure and returns one of its Axes.
        caption: Text below the picture, which is also its text alternative.
        wide: Use the full width of the page.
    """
    return Figure(base64.b64encode(png(draw())).decode("ascii"), caption, wide)


def png(ax: Axes) -> bytes:
    """Return the figure of these Axes as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = ax.get_figure(root=True)
    assert isinstance(figure, MatplotlibFigure)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)  # independent of the backend that the process uses for its windows
    with warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes; a report must not fail because of them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def format_value(value: Any) -> str:
    """Return a stored value as text for a table: floats to four digits, nested values as JSON.

    Example:
        >>> format_value(0.123456), format_value((16, 16)), format_value(None), format_value(True)
        ('0.1235', '16, 16', '–', 'yes')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(each) for each in value) or "–"
    return json.dumps(value, ensure_ascii=False, default=str)


def flatten_rows(stored: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return nested mappings as rows of a table, with the names of all levels joined.

    Example:
        >>> list(flatten_rows({"file": "a.csv", "resampled": {"samples": 100}}))
        [('file', 'a.csv'), ('resampled: samples', '100')]
    """
    for name, value in stored.items():
        if isinstance(value, Mapping):
            yield from flatten_rows(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", format_value(value)


def minus(text: str) -> str:
    """Return a formatted number with a typographic minus sign."""
    return text.replace("-", "−")
