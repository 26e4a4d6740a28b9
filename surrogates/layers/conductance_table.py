"""Conductances of all devices of a model as a CSV table, for the programmer of a real array, and measured ones back."""

from __future__ import annotations

import csv
import io
import math
import re
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import ConfigError, DomainWarning, FileFormatError, UnitError
from ...files import as_path, write_atomically
from ...random import seeded_generator
from ...units import parse_unit
from .device_layers import DeviceLayer

_NAMED = re.compile(r"(?P<name>G[+-]?)\s*[\[(](?P<unit>.+)[\])]")
_PLACE = ("layer", "row", "column")
#: Difference between a conductance and that of the placed device, relative to the usual range, that is reported.
RANGE_TOLERANCE = 1e-3


def write_conductances(model: nn.Module, path: str | Path) -> int:
    """Write the conductances of all device layers, without read noise, as a CSV table.

    A line for each weight: the name of the layer, row (input; for a convolution the index in channel x height x width of the
    kernel), column (output), and the conductances "G+" and "G-", or "G" for single devices, with the unit in the header,
    such as "G+ [S]". Nine digits: those of single precision.

    Args:
        model: A model with device layers.
        path: The file.

    Returns:
        Number of lines without the header.

    Raises:
        ConfigError: no device layer, or layers with different units or numbers of devices per weight.

    Example:
        >>> import tempfile
        >>> from spinode.surrogates import DeviceLinear, IdealSynapse
        >>> layer = DeviceLinear(3, 2, IdealSynapse(), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lines = write_conductances(nn.Sequential(layer), Path(folder, "targets.csv"))
        ...     loaded = read_conductances(nn.Sequential(layer), Path(folder, "targets.csv"))
        >>> lines, bool((loaded[0].weight - layer.weight).abs().max() < 1e-6)
        (6, True)
    """
    layers = _layers(model)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_header(_names(layers), _unit(layers)))
    lines = 0
    for name, layer in layers.items():
        with torch.no_grad():
            values = layer.weights.conductance(noisy=False).flatten(2)
        for column in range(values.shape[1]):
            for row, devices in enumerate(values[:, column].T.tolist()):
                writer.writerow([name, row, column, *(f"{value:.9g}" for value in devices)])
                lines += 1
    write_atomically(path, text.getvalue().encode())
    return lines


@torch.inference_mode(mode=False)
def read_conductances(model: nn.Module, path: str | Path, *, seed: int | None = None) -> nn.Module:
    """Return a copy of a model whose devices have the conductances of a CSV table, such as measured ones.

    The synapse places its devices with its method `at(conductance, generator=...)`; a surrogate draws their other parameters
    from devices of the population that have such conductances. Biases and other parameters are those of the model.

    Args:
        model: A model with the device layers of the table; it is not changed.
        path: File of the form that `write_conductances` writes, with the lines in any order and the conductances in any unit
            of theirs, "G+ [uS]" or "G+ (nS)".
        seed: Seed of the other parameters; None for their mean.

    Conductances that a device cannot have become the nearest that it can have, with a `DomainWarning`. Blank lines are ignored.

    Raises:
        ConfigError: no device layer, or a synapse that cannot place devices.
        FileFormatError: another header, layers or cells that are missing, repeated or not those of the model, or values that
            are not finite.
    """
    generator = None if seed is None else seeded_generator(seed)
    copy = deepcopy(model)
    layers = _layers(copy)
    shapes = {name: layer.weights.conductance(noisy=False).flatten(2).shape for name, layer in layers.items()}
    tables = {name: torch.full(shape, math.nan, dtype=torch.float64) for name, shape in shapes.items()}
    for number, name, row, column, values in _lines(as_path(path), _names(layers), _unit(layers)):
        table = tables.get(name)
        if table is None:
            raise FileFormatError(f"{path}, line {number}: no layer {name!r}; the model has {', '.join(map(repr, layers))}.")
        if not (0 <= row < table.shape[2] and 0 <= column < table.shape[1]):
            raise FileFormatError(
                f"{path}, line {number}: row {row}, column {column} of {name!r}, which has {table.shape[2]} x {table.shape[1]}."
            )
        if not bool(torch.isnan(table[0, column, row])):
            raise FileFormatError(f"{path}, line {number}: row {row}, column {column} of {name!r} is there twice.")
        table[:, column, row] = torch.tensor(values, dtype=torch.float64)
    for name, layer in layers.items():
        missing = int(torch.isnan(tables[name][0]).sum())
        if missing:
            raise FileFormatError(f"{path} lacks {missing} of {tables[name][0].numel()} cells of the layer {name!r}.")
        _place(name, layer, tables[name], generator)
    return copy


