"""Tables of conductances: what was written comes back, and every wrong table is refused."""

from __future__ import annotations

import csv

import pytest
import torch
from torch import nn

from spinode import ConfigError, FileFormatError
from spinode.datasets import TiO2, WeakReset
from spinode.errors import DomainWarning
from spinode.surrogates import DeviceConv2d, DeviceLinear, IdealSynapse, read_conductances, write_conductances, zoo


def network(synapse, seed: int, **settings) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    return nn.Sequential(
        DeviceConv2d(1, 2, 3, synapse, seed=generator, **settings),
        nn.Flatten(),
        DeviceLinear(8, 3, synapse, seed=generator, **settings),
    )


@pytest.mark.parametrize("synapse", [TiO2(), IdealSynapse(step=0.01)])
@pytest.mark.parametrize("kind", ["pair", "single"])
def test_a_table_gives_the_same_weights_in_another_model(synapse, kind, tmp_path):
    one, other = network(synapse, 0, kind=kind), network(synapse, 1, kind=kind)
    assert write_conductances(one, tmp_path / "t.csv") == 2 * 9 + 3 * 8
    loaded = read_conductances(other, tmp_path / "t.csv")
    for name in (0, 2):
        torch.testing.assert_close(loaded[name].weight, one[name].weight, rtol=0, atol=1e-6)
        assert not torch.allclose(other[name].weight, one[name].weight, atol=1e-3)  # it is a copy that was changed
        assert torch.equal(loaded[name].bias, other[name].bias)


def test_measured_conductances_come_into_a_surrogate(tmp_path):
    device = zoo.open_synapse("soft-bounds").only(c2c=False, rtn=False, d2d=False)
    layer = DeviceLinear(3, 2, device, initial="devices", seed=0)
    write_conductances(layer, tmp_path / "t.csv")
    rows = list(csv.reader((tmp_path / "t.csv").read_text().splitlines()))
    assert rows[0] == ["layer", "row", "column", "G+", "G-"]
    measured = torch.linspace(-0.2, 0.2, 12).reshape(6, 2)
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        writer.writerows([*row[:3], *values] for row, values in reversed(list(zip(rows[1:], measured.tolist(), strict=True))))
    loaded = read_conductances(layer, tmp_path / "t.csv")
    expected = measured.reshape(2, 3, 2).movedim(-1, 0)  # columns are the outputs
    torch.testing.assert_close(loaded.weights.conductance(noisy=False), expected, rtol=0, atol=1e-5)


def test_the_unit_is_in_the_header(tmp_path):
    write_conductances(DeviceLinear(2, 1, TiO2(), seed=0), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[0] == "layer,row,column,G+ [S],G- [S]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: ["layer,row,column,G", *lines[1:]], "expected layer,row,column,G"),
        (lambda lines: lines[:-1], "lacks 1 of 6 cells"),
        (lambda lines: [*lines, lines[-1]], "twice"),
        (lambda lines: [lines[0], "other" + lines[1], *lines[2:]], "no layer 'other'"),
        (lambda lines: [*lines[:-1], ",7,0,0,0"], "row 7"),
        (lambda lines: [*lines[:-1], ",2,1,nan,0"], "not finite"),
        (lambda lines: [*lines[:-1], ",2,1,0"], "values are missing"),
        (lambda lines: [*lines[:-1], ",x,1,0,0"], "line 7"),
    ],
)
def test_wrong_tables_are_refused(change, message, tmp_path):
    layer = DeviceLinear(3, 2, IdealSynapse(), seed=0)
    write_conductances(layer, tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("\n".join(change((tmp_path / "t.csv").read_text().splitlines())))
    with pytest.raises(FileFormatError, match=message):
        read_conductances(layer, tmp_path / "t.csv")


def test_models_and_devices_that_cannot_take_part_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no device layer"):
        write_conductances(nn.Linear(2, 2), tmp_path / "t.csv")
    layer = DeviceLinear(3, 2, WeakReset(), kind="sign", seed=0)
    write_conductances(layer, tmp_path / "t.csv")
    with pytest.raises(ConfigError, match=r"a method at\(conductance"):
        read_conductances(layer, tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("device", "outside"),
    [(TiO2(), 1.0), (IdealSynapse(step=0.01), 9.0), ("soft-bounds", 9.0)],
    ids=["tio2", "ideal", "fitted"],
)
def test_conductances_outside_the_range_are_reported_for_every_device(device, outside, tmp_path):
    synapse = zoo.open_synapse(device) if isinstance(device, str) else device
    layer = DeviceLinear(2, 1, synapse, initial="devices", seed=0)
    write_conductances(layer, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    lines[1] = f"{lines[1].rpartition(',')[0]},{outside}"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.warns(DomainWarning, match=f"1 of 4 conductances of the layer '' are outside .* such as {outside:g}, which"):
        read_conductances(layer, tmp_path / "t.csv")


def test_blank_lines_are_ignored_and_a_seed_is_checked(tmp_path):
    layer = DeviceLinear(2, 1, IdealSynapse(), seed=0)
    write_conductances(layer, tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text().replace("\n", "\n\n") + "\n ,\n")
    assert torch.allclose(read_conductances(layer, tmp_path / "t.csv").weight, layer.weight, atol=1e-6)
    with pytest.raises(ConfigError, match="seed is 'a'"):
        read_conductances(layer, tmp_path / "t.csv", seed="a")


@pytest.mark.parametrize(("unit", "factor"), [("[uS]", 1e6), ("(nS)", 1e9), ("[S]", 1.0), ("[µS]", 1e6)])
def test_conductances_in_any_unit_reach_the_layer(unit, factor, tmp_path):
    layer = DeviceLinear(3, 2, TiO2(), initial="devices", seed=0)
    write_conductances(layer, tmp_path / "t.csv")
    header, *lines = (tmp_path / "t.csv").read_text().splitlines()
    assert header == "layer,row,column,G+ [S],G- [S]"
    scaled = []
    for line in lines:
        *place, plus, minus = line.split(",")
        scaled.append(",".join([*place, repr(float(plus) * factor), repr(float(minus) * factor)]))
    (tmp_path / "u.csv").write_text("\n".join([f"layer,row,column,G+ {unit},G- {unit}", *scaled]), "utf-8")
    first, second = (read_conductances(layer, tmp_path / name) for name in ("t.csv", "u.csv"))
    assert torch.allclose(first.weight, second.weight, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("names", ["G+ [V],G- [V]", "G- [uS],G+ [uS]", "G+,G-", "G+ [furlong],G- [furlong]"])
def test_other_units_and_orders_are_refused(names, tmp_path):
    layer = DeviceLinear(3, 2, TiO2(), initial="devices", seed=0)
    write_conductances(layer, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([f"layer,row,column,{names}", *lines[1:]]))
    with pytest.raises(FileFormatError, match=r"expected layer,row,column,G\+ \[S\],G- \[S\], or another unit of conductance"):
        read_conductances(layer, tmp_path / "t.csv")
