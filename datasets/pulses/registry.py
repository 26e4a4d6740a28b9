"""`register_layout`: the registry of the layouts of pulse files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...errors import ConfigError
from ..plugins import import_modules

#: Takes the `PulseColumns` of a file, and the name of the time column or the interval [s] from read to read; returns `Reads`.
ReadLayout: TypeAlias = Callable[[Any, str | float | None], Any]
#: Takes the `PulseColumns` of a file; returns True if they have this layout.
RecogniseLayout: TypeAlias = Callable[[Any], bool]

_LAYOUTS: dict[str, LayoutReader] = {}


@dataclass(frozen=True)
class LayoutReader:
    """A layout of pulse files: its recognition and its reader.

    Attributes:
        name: Name of the layout, as `pulses=` of `read_trace` accepts it.
        read: Returns the `Reads` of a file.
        recognise: Returns True if a file has this layout; None for a layout that must be named.
        priority: Layouts are tried in ascending order for `pulses="auto"`.
        assumption: What is assumed if the layout is recognised in a file without a header; reported as a warning. "" if it is
            certain.
        has_roles: True if the columns have roles (device, cycle, ...), which the provenance then lists.
    """

    name: str
    read: ReadLayout
    recognise: RecogniseLayout | None = None
    priority: int = 0
    assumption: str = ""
    has_roles: bool = False


def register_layout(
    name: str,
    read: ReadLayout,
    *,
    recognise: RecogniseLayout | None = None,
    priority: int = 0,
    assumption: str = "",
    has_roles: bool = False,
) -> LayoutReader:
    """Add a layout to those that `read_trace(..., pulses=...)` knows; see `LayoutReader` for the arguments.

    Raises:
        ConfigError: there is a layout of that name already.
    """
    if name == "auto" or name in _LAYOUTS:
        raise ConfigError(f"there is a layout {name!r} of pulse files already; choose another name.")
    _LAYOUTS[name] = LayoutReader(name, read, recognise, priority, assumption, has_roles)
    return _LAYOUTS[name]


def unregister_layout(name: str) -> None:
    """Remove a layout.

    Raises:
        ConfigError: there is no layout of that name.
    """
    if name not in _LAYOUTS:
        raise ConfigError(f"there is no layout {name!r} of pulse files; the layouts are: {', '.join(_LAYOUTS)}.")
    del _LAYOUTS[name]


def all_layouts() -> dict[str, LayoutReader]:
    """Return the layouts by name, those of the folder `layouts` and those of the user, in the order in which they are tried."""
    import_modules(f"{__package__}.layouts")
    ordered = sorted(_LAYOUTS.values(), key=lambda layout: (layout.priority, layout.name))
    return {layout.name: layout for layout in ordered}