def _place(name: str, layer: DeviceLayer, table: Tensor, generator: torch.Generator | None) -> None:
    weights = layer.weights
    place = getattr(weights.synapse, "at", None)
    if place is None:
        raise ConfigError(
            f"{type(weights.synapse).__name__} of the layer {name!r} cannot place devices at a conductance; give it a method "
            "at(conductance, generator=None) that returns their state, or use a surrogate fitted by fit_synapse."
        )
    wanted = table.reshape(weights.wear.shape).to(layer.weight.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)  # the surrogates' own; this one is the same for all devices
        reached = weights.synapse.read(place(wanted))
        state = place(wanted, generator=generator)
    span = weights.synapse.high - weights.synapse.low
    far = (reached - wanted).abs() > RANGE_TOLERANCE * span
    if bool(far.any()):
        first = float(wanted[far][0])
        warnings.warn(
            f"{int(far.sum())} of {far.numel()} conductances of the layer {name!r} are outside the range of its devices, such "
            f"as {first:.4g}, which becomes {float(reached[far][0]):.4g} {weights.synapse.unit}".rstrip()
            + ".",
            DomainWarning,
            stacklevel=3,
        )
    weights.replace_state(state)
    layer.sync()


def _layers(model: nn.Module) -> dict[str, DeviceLayer]:
    layers = {name: module for name, module in model.named_modules() if isinstance(module, DeviceLayer)}
    if not layers:
        raise ConfigError("the model has no device layer; use DeviceLinear, DeviceConv2d or to_devices(model, synapse).")
    return layers


def _form(layers: dict[str, DeviceLayer]) -> tuple[str, int]:
    forms = {(layer.weights.synapse.unit, len(layer.weights.wear)) for layer in layers.values()}
    if len(forms) > 1:
        raise ConfigError("the layers differ in unit or in devices per weight; write a table for each of them.")
    return next(iter(forms))


def _unit(layers: dict[str, DeviceLayer]) -> str:
    return _form(layers)[0]


def _names(layers: dict[str, DeviceLayer]) -> tuple[str, ...]:
    return ("G",) if _form(layers)[1] == 1 else ("G+", "G-")


def _header(names: tuple[str, ...], unit: str) -> list[str]:
    return [*_PLACE, *(f"{name} [{unit}]" if unit else name for name in names)]


def _factors(words: list[str], names: tuple[str, ...], unit: str) -> list[float] | None:
    """Return the factors of a header's units to that of the devices; None if it is another header."""
    words = [word.strip() for word in words]
    if words == _header(names, unit):
        return [1.0] * len(names)
    if words[: len(_PLACE)] != list(_PLACE) or len(words) != len(_PLACE) + len(names):
        return None
    factors = []
    for word, name in zip(words[len(_PLACE) :], names, strict=True):
        found = _NAMED.fullmatch(word)
        if found is None or found["name"] != name or not unit:
            return None
        try:
            own, wanted = parse_unit(found["unit"]), parse_unit(unit)
        except UnitError:
            return None
        if own.dimension != wanted.dimension:
            return None
        factors.append(own.factor / wanted.factor)
    return factors


def _lines(path: Path, names: tuple[str, ...], unit: str) -> Iterator[tuple[int, str, int, int, list[float]]]:
    """Yield line number, layer, row, column and conductances in the unit of the devices."""
    header = _header(names, unit)
    try:
        lines = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"cannot read {path}: {error}.") from None
    factors = _factors(lines[0], names, unit) if lines else None
    if factors is None:
        other = f", or another unit of conductance in the place of {unit}" if unit else ""
        raise FileFormatError(
            f"{path} begins with {','.join(lines[0]) if lines else 'nothing'!r}; expected {','.join(header)}{other}."
        )
    for number, words in enumerate(lines[1:], 2):
        if not any(word.strip() for word in words):
            continue
        try:
            name, row, column, *values = words
            numbers = [float(value) for value in values]
            if len(words) != len(header) or not all(map(math.isfinite, numbers)):
                raise ValueError("values are missing or not finite")
            yield number, name, int(row), int(column), [value * factor for value, factor in zip(numbers, factors, strict=True)]
        except ValueError as error:
            raise FileFormatError(
                f"{path}, line {number}: {','.join(words)!r}: {error}; expected {','.join(header)}."
            ) from None
