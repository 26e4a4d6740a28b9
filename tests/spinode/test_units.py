"""Units: compared with pint, by definitions, and by properties that are valid for any text."""

import math

import numpy as np
import pint
import pytest
from hypothesis import given, strategies as st

from spinode.errors import UnitError
from spinode.units import parse_unit, readable, same_dimension, to_si

REGISTRY = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
PREFIXES = ["", "a", "f", "p", "n", "u", "m", "k", "M", "G", "T"]
# Our spelling and pint's. In pint, gauss and oersted are CGS units, so these two are compared with their definitions in SI.
PREFIXED = {name: name for name in ["m", "s", "A", "K", "Hz", "N", "Pa", "J", "eV", "W", "C", "V", "S", "F", "Wb", "H", "T"]}
PREFIXED |= {
    "Ohm": "ohm",
    "rad": "rad",
    "mol": "mol",
    "bar": "bar",
    "Torr": "torr",
    "Nm": "N*m",
    "Wh": "W*hour",
    "Ah": "A*hour",
}
WHOLE = {"min": "min", "h": "hour", "kg": "kg", "deg": "deg", "%": "percent", "erg": "erg", "cm": "cm", "": "", "1": ""}
WHOLE |= {"d": "day", "hPa": "hPa", "psi": "psi", "atm": "atm", "rpm": "rpm"}


def pint_factor(text):
    return REGISTRY.Quantity(1.0, text).to_base_units().magnitude


def pint_dimension(text):
    powers = REGISTRY.Quantity(1.0, text).dimensionality
    names = ("[length]", "[mass]", "[time]", "[current]", "[temperature]", "[substance]")
    return tuple(int(powers.get(name, 0)) for name in names)


@pytest.mark.parametrize("name", PREFIXED)
def test_every_prefix_agrees_with_pint(name):
    for prefix in PREFIXES:
        unit = parse_unit(prefix + name)
        assert unit.factor == pytest.approx(pint_factor(prefix + PREFIXED[name]), rel=1e-14)
        assert unit.dimension == pint_dimension(PREFIXED[name])


@pytest.mark.parametrize("name", WHOLE)
def test_whole_units_agree_with_pint(name):
    assert parse_unit(name).factor == pytest.approx(pint_factor(WHOLE[name]), rel=1e-14)
    assert parse_unit(name).dimension == pint_dimension(WHOLE[name])


COMPOUNDS = ["J/m**3", "mJ/m**2", "A/m", "kA/m", "uV/K", "A/cm**2", "V*s", "m/s**2", "deg/ns", "1/s", "nm**-1", "V/A/s"]


@pytest.mark.parametrize("text", COMPOUNDS)
@pytest.mark.parametrize("spelling", [str, lambda text: text.replace("**", "^"), lambda text: text.replace("**", "")])
def test_compounds_agree_with_pint_in_every_spelling(text, spelling):
    unit = parse_unit(spelling(text))
    assert unit.factor == pytest.approx(pint_factor(text), rel=1e-14)
    assert unit.dimension == pint_dimension(text)


@pytest.mark.parametrize(("text", "kelvin"), [("degC", 273.15), ("°C", 273.15), ("Celsius", 273.15)])
def test_celsius_has_an_offset(text, kelvin):
    assert to_si([0.0, 26.85], text)[0] == pytest.approx([kelvin, 300.0])


@given(st.floats(-459.0, 1e4))
def test_fahrenheit_agrees_with_pint(value):
    assert to_si(value, "degF")[0] == pytest.approx(REGISTRY.Quantity(value, "degF").to("K").magnitude, rel=1e-12, abs=1e-9)


@given(st.floats(-200, 60))
def test_dbm_agrees_with_pint(level):
    assert to_si(level, "dBm")[0] == pytest.approx(REGISTRY.Quantity(level, "dBm").to("W").magnitude, rel=1e-12)
    assert parse_unit("dBm").symbol == "W"


def test_magnetic_units_follow_their_definitions():
    assert parse_unit("Oe").factor == pytest.approx(1000 / (4 * math.pi), rel=1e-15)
    assert parse_unit("kOe").factor == pytest.approx(1e6 / (4 * math.pi), rel=1e-15)
    assert parse_unit("G").factor == 1e-4
    assert parse_unit("emu/cm3").factor == pytest.approx(1000.0)
    # In vacuum, a field of 1 Oe has an induction of 1 G, with mu0 = 4 pi 1e-7 as in the definitions of both.
    assert 4e-7 * math.pi * parse_unit("Oe").factor == pytest.approx(parse_unit("G").factor, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "symbol", "factor"),
    [
        ("m", "m", 1.0),
        ("mm", "m", 1e-3),
        ("min", "s", 60.0),
        ("T", "T", 1.0),
        ("mT", "T", 1e-3),
        ("TT", "T", 1e12),
        ("Pa", "Pa", 1.0),
        ("GHz", "Hz", 1e9),
        ("G", "T", 1e-4),
        ("h", "s", 3600.0),
        ("cm", "m", 1e-2),
    ],
)
def test_whole_unit_takes_precedence_over_prefix_and_unit(text, symbol, factor):
    assert (parse_unit(text).symbol, parse_unit(text).factor) == (symbol, factor)


