"""Checks of arguments: numbers, choices and settings, with the same wording in the whole package.

Every check returns a plain Python value: a NumPy scalar becomes an `int` or `float`, which JSON can store. A whole number is
anything that `operator.index` accepts, a number is a `numbers.Real`; booleans are neither.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .errors import ConfigError

Config = TypeVar("Config")

#: Largest whole number that is accepted where no bound is given: an array of more values does not fit into memory.
MAX_COUNT = 10**9
#: Largest seed. Numbers that are derived from a seed, such as 1000 seed + restart, then fit into the 64 bits of a generator.
MAX_SEED = 2**32 - 1


def is_whole_number(value: object) -> bool:
    """Return True for an integer of Python, NumPy or the like; False for booleans and floats.

    Example:
        >>> import numpy as np
        >>> is_whole_number(np.int64(2)), is_whole_number(True), is_whole_number(2.0)
        (True, False, False)
    """
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not _is_boolean(value) and not getattr(value, "ndim", 0)


def is_number(value: object) -> bool:
    """Return True for a real number of Python or NumPy, infinities and NaN included; False for booleans.

    Example:
        >>> import numpy as np
        >>> is_number(np.float32(0.5)), is_number("0.5"), is_number(False)
        (True, False, False)
    """
    return type(value) in (float, int) or (isinstance(value, numbers.Real) and not _is_boolean(value))


def whole_number(name: str, value: Any, low: int | None = 0, high: int | None = MAX_COUNT) -> int:
    """Return a whole number within bounds.

    Args:
        name: Name of the value in messages.
        value: Anything.
        low: Smallest value accepted; None for no bound.
        high: Largest value accepted; None for no bound. Messages name the default only where it is exceeded.

    Raises:
        ConfigError: a value of another type, or outside the bounds.

    Example:
        >>> whole_number("seed", 3)
        3
        >>> whole_number("restarts", 2.5, 1)
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: restarts is 2.5; expected a whole number of at least 1.
    """
    if is_whole_number(value):
        whole = operator.index(value)
        if (low is None or whole >= low) and (high is None or whole <= high):
            return whole
        if high == MAX_COUNT and whole <= high:
            high = None
    elif high == MAX_COUNT:
        high = None
    raise ConfigError(f"{name} is {_shown(value)}; expected a whole number{_bounds(low, high)}.")


def seed_number(name: str, value: Any) -> int:
    """Return a seed: a whole number from 0 to `MAX_SEED`.

    Args:
        name: Name of the value in messages.
        value: Anything.

    Raises:
        ConfigError: a value of another type, or outside the bounds.

    Example:
        >>> seed_number("seed", -1)
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: seed is -1; expected a whole number from 0 to 4294967295.
    """
    return whole_number(name, value, 0, MAX_SEED)


def array_size(name: str, **sizes: int) -> int:
    """Return the number of values of an array, the product of its sizes.

    Args:
        name: Name of the array in messages.
        **sizes: Its sizes by name, each a whole number.

    Raises:
        ConfigError: more than `MAX_COUNT` values.

    Example:
        >>> array_size("the mask", nodes=100, inputs=2)
        200
    """
    total = math.prod(sizes.values())
    if total > MAX_COUNT:
        each = " times ".join(f"{size} {size_name}" for size_name, size in sizes.items())
        raise ConfigError(f"{name} would have {each}; expected at most {MAX_COUNT} values in total.")
    return total


def number(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    above: bool = False,
    below: bool = False,
    finite: bool = True,
    unit: str = "",
) -> float:
    """Return a real number within bounds.

    Args:
        name: Name of the value in messages.
        value: Anything.
        low: Smallest value accepted; None for no bound.
        high: Largest value accepted; None for no bound.
        above: Exclude `low` itself.
        below: Exclude `high` itself.
        finite: Refuse infinities. NaN is always refused.
        unit: SI unit that the message names.

    Raises:
        ConfigError: a value of another type, NaN, or outside the bounds.

    Example:
        >>> number("validation", 0.1, 0.02, 0.5)
        0.1
        >>> number("width", -1e-6, 0, above=True, unit="s")
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: width is -1e-06; expected a finite number above 0 [s].
    """
    if is_number(value):
        real: float = value if type(value) is float else _as_float(value)
        within = (low is None or (real > low if above else real >= low)) and (
            high is None or (real < high if below else real <= high)
        )
        # Comparisons, not functions of `math`: torch.compile traces this with symbolic numbers.
        if within and real == real and (not finite or -math.inf < real < math.inf):
            return real
    kind = "a finite number" if finite else "a number"
    raise ConfigError(
        f"{name} is {_shown(value)}; expected {kind}{_bounds(low, high, above, below)}{f' [{unit}]' if unit else ''}."
    )


def whole_numbers(
    name: str,
    value: Any,
    low: int | None = 1,
    high: int | None = MAX_COUNT,
    *,
    empty: bool = False,
    example: Sequence[int] = (16, 16),
) -> tuple[int, ...]:
    """Return whole numbers within bounds as a tuple; a single one counts as a sequence of one.

    Args:
        name: Name of the value in messages.
        value: A whole number or an iterable of them.
        low: Smallest value accepted; None for no bound.
        high: Largest value accepted; None for no bound.
        empty: Accept an empty sequence.
        example: Example in the message.

    Raises:
        ConfigError: a value of another type, an empty sequence, or a number outside the bounds.

    Example:
        >>> whole_numbers("hidden", [50]), whole_numbers("hidden", 50)
        ((50,), (50,))
    """
    items = [value] if is_whole_number(value) else value
    if isinstance(items, Iterable) and not isinstance(items, (str, bytes, Mapping)):
        found = list(items)
        if all(is_whole_number(item) for item in found) and (found or empty):
            return tuple(whole_number(f"a value of {name}", item, low, high) for item in found)
    bounds = _bounds(low, None if high == MAX_COUNT else high)
    raise ConfigError(f"{name} is {_shown(value)}; expected whole numbers{bounds}, such as {tuple(example)}.")


def one_of(name: str, value: Any, choices: Iterable[str | None]) -> Any:
    """Return a value that is one of the choices.

    Args:
        name: Name of the value in messages.
        value: Anything.
        choices: Accepted values; None may be one of them.

    Raises:
        ConfigError: another value; the message suggests the closest choice.

    Example:
        >>> one_of("method", "adm", ("gauss-newton", "adam"))
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: method is 'adm'; expected one of gauss-newton, adam. Did you mean 'adam'?
    """
    known = choices if isinstance(choices, (tuple, dict)) else list(choices)
    if (value is None or isinstance(value, str)) and value in known:
        return value
    names = [choice for choice in known if choice is not None]
    close = difflib.get_close_matches(value, names, 1) if isinstance(value, str) else []
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"{name} is {_shown(value)}; expected one of {', '.join(str(choice) for choice in known)}.{guess}")


def flag(name: str, value: Any) -> bool:
    """Return a boolean.

    Args:
        name: Name of the value in messages.
        value: Anything.

    Raises:
        ConfigError: something other than True or False, such as 0 or "yes".

    Example:
        >>> flag("skip", True)
        True
    """
    if not _is_boolean(value):
        raise ConfigError(f"{name} is {_shown(value)}; expected True or False.")
    return bool(value)


def merge_settings(kind: type[Config], config: Config | None, settings: Mapping[str, Any], *, what: str = "") -> Config:
    """Return a configuration in which single settings replace those of `config`.

    `fit`, `fit_synapse`, `fit_stochastic` and `train` read their arguments `(config, **settings)` by this rule.

    Args:
        kind: Dataclass of the configuration.
        config: An instance, or None for the defaults.
        settings: Fields of `kind` by name.
        what: Name of the function in messages, such as "fit"; the name of the class if omitted.

    Raises:
        ConfigError: `config` is of another class, or a setting that `kind` does not have or does not accept.

    Example:
        >>> @dataclasses.dataclass
        ... class Config:
        ...     seed: int = 0
        ...     iterations: int = 100
        >>> merge_settings(Config, Config(seed=1), {"iterations": 20})
        Config(seed=1, iterations=20)
    """
    if config is not None and not isinstance(config, kind):
        raise ConfigError(f"config is a {type(config).__name__}; expected {kind.__name__}(...), or the settings by name.")
    known = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            guess = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{what or kind.__name__} has no setting {name!r}; the settings are: {', '.join(known)}.{guess}")
    if config is None:
        return kind(**settings)
    return dataclasses.replace(config, **settings)  # type: ignore[type-var]


def describe_type(value: object) -> str:
    """Return "None", or the type of a value with its article, for messages.

    Example:
        >>> describe_type(None), describe_type("x"), describe_type(3)
        ('None', 'a str', 'an int')
    """
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond the range of floats
        return math.inf if value > 0 else -math.inf


def _is_boolean(value: object) -> bool:
    # The type of a NumPy or torch scalar, which need not be imported here.
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def _shown(value: object) -> str:
    plain = value.item() if hasattr(value, "item") and not getattr(value, "ndim", 1) else value
    text = repr(plain)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _bounds(low: float | None, high: float | None, above: bool = False, below: bool = False) -> str:
    if low is not None and high is not None and not above and not below:
        return f" from {low:g} to {high:g}" if not isinstance(high, int) else f" from {low} to {high}"
    parts = []
    if low is not None:
        parts.append(f"above {low:g}" if above else f"of at least {_plain(low)}")
    if high is not None:
        parts.append(f"below {_plain(high)}" if below else f"of at most {_plain(high)}")
    return " " + " and ".join(parts) if parts else ""


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
