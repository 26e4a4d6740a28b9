"""Download of the files of a data set into a folder."""

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
    """Download the files of a data set from the first of several mirrors that offers all of them.

    Args:
        name: Name of the data set in messages.
        folder: Folder for the files, which are named after the last part of their addresses; existing files are kept.
        choices: Addresses of the files at each mirror.
        accept: Function of the paths that raises a FileFormatError for wrong files, which are then removed.
        advice: Sentences for the message if nothing can be downloaded: what the user can do.

    Raises:
        ConfigError: pooch is not installed, or no mirror offers the files.
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
            raise ConfigError(f"{name} cannot be downloaded without pooch (pip install 'spinode[data]'). {advice}") from None
        except (OSError, ValueError) as error:  # no network, no such file, or a folder without write permission
            failures.append(f"{addresses[0]}: {_reason(error)}")
    raise ConfigError(f"{name} could not be downloaded ({'; '.join(failures)}). {advice}")


def _download(address: str, path: Path) -> None:
    """Download one file atomically."""
    import pooch  # type: ignore[import-untyped,unused-ignore]

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # Not pooch.retrieve: it would require the hash of each compressed file, and print it.
        pooch.HTTPDownloader(progressbar=False)(address, str(partial), None)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    if kind in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError"):
        return f"no connection ({kind})"  # the text of the error is long
    return (str(error).strip() or kind).splitlines()[0]
