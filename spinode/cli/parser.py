"""`Parser`: jsonargparse with one-sentence errors, options in either spelling, and help that fits a narrow terminal."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from .config_file import ConfigFile

#: Columns below which help texts are below their options instead of next to them.
_NARROW = 70
#: Narrowest usage line.
_MIN_USAGE = 20
# argparse itself does not take -2e-3 for a number.
_NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)


#: Options that may be given several times.
_REPEATABLE = (argparse._AppendAction, ConfigFile)


class HelpFormatter(argparse.HelpFormatter):
    """Help with one spelling of each option, at the width of the terminal."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **settings)
        if self._width < _NARROW:
            self._max_help_position = 6

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Wrap between words only, so that names with dashes can be copied."""
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        long = [option for option in action.option_strings if option.startswith("--")]
        aliases, all_options = long[1:], action.option_strings
        action.option_strings = [option for option in all_options if option not in aliases]
        try:
            text = super()._format_action_invocation(action)
        finally:
            action.option_strings = all_options
        # Python up to 3.12 repeats the value after each spelling: "-k N, --order N".
        value = text.rpartition(" ")[2]
        return text.replace(f" {value}, --", ", --") if action.nargs is None and ", --" in text else text


class Parser(ArgumentParser):
    """Parser of one command.

    An option is accepted with dashes or underscores. Options of the command line take precedence over those of `--config`,
    wherever they are.

    Args:
        command: Name of the command.
        description: First lines of `--help`.
    """

    def __init__(self, command: str = "", description: str = "") -> None:
        super().__init__(
            prog=f"spinode {command}".strip(),
            description=description,
            formatter_class=HelpFormatter,
            print_config="--print-config",
        )
        self._negative_number_matcher = _NEGATIVE_NUMBER

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **settings: Any) -> Any:  # type: ignore[override]
        """Parse the words after the name of the command."""
        self.usage = self._short_usage()
        words = self._spelled(list(args or ()))
        self._check_repeated(words)
        found = super().parse_args(self._config_first(words), *others, **settings)
        if getattr(found, "quiet", False) and getattr(found, "progress", False):
            self.error("--quiet and --progress contradict each other; give one of them")
        return found

    def add_config(self) -> None:
        """Add `--config` and `--print-config`."""
        self.add_argument(
            "--config", action=ConfigFile, metavar="FILE", help="YAML file of options; those given here take precedence"
        )
        action = self._option_string_actions["--print-config"]
        action.help, action.metavar = "print all options as YAML for --config, and exit", ""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong in one sentence and end with exit code 2."""
        self.exit(2, f"spinode: error: {self._sentence(message)} (see `{self.prog} --help`).\n")

    def _short_usage(self) -> str:
        """Return a usage line with the required arguments only; the options are listed below it."""
        words = [self.prog]
        for action in sorted(self._actions, key=lambda action: bool(action.option_strings)):
            name = _metavar(action)
            if not action.option_strings:
                words.append({"+": f"{name} [{name} ...]", "?": f"[{name}]"}.get(str(action.nargs), name))
            elif action.required:
                words.append(f"{action.option_strings[0]} {name}")
        width = max(shutil.get_terminal_size().columns - len("usage: ") - 2, _MIN_USAGE)
        text = " ".join([*words, "[options]"]).replace("%", "%%")
        return textwrap.fill(text, width, subsequent_indent=" " * len("usage: "), break_on_hyphens=False)

    def _sentence(self, message: str) -> str:
        text = " ".join(message.split()).rstrip(".")
        unknown = text.removeprefix("unrecognized arguments: ")
        if unknown != text:
            option = next((word for word in unknown.split() if word.startswith("-")), None)
            if option is None:
                return f"{unknown!r} is not expected here"
            return f"there is no option {option.partition('=')[0]}{self.guess(option)}"
        if found := re.match(r"argument ([^\s:]+/[^\s:]+): (.*)", text):
            return f"argument {self._visible(found[1].split('/')[-1])}: {found[2]}"
        if found := re.match(r'Parser key "(\S+)": (.*)', text):
            return f"{found[1]}: {found[2][:1].lower()}{found[2][1:]}"
        missing = text.removeprefix("the following arguments are required: ")
        if missing != text:
            return " and ".join(self._named(dest) for dest in missing.split(", ")) + " must be given"
        return text

    def _named(self, dest: str) -> str:
        action = next(each for each in self._actions if each.dest == dest)
        return " ".join([*action.option_strings[:1], _metavar(action)])

    def guess(self, option: str) -> str:
        """Return the end of a sentence that suggests the option which was probably meant, or "" if there is none.

        Options are compared by their spelling and, like --lr for --learning-rate, by the initials of their words.
        """
        name = option.partition("=")[0].replace("_", "-")
        known = {each: self._visible(each) for each in self._option_string_actions if each.startswith("--")}
        known.pop("--help", None)
        initials = {"".join(word[0] for word in each[2:].split("-")): shown for each, shown in known.items() if "-" in each[2:]}
        close = difflib.get_close_matches(name, known, 1)
        meant = initials.get(name[2:]) or (known[close[0]] if close else None)
        return f"; did you mean {meant}?" if meant else ""

    def _visible(self, option: str) -> str:
        """Return the spelling of an option that `--help` shows."""
        spellings = self._option_string_actions[option].option_strings
        return next((each for each in spellings if each.startswith("--")), option)

    def _check_repeated(self, words: list[str]) -> None:
        """Refuse an option that takes one value, or one list of values, and is given twice with different ones."""
        given: dict[str, list[str]] = {}
        for index, word in enumerate(words):
            name, equals, value = word.partition("=")
            action = self._option_string_actions.get(name)
            if not isinstance(action, argparse.Action) or action.nargs == 0 or isinstance(action, _REPEATABLE):
                continue
            values = [value] if equals else []
            for following in [] if equals else words[index + 1 :]:
                if (action.nargs is None and values) or following.partition("=")[0] in self._option_string_actions:
                    break
                values.append(following)
            if given.setdefault(action.dest, values) != values:
                first, second = " ".join(given[action.dest]), " ".join(values)
                self.error(f"{self._visible(name)} was given twice, as {first!r} and {second!r}; give it once")

    def _spelled(self, words: list[str]) -> list[str]:
        """Return the words with each option in the spelling in which it was added."""
        known = {option.replace("-", "_"): option for option in self._option_string_actions if option.startswith("--")}
        spelled = []
        for word in words:
            name, equals, value = word.partition("=")
            spelled.append(known.get(name.replace("-", "_"), name) + equals + value if word.startswith("--") else word)
        return spelled

    @staticmethod
    def _config_first(words: list[str]) -> list[str]:
        first: list[str] = []
        others: list[str] = []
        pending = iter(words)
        for word in pending:
            if word == "--config":
                first += [word, *[value for value in [next(pending, None)] if value is not None]]
            else:
                (first if word.startswith("--config=") else others).append(word)
        return first + others


def _metavar(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())
