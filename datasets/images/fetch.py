"""Fetching the files of a data set into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import ConfigError, FileFormatError


def fetch(
    name: str,
    folder: Path,
    choices: Sequence[tuple[str, ...]],
    accept: Callable[[list[Path]], bool],
    advice: str,
) -> None:
    """Fetch the files of one of several choices of addresses, the first that can be had whole.

    Args:
        name: What the data set is called.
        folder: Where the files go, under the last part of their addresses.
        choices: Addresses of the files of each choice.
        accept: Raises a FileFormatError for files that are not what was wanted; such ones are removed.
        advice: What to do where nothing can be fetched, as a sentence.

    Raises:
        ConfigError: pooch is not installed, or no choice could be had.
    """
    try:
        import pooch  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ConfigError(f"{name} cannot be fetched without pooch (pip install 'spinode[data]'). {advice}") from None
    failures = []
    for addresses in choices:
        paths: list[Path] = []
        try:
            for address in addresses:
                file = address.rpartition("/")[2]
                paths.append(folder / file)
                # The address may serve the file in any compression: what counts is checked by `accept`.
                pooch.retrieve(address, known_hash=None, fname=file, path=folder)
            accept(paths)
            return
        except FileFormatError as error:
            failures.append(str(error))
            for path in paths:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        except (OSError, ValueError) as error:  # without a network, or refused; a folder that cannot be written
            failures.append(f"{addresses[0]}: {_first_line(error)}")
    raise ConfigError(f"{name} could not be fetched ({'; '.join(failures)}). {advice}")


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
