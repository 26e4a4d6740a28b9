"""Conversion of units, in the spellings of files and users, to SI.

Inside the package every number is in SI units. A unit is a spelling, its SI symbols, its physical dimension and a factor; a
new unit is one line of `_UNITS`.

pint is the oracle of the tests but not used here: it needs 1.8 s to load, its conversions often differ from the decimal text in
the last digit (5 mV is exactly 0.005 V here), and it does not read, or misreads, spellings that files use, such as J/m3, kOhm,
emu/cc, or Oe for a field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from .errors import UnitError
from .typing import Array

#: Powers of metre, kilogram, second, ampere, kelvin and mole.
Dimension = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Unit:
    """A unit and its conversion to coherent SI units: SI value = (value + offset) * scale * 10**exponent.

    Attributes:
        symbol: SI symbol after the conversion, such as "V" or "J/m3"; "" for a dimensionless unit.
        dimension: Powers of metre, kilogram, second, ampere, kelvin and mole.
        scale: Factor without its power of ten (60 for a minute).
        exponent: Power of ten (-3 for a millivolt), separate from `scale` so that 5 mV becomes exactly 0.005 V.
        offset: Added before the scaling (273.15 for degC).
        decibel: If True, SI value = 10**(value / 10) * scale * 10**exponent (dBm).
    """

    symbol: str
    dimension: Dimension
    scale: float = 1.0
    exponent: int = 0
    offset: float = 0.0
    decibel: bool = False

    @property
    def factor(self) -> float:
        """Size of the unit in SI units, scale * 10**exponent."""
        return float(_power_of_ten(np.float64(self.scale), self.exponent))

    def to_si(self, values: npt.ArrayLike) -> Array:
        """Convert values in this unit to SI units, in the same shape."""
        array = np.asarray(values, dtype=np.float64)
        if self.decibel:
            array = 10.0 ** (array / 10.0)
        elif self.offset:
            array = array + self.offset
        if self.scale != 1.0:
            array = array * self.scale
        return np.asarray(_power_of_ten(array, self.exponent), dtype=np.float64)


def _power_of_ten(values: Array | np.float64, exponent: int) -> Array | np.float64:
    # 1e12 is exact in binary and 1e-12 is not: dividing gives exactly the number of the decimal text.
    return values / 10.0**-exponent if exponent < 0 else values * 10.0**exponent if exponent else values


@dataclass(frozen=True)
class _Entry:
    """A line of the table: the unit, its SI symbols, and whether it takes prefixes."""

    symbols: Mapping[str, int]
    dimension: Dimension
    scale: float = 1.0
    exponent: int = 0
    offset: float = 0.0
    decibel: bool = False
    prefixed: bool = True


def _si(symbol: str, *dimension: int) -> _Entry:
    return _Entry(MappingProxyType({symbol: 1}), _six(dimension))


def _six(powers: Sequence[int]) -> Dimension:
    """Return the powers of six base units; those left out at the end are zero."""
    m, kg, s, a, k, mol = (*powers, *[0] * (6 - len(powers)))
    return m, kg, s, a, k, mol


def _of(
    symbols: Mapping[str, int],
    dimension: Sequence[int],
    scale: float = 1.0,
    exponent: int = 0,
    *,
    offset: float = 0.0,
    decibel: bool = False,
    prefixed: bool = False,
) -> _Entry:
    return _Entry(MappingProxyType(dict(symbols)), _six(dimension), scale, exponent, offset, decibel, prefixed)


_PREFIXES: Mapping[str, int] = MappingProxyType(
    {"a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "c": -2, "k": 3, "M": 6, "G": 9, "T": 12}
)

# Powers of metre, kilogram, second, ampere, kelvin, mole.
_NONE, _TIME, _FIELD = (0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (-1, 0, 0, 1, 0)
_ENERGY, _POWER, _INDUCTION = (2, 1, -2, 0, 0), (2, 1, -3, 0, 0), (0, 1, -2, -1, 0)
_PRESSURE, _CHARGE = (-1, 1, -2, 0, 0), (0, 0, 1, 1, 0)

_UNITS: Mapping[str, _Entry] = MappingProxyType(
    {
        "": _of({}, _NONE),
        "1": _of({}, _NONE),
        "l": _of({"m": 3}, (3, 0, 0, 0, 0), exponent=-3, prefixed=True),
        "cc": _of({"m": 3}, (3, 0, 0, 0, 0), exponent=-6),
        "%": _of({}, _NONE, exponent=-2),
        "rad": _of({"rad": 1}, _NONE, prefixed=True),
        "deg": _of({"rad": 1}, _NONE, math.pi / 180.0),
        "m": _si("m", 1, 0, 0, 0, 0),
        "kg": _of({"kg": 1}, (0, 1, 0, 0, 0)),
        "s": _si("s", 0, 0, 1, 0, 0),
        "min": _of({"s": 1}, _TIME, 60.0),
        "h": _of({"s": 1}, _TIME, 3600.0),
        "d": _of({"s": 1}, _TIME, 86400.0),
        "A": _si("A", 0, 0, 0, 1, 0),
        "K": _si("K", 0, 0, 0, 0, 1),
        "degC": _of({"K": 1}, (0, 0, 0, 0, 1), offset=273.15),
        "degF": _of({"K": 1}, (0, 0, 0, 0, 1), 5.0 / 9.0, offset=459.67),
        "mol": _si("mol", 0, 0, 0, 0, 0, 1),
        "Hz": _si("Hz", 0, 0, -1, 0, 0),
        "rpm": _of({"rad": 1, "s": -1}, (0, 0, -1, 0, 0), math.pi / 30.0),
        # Standard gravity; LabVIEW writes "g", which elsewhere is a gram.
        "gn": _of({"m": 1, "s": -2}, (1, 0, -2, 0, 0), 9.80665),
        "N": _si("N", 1, 1, -2, 0, 0),
        "Nm": _of({"N": 1, "m": 1}, _ENERGY, prefixed=True),
        "Pa": _si("Pa", *_PRESSURE),
        "hPa": _of({"Pa": 1}, _PRESSURE, exponent=2),
        "bar": _of({"Pa": 1}, _PRESSURE, exponent=5, prefixed=True),
        "atm": _of({"Pa": 1}, _PRESSURE, 101325.0),
        "Torr": _of({"Pa": 1}, _PRESSURE, 101325.0 / 760.0, prefixed=True),
        "psi": _of({"Pa": 1}, _PRESSURE, 4.4482216152605 / 0.0254**2),
        "J": _si("J", *_ENERGY),
        "eV": _of({"J": 1}, _ENERGY, 1.602176634, -19, prefixed=True),
        "erg": _of({"J": 1}, _ENERGY, exponent=-7),
        "W": _si("W", *_POWER),
        "dBm": _of({"W": 1}, _POWER, exponent=-3, decibel=True),
        "Wh": _of({"J": 1}, _ENERGY, 3600.0, prefixed=True),
        "C": _si("C", *_CHARGE),
        "Ah": _of({"C": 1}, _CHARGE, 3600.0, prefixed=True),
        "V": _si("V", 2, 1, -3, -1, 0),
        "Ohm": _si("Ohm", 2, 1, -3, -2, 0),
        "S": _si("S", -2, -1, 3, 2, 0),
        "F": _si("F", -2, -1, 4, 2, 0),
        "Wb": _si("Wb", 2, 1, -2, -1, 0),
        "H": _si("H", 2, 1, -2, -2, 0),
        "T": _si("T", *_INDUCTION),
        "G": _of({"T": 1}, _INDUCTION, exponent=-4, prefixed=True),
        # The field with an induction of one gauss in vacuum, 1 Oe = 1000/(4 pi) A/m.
        "Oe": _of({"A": 1, "m": -1}, _FIELD, 1.0 / (4.0 * math.pi), 3, prefixed=True),
        "emu": _of({"A": 1, "m": 2}, (2, 0, 0, 1, 0), exponent=-3, prefixed=True),
    }
)

# Other spellings of whole units, regardless of case.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("volt", "volts"), "V"),
        **dict.fromkeys(("ampere", "amperes", "amp", "amps"), "A"),
        **dict.fromkeys(("second", "seconds", "sec", "secs", "sek", "sekunden"), "s"),
        **dict.fromkeys(("minute", "minutes", "mins"), "min"),
        **dict.fromkeys(("hour", "hours", "hr", "hrs"), "h"),
        **dict.fromkeys(("day", "days"), "d"),
        **dict.fromkeys(("ohm", "ohms"), "Ohm"),
        **dict.fromkeys(("siemens", "mho"), "S"),
        **dict.fromkeys(("hertz",), "Hz"),
        **dict.fromkeys(("kelvin",), "K"),
        **dict.fromkeys(("celsius", "°c"), "degC"),
        **dict.fromkeys(("degree", "degrees", "°"), "deg"),
        **dict.fromkeys(("tesla",), "T"),
        **dict.fromkeys(("gauss",), "G"),
        **dict.fromkeys(("oersted",), "Oe"),
        **dict.fromkeys(("watt", "watts"), "W"),
        **dict.fromkeys(("joule", "joules"), "J"),
        **dict.fromkeys(("newton", "newtons"), "N"),
        **dict.fromkeys(("pascal", "pascals"), "Pa"),
        **dict.fromkeys(("farad", "farads"), "F"),
        **dict.fromkeys(("liter", "litre", "liters", "litres"), "l"),
        **dict.fromkeys(("deg c", "c°", "degrees c", "grd c", "grad c", "degree c", "degrees celsius", "deg. c"), "degC"),
        **dict.fromkeys(("°f", "deg f", "degrees f", "degree f", "fahrenheit", "degrees fahrenheit", "grd f"), "degF"),
        **dict.fromkeys(("rev/min", "u/min", "r/min", "rpm"), "rpm"),
        **dict.fromkeys(("bars",), "bar"),
        **dict.fromkeys(("torr", "mmhg", "mm hg"), "Torr"),
        **dict.fromkeys(("mole", "moles"), "mol"),
        **dict.fromkeys(("n m", "n*m", "n.m"), "Nm"),
        **dict.fromkeys(("count", "counts", "cts", "hit", "hits", "events"), ""),
        **dict.fromkeys(("meter", "metre", "meters", "metres"), "m"),
        **dict.fromkeys(("percent",), "%"),
        **dict.fromkeys(("-", "none", "dimensionless", "a.u.", "arb.u.", "arb. u.", "arb. units"), ""),
    }
)

# U+00B5 and U+03BC both look like a micro sign, U+2126 and U+03A9 like an ohm sign; U+2212 is the typographic minus.
_LETTERS = str.maketrans({"µ": "u", "μ": "u", "Ω": "Ohm", "\u2126": "Ohm", "\u2212": "-", "·": "*", "⋅": "*", "×": "*"})
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")

# The two bytes of a degree or micro sign in UTF-8, read as Latin-1; and a list of one text, as Python prints it.
_WRONG_ENCODING = re.compile("Â(?=[°µ·²³])|Î(?=¼)")
_LIST_OF_ONE = re.compile(r"""\[\s*(['"])(?P<unit>.*)\1\s*\]""")

_FACTOR = re.compile(r"(?P<symbol>[^\W\d_]+|%|1(?!\d))(?:(?:\^|\*\*)?(?P<power>[+-]?\d+))?")
_JOIN = re.compile(r"\s*(?P<divide>/)\s*|\s*\*(?!\*)\s*|\s*\.\s*|\s+")


def parse_unit(text: str) -> Unit:
    """Parse a unit: `mV`, `J/m3`, `J/m^3`, `A m**-1`, `1/s`, `kOe`, `degC`, `dBm`, and "" for a pure number.

    A whole unit takes precedence over prefix + unit: "min" is a minute, "T" tesla, "Pa" pascal, "m" metre; "mT" is a
    millitesla.

    Args:
        text: The unit, with SI prefixes, powers, products and quotients.

    Raises:
        UnitError: an unknown unit, or a compound with degC or dBm.

    Example:
        >>> unit = parse_unit("kA/cm^2")
        >>> unit.symbol, unit.factor
        ('A/m2', 10000000.0)
        >>> parse_unit("mv")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        spinode.errors.UnitError: 'mv' is not a known unit. Did you mean mV or MV? ...
    """
    text = str(text)
    listed = _LIST_OF_ONE.fullmatch(text.strip())
    text = _WRONG_ENCODING.sub("", listed["unit"] if listed else text)
    cleaned = " ".join(text.split()).translate(_LETTERS)
    whole = _lookup(cleaned)
    if whole is not None:
        return _unit([(whole, 1)], cleaned)
    return _unit(_factors(cleaned, text), text)


def to_si(values: npt.ArrayLike, text: str) -> tuple[Array, str]:
    """Convert values to SI units.

    Args:
        values: Numbers of any shape, in the unit `text`.
        text: The unit, see `parse_unit`.

    Returns:
        The values in SI units, float64 in the same shape, and the SI symbol.

    Raises:
        UnitError: an unknown unit.

    Example:
        >>> to_si([20.0, 25.0], "degC")
        (array([293.15, 298.15]), 'K')
    """
    unit = parse_unit(text)
    return unit.to_si(values), unit.symbol


def same_dimension(a: str, b: str) -> bool:
    """Return True if two units have the same physical dimension.

    Raises:
        UnitError: one of them is unknown.

    Example:
        >>> same_dimension("V/A", "mOhm"), same_dimension("Oe", "T")
        (True, False)
    """
    return parse_unit(a).dimension == parse_unit(b).dimension


def known_units() -> list[str]:
    """Return the spellings of all units of the table, with their prefixes.

    Example:
        >>> {"mV", "Torr", "Nm"} <= set(known_units())
        True
    """
    known = [name for name in _UNITS if name not in ("", "1")]
    return [*known, *(prefix + name for name in known if _UNITS[name].prefixed for prefix in _PREFIXES)]


def readable(value: float, symbol: str = "") -> str:
    """Format a number in SI units with four digits, and with a prefix if the unit takes one.

    Example:
        >>> readable(2.5e-12, "s"), readable(8e5, "J/m3")
        ('2.5 ps', '8e+05 J/m3')
    """
    if not math.isfinite(value):
        return f"{value} {symbol}".rstrip()
    entry = _UNITS.get(symbol)
    if value == 0 or not symbol or entry is None or not entry.prefixed:
        return f"{value:.4g} {symbol}".rstrip()
    names = {power: name for name, power in _PREFIXES.items() if name != "c"} | {0: ""}
    # Round to four digits first, so that 999.96 becomes 1 k and not 1000.
    power = min(max(3 * math.floor(math.log10(abs(float(f"{value:.4g}"))) / 3), min(names)), max(names))
    return f"{value / 10.0**power:.4g} {names[power]}{symbol}"


def _lookup(text: str) -> _Entry | None:
    """Return a single unit with or without a prefix; None if it is not in the table."""
    if text in _UNITS:
        return _UNITS[text]
    if text.casefold() in _ALIASES:
        return _UNITS[_ALIASES[text.casefold()]]
    prefix, name = text[:1], text[1:]
    entry = _UNITS.get("Ohm" if name == "ohm" else name)
    if entry is None and len(name) > 2 and name.casefold() in _ALIASES:  # mVolt, uAmp, msec
        entry = _UNITS[_ALIASES[name.casefold()]]
    if prefix not in _PREFIXES or entry is None or not entry.prefixed:
        return None
    power = entry.exponent + _PREFIXES[prefix]
    return _Entry(entry.symbols, entry.dimension, entry.scale, power, entry.offset, entry.decibel)


def _factors(cleaned: str, text: str) -> list[tuple[_Entry, int]]:
    """Return the factors of a compound unit with their powers; `text` is the original, for messages."""
    factors: list[tuple[_Entry, int]] = []
    cleaned = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda found: "^" + found[0].translate(_SUPERSCRIPTS), cleaned)
    position, sign = 0, 1
    while True:
        found = _FACTOR.match(cleaned, position)
        entry = _lookup(found["symbol"]) if found else None
        if found is None or entry is None:
            raise _unknown(text)
        factors.append((entry, sign * int(found["power"] or 1)))
        position = found.end()
        if position == len(cleaned):
            return factors
        join = _JOIN.match(cleaned, position)
        if join is None:
            raise _unknown(text)
        position, sign = join.end(), -1 if join["divide"] else 1


def _unit(factors: list[tuple[_Entry, int]], text: str) -> Unit:
    """Return the product of the factors."""
    if len(factors) == 1 and factors[0][1] == 1:
        entry = factors[0][0]
        symbol = _symbol(entry.symbols)
        return Unit(symbol, entry.dimension, entry.scale, entry.exponent, entry.offset, entry.decibel)
    if any(entry.offset or entry.decibel for entry, _ in factors):
        raise UnitError(f"the unit {text!r} is a compound with degC or dBm; use K or W there.")
    if any(abs(power) > 9 for _, power in factors):
        raise UnitError(f"the unit {text!r} has a power beyond 9; expected powers from -9 to 9.")
    symbols: dict[str, int] = {}
    dimension, scale, exponent = [0] * 6, 1.0, 0
    for entry, power in factors:
        for name, count in entry.symbols.items():
            symbols[name] = symbols.get(name, 0) + count * power
        dimension = [total + part * power for total, part in zip(dimension, entry.dimension, strict=True)]
        scale *= entry.scale**power
        exponent += entry.exponent * power
    return Unit(_symbol(symbols), _six(dimension), scale, exponent)


def _symbol(symbols: Mapping[str, int]) -> str:
    """Return the SI symbol as text that `parse_unit` can read: {"J": 1, "m": -3} becomes "J/m3"."""
    above = " ".join(_power(name, count) for name, count in symbols.items() if count > 0)
    below = "".join(f"/{_power(name, -count)}" for name, count in symbols.items() if count < 0)
    return (above or "1") + below if below else above


def _power(name: str, count: int) -> str:
    return name if count == 1 else f"{name}{count}"


def _unknown(text: str) -> UnitError:
    known = [name for name in _UNITS if name not in ("", "1")]
    similar = [name for name in known_units() if name.casefold() == text.casefold()]
    hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
    return UnitError(
        f"{text!r} is not a known unit.{hint} Expected one of {', '.join(known)}, most of them with the prefixes "
        f"{' '.join(_PREFIXES)}, or a compound such as 'J/m3', 'A/m', 'V s' or '1/s'; upper and lower case matter."
    )
