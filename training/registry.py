"""`Registry`: classes of a family by their names, to which each file of the family adds its own."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ..errors import ConfigError


class Named(Protocol):
    """What has a name."""

    name: ClassVar[str]


Base = TypeVar("Base", bound=Named)
Kind = TypeVar("Kind", bound=type[Named])


class Registry(Generic[Base]):
    """Classes by their attribute `name`.

    Args:
        what: What they are, for errors.

    Example:
        >>> shapes = Registry("shape")
        >>> @shapes.register
        ... class Square:
        ...     name = "square"
        >>> shapes.all() == {"square": Square}
        True
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._known: dict[str, Any] = {}

    def register(self, kind: Kind) -> Kind:
        """Add a class under its name, as a decorator.

        Raises:
            ConfigError: the name belongs to another class.
        """
        known = self._known.get(kind.name)
        if known is not None and known.__qualname__ != kind.__qualname__:
            raise ConfigError(f"the {self.what} name {kind.name!r} belongs to {known.__qualname__}; choose another one.")
        self._known[kind.name] = kind
        return kind

    def all(self) -> dict[str, type[Base]]:
        """Return all classes by name, in alphabetical order."""
        return dict(sorted(self._known.items()))
