"""The parser: spellings of options, errors in one sentence, precedence over the config file, and help on narrow terminals."""

from __future__ import annotations

import pytest

import spinode
from spinode.cli import commands
from spinode.cli.parser import Parser

HEAVY = ("fit-synapse", "fit", "fit-stochastic", "train")


def build():
    parser = Parser("fit")
    parser.add_argument("table")
    parser.add_config()
    parser.add_argument("--sample-interval", type=float, default=1.0)
    parser.add_argument("--units", "--unit", action="append", default=[])
    parser.add_argument("--hidden", type=int, nargs="+", default=[1])
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--progress", action="store_true")
    return parser


def error_of(capsys, words):
    with pytest.raises(SystemExit) as stop:
        build().parse_args(words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err.removeprefix("spinode: error: ").removesuffix(" (see `spinode fit --help`).\n")


def test_version(run):
    code, out, _ = run("--version")
    assert (code, out.strip()) == (0, f"spinode {spinode.__version__}")


@pytest.mark.parametrize(
    "spelling", ["--sample-interval 2", "--sample_interval 2", "--sample_interval=2", "--sample-interval=2"]
)
def test_dashes_and_underscores_are_the_same(spelling):
    assert build().parse_args(["table", *spelling.split()]).sample_interval == 2.0


def test_aliases_fill_the_same_setting():
    assert build().parse_args(["table", "--unit", "a=V", "--units", "b=A"]).units == ["a=V", "b=A"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table", "--sample-intervall", "3"], "there is no option --sample-intervall; did you mean --sample-interval?"),
        (["table", "--sampl_interval=3"], "there is no option --sampl_interval; did you mean --sample-interval?"),
        (["table", "--zzz"], "there is no option --zzz"),
        (["table", "more"], "'more' is not expected here"),
        ([], "TABLE must be given"),
        (["table", "--hidden"], "argument --hidden: expected at least one argument"),
        (["table", "--sample-interval", "many"], "sample_interval: expected a <class 'float'>. Got value: many"),
        (["table", "--config", "none.yaml"], "the config file none.yaml does not exist"),
    ],
)
def test_wrong_words_are_one_sentence(capsys, here, words, message):
    assert error_of(capsys, words).startswith(message)


def test_unknown_key_of_a_config_file_suggests_the_option(capsys, here):
    (here / "fit.yaml").write_text("sample_intervall: 3\n")
    message = error_of(capsys, ["table", "--config", "fit.yaml"])
    assert message == "the config file fit.yaml has an unknown option 'sample_intervall'; did you mean --sample-interval?"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table", "--si", "3"], "there is no option --si; did you mean --sample-interval?"),
        (["table", "--unitt", "a=V"], "there is no option --unitt; did you mean --units?"),
        (["table", "--unit"], "argument --units: expected one argument"),
        (
            ["table", "--sample-interval", "1", "--sample_interval=2"],
            "--sample-interval was given twice, as '1' and '2'; give it once",
        ),
        (["table", "--hidden", "1", "2", "--hidden", "3"], "--hidden was given twice, as '1 2' and '3'; give it once"),
        (["table", "--quiet", "--progress"], "--quiet and --progress contradict each other; give one of them"),
    ],
)
def test_messages_name_visible_options_only(capsys, words, message):
    assert error_of(capsys, words) == message


@pytest.mark.parametrize("words", [["--sample-interval", "2", "--sample-interval=2"], ["--units", "a=V", "--units", "b=V"]])
def test_repeated_options_without_contradiction_are_accepted(words):
    build().parse_args(["table", *words])


def test_help_fits_any_terminal(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1")
    assert run("inspect", "--help")[0] == 0
    assert run("inspect", "nothing.csv")[0] == 2


@pytest.mark.parametrize(
    "words", [["--sample-interval", "3", "--config", "fit.yaml"], ["--config=fit.yaml", "--sample-interval", "3"]]
)
def test_command_line_takes_precedence_over_the_config_file(here, words):
    (here / "fit.yaml").write_text("table: other\nsample_interval: 5.0\nhidden: [7, 7]\n")
    arguments = build().parse_args([*words, "table"])
    assert (arguments.table, arguments.sample_interval, arguments.hidden) == ("table", 3.0, [7, 7])


@pytest.mark.parametrize("command", ["", *commands.names()])
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits_the_terminal(run, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: spinode {command}".rstrip())
    assert "\x1b" not in out
    # Text wraps between words only: a single long word may be wider.
    too_long = [
        line for line in out.splitlines() if len(line) > columns and len(line.split()) > 1 and not line.lstrip().startswith("-")
    ]
    assert too_long == []


def test_help_names_each_option_once():
    text = commands.build_parser("inspect").format_help()
    assert "--units NAME=UNIT" in text
    assert "--unit NAME=UNIT" not in text


@pytest.mark.parametrize("words", [["nonsense"], []])
def test_no_such_command(run, words):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("spinode: error: ")
    assert len(err.splitlines()) == 1
    assert all(name in err for name in commands.names())


def test_similar_command_is_suggested(run):
    assert "Did you mean simulate?" in run("simulte")[2]
