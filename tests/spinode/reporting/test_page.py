"""The HTML page of a report contains what it is given, as text."""

import pytest

from spinode.errors import TraceError
from spinode.reporting.page import Figure, Page, Section, Table, flatten_rows, format_value, minus, render_page
from spinode.reporting.remarks import BAD, CARE, GOOD, Assessment, Remark

HOSTILE = "<script>alert('x')</script>\x00\x1b\ud800\"&"


#: Occurrences of a text that `page_of` puts everywhere: two each of title, remark, caption, column heading and cell, one of
#: each of subtitle, headline, label of a number, section title, table title and paragraph.
PARTS = 5 * 2 + 6


def page_of(text="text", grade=CARE):
    return Page(
        title=text,
        subtitle=text,
        assessment=Assessment(grade, f"{text} 5 %", (Remark(BAD, f"{text} 1 %"), Remark(GOOD, text))),
        numbers=[("0.01", text)],
        sections=[Section(text, [Figure("QUJD", text, wide=True)], [Table([(text, text)], text, (text, text))], text)],
    )


@pytest.mark.parametrize(("grade", "label"), [(GOOD, "Reliable"), (CARE, "Use with care"), (BAD, "Not reliable")])
def test_headline_has_the_label_of_its_grade(grade, label):
    assert f"<b>{label}</b>" in render_page(page_of(grade=grade))


def test_page_contains_every_part():
    html = render_page(page_of("part"))
    assert html.count("part") == PARTS
    assert '<figure class="wide"><img src="data:image/png;base64,QUJD" alt="part">' in html
    assert '<thead><tr><th scope="col">part</th><th scope="col">part</th></tr></thead>' in html


def test_percent_signs_stay_with_their_number():
    html = render_page(page_of())
    assert "text 5\u00a0%" in html
    assert "text 1\u00a0%" in html


def test_all_text_is_escaped():
    html = render_page(page_of(HOSTILE))
    assert "<script" not in html
    assert not {"\x00", "\x1b", "\ud800"} & set(html)
    assert html.count("&lt;script&gt;") == PARTS


def test_page_is_written_atomically(tmp_path):
    html = render_page(page_of(HOSTILE), tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == html
    with pytest.raises(TraceError, match="cannot write"):
        render_page(page_of(), tmp_path / "missing" / "page.html")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (True, "yes"), (False, "no"), (3, "3"), (0.123456, "0.1235"), ("a", "a"), ((), "–"), ({"a": 1}, '{"a": 1}')],
)
def test_values_are_formatted_for_tables(value, text):
    assert format_value(value) == text


def test_nested_values_have_the_names_of_all_levels():
    assert list(flatten_rows({"a": {"b": {"c": 1}}, "d": [1, 2]})) == [("a: b: c", "1"), ("d", "1, 2")]
    assert minus("-0.5") == "−0.5"