@pytest.mark.parametrize(
    ("spellings", "symbol"),
    [
        (["J/m3", "J/m^3", "J/m**3", "J m-3", "J*m**-3", "J·m⁻³", " J / m³ ", "J.m-3"], "J/m3"),
        (["Ohm", "ohm", "Ω", "\u2126", "Ohms", "OHM"], "Ohm"),
        (["uA", "µA", "μA"], "A"),
        (["1/s", "s-1", "s^-1", "s⁻¹"], "1/s"),
        (["", "1", "-", "none", "a.u.", "J/J"], ""),
        (["V", "Volt", "volts", "['V']"], "V"),
        (["degC", "°C", "Â°C", "Grd C", "deg C"], "K"),
        (["", "counts", "hits", "['']"], ""),
        (["d", "day", "Days"], "s"),
        (["Nm", "N m", "N*m"], "N m"),
    ],
)
def test_spellings_of_one_unit(spellings, symbol):
    assert {parse_unit(text).symbol for text in spellings} == {symbol}
    assert len({parse_unit(text).factor for text in spellings}) == 1


@pytest.mark.parametrize("text", ["foo", "mv", "V//A", "/s", "V/", "V /", "12", "Mmin", "J/(m3)", "m2m", "dB", "kkg", "µ"])
def test_unknown_units_are_refused(text):
    with pytest.raises(UnitError, match=r"is not a known unit\..*Expected one of .*upper and lower case matter"):
        parse_unit(text)


@pytest.mark.parametrize(("text", "hint"), [("hz", "Did you mean Hz"), ("mv", "Did you mean mV or MV"), ("KHZ", "kHz")])
def test_units_in_another_case_are_suggested(text, hint):
    with pytest.raises(UnitError, match=hint):
        parse_unit(text)


@pytest.mark.parametrize("text", ["degC/s", "dBm/Hz"])
def test_compounds_with_offsets_and_levels_are_refused(text):
    with pytest.raises(UnitError, match="is a compound with degC or dBm; use K or W"):
        parse_unit(text)


def test_powers_beyond_nine_are_refused():
    with pytest.raises(UnitError, match="power beyond 9"):
        parse_unit("m123456789")


def test_same_dimension():
    assert same_dimension("V/A", "mOhm")
    assert same_dimension("dBm", "mW")
    assert same_dimension("min", "ns")
    assert same_dimension("Oe", "A/m")
    assert not same_dimension("Oe", "T")
    assert not same_dimension("s", "Hz")


@given(st.integers(-(10**6), 10**6), st.sampled_from(["ps", "mV", "uA", "kOhm", "GHz", "mJ/m2"]))
def test_prefix_gives_exactly_the_number_of_the_decimal_text(value, text):
    powers = {"ps": "e-12", "mV": "e-3", "uA": "e-6", "kOhm": "e3", "GHz": "e9", "mJ/m2": "e-3"}
    assert to_si(value, text)[0] == float(f"{value}{powers[text]}")


factors = st.tuples(st.sampled_from(PREFIXES), st.sampled_from([*PREFIXED, "G", "Oe"]), st.integers(-3, 3).filter(bool))


@given(st.lists(factors, min_size=1, max_size=4), st.randoms())
def test_compounds_are_products_in_any_order(parts, random):
    def join(items):
        return "*".join(f"{prefix}{name}^{power}" for prefix, name, power in items)

    unit = parse_unit(join(parts))
    singles = [(parse_unit(prefix + name), power) for prefix, name, power in parts]
    assert unit.factor == pytest.approx(math.prod(single.factor**power for single, power in singles), rel=1e-9)
    expected = [sum(single.dimension[i] * power for single, power in singles) for i in range(6)]
    assert list(unit.dimension) == expected
    shuffled = random.sample(parts, len(parts))
    assert parse_unit(join(shuffled)).dimension == unit.dimension


@given(st.lists(factors, min_size=1, max_size=3))
def test_symbol_is_coherent_si_and_can_be_parsed(parts):
    unit = parse_unit(" ".join(f"{prefix}{name}{power}" for prefix, name, power in parts))
    again = parse_unit(unit.symbol)
    assert (again.symbol, again.dimension, again.factor) == (unit.symbol, unit.dimension, 1.0)


@given(st.text(max_size=12))
def test_any_text_is_a_unit_or_a_unit_error(text):
    try:
        unit = parse_unit(text)
    except UnitError:
        return
    assert math.isfinite(unit.factor)
    assert unit.factor > 0


def test_values_keep_their_shape_and_are_not_changed():
    values = np.arange(6.0).reshape(2, 3)
    converted, symbol = to_si(values, "mV")
    assert symbol == "V"
    assert converted.shape == (2, 3)
    assert values[1, 2] == 5.0


@pytest.mark.parametrize(
    ("value", "symbol", "text"),
    [
        (2.5e-12, "s", "2.5 ps"),
        (0.0, "V", "0 V"),
        (999.96, "V", "1 kV"),
        (-0.012, "A", "-12 mA"),
        (8e5, "J/m3", "8e+05 J/m3"),
        (0.25, "", "0.25"),
        (1e30, "Hz", "1e+18 THz"),
        (float("nan"), "V", "nan V"),
    ],
)
def test_readable(value, symbol, text):
    assert readable(value, symbol) == text


@given(st.floats(1e-17, 1e14), st.sampled_from(["s", "V", "Hz", "Ohm", "T"]))
def test_readable_numbers_can_be_parsed(value, symbol):
    number, unit = readable(value, symbol).split(" ")
    assert to_si(float(number), unit)[0] == pytest.approx(value, rel=1e-3)
