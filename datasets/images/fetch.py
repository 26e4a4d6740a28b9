"""Fetching the files of a data set into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import ConfigError, FileFormatError


def fetch(
    name: str,
    folder: Path,
    choices: Sequence[tuple[str, ...]],
    accept: Callable[[list[Path]], object],
    advice: str,
) -> None:
    """Fetch the files of one of several choices of addresses: of the first that can be had whole.

    Args:
        name: What the data set is called.
        folder: Where the files go, under the last part of their addresses; those that are there are kept.
        choices: Addresses of the files of each choice.
        accept: Raises a FileFormatError for files that are not what was wanted; such ones are removed.
        advice: What to do where nothing can be fetched, as sentences.

    Raises:
        ConfigError: pooch is not installed, or no choice could be had.
    """
    failures = []
    for addresses in choices:
        paths = [folder / address.rpartition("/")[2] for address in addresses]
        try:
            for address, path in zip(addresses, paths, strict=True):
                if not path.is_file():
                    _download(address, path)
            accept(paths)
            return
        except FileFormatError as error:
            failures.append(str(error))
            for path in paths:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        except ImportError:
            raise ConfigError(f"{name} cannot be fetched without pooch (pip install 'spinode[data]'). {advice}") from None
        except (OSError, ValueError) as error:  # no network, no such file there, or a folder that cannot be written
            failures.append(f"{addresses[0]}: {_why(error)}")
    raise ConfigError(f"{name} could not be fetched ({'; '.join(failures)}). {advice}")


def _download(address: str, path: Path) -> None:
    """One file, there whole or not at all."""
    import pooch  # type: ignore[import-untyped,unused-ignore]

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # Its downloader and not its `retrieve`, which would ask for the hash of each compressed file, and print it.
        pooch.HTTPDownloader(progressbar=False)(address, str(partial), None)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _why(error: Exception) -> str:
    kind = type(error).__name__
    if kind in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError"):
        return f"no connection ({kind})"  # the text is the whole history of the attempt
    return (str(error).strip() or kind).splitlines()[0]
