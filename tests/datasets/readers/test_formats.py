"""Files of laboratories and simulators: the real ones of ../shared, samples of our own, other models, sets, writing, damage."""

from __future__ import annotations

import importlib
import math
import os
import runpy
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from spinode import Trace
from spinode.datasets import read_trace, read_traces, write_trace
from spinode.datasets.parsing.parts import SeveralParts
from spinode.datasets.readers import all_readers
from spinode.errors import SpinodeError, TraceError, TraceWarning, UnitError

golden = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("golden.py"))))

# --- the files of ../shared -------------------------------------------------------------------------------------------

G = 9.80665  # LabVIEW's g [m/s2]
DRIVER, FIELD, REST = "Oxs_TimeDriver::", "Oxs_UZeeman:hysteresis:", "Oxs_MinDriver::"
#: File, how it is read, rows, and of some channels (the time is "@") the first and last value in SI; the units between.
READ = [
    ("hdf5/qcodes_polarization_line.hdf5", {}, 1000, {"delta": (-100.0, 100.0), "signal": (163.235626, 345.61496)}),
    (
        "hdf5/pycqed_acquisition_delay.hdf5",
        {},
        100,
        {
            "@": (0.0, 9.99999997e-07),
            "|S21|": (2.52738023e-3, 0.675204217e-3),
            "S21 angle": (math.radians(63.2592087), math.radians(50.8257484)),
        },
    ),
    (
        "keithley_csv/smu_script_nbsto_10um_m2v.csv",
        {},
        601,
        {
            "@": (0.0, 50.6617894),
            "Item": (1.0, 601.0),
            "Smu1.V[1][1]": (1.0162139e-06, 1.06348671e-06),
            "Smu1.I[1][1]": (-6.56658727e-10, -3.07696091e-10),
            "Smu1.R[1][1]": (-1547.55257, -3456.2893),
        },
    ),
    ("keysight_b1500_csv/iv_channel_sweep.csv", {}, 201, {"DrainV": (-0.05, 0.05), "DrainI": (-6.73722e-08, 6.44958e-08)}),
    (
        "keysight_b1500_csv/ivt_sampling_bom.csv",
        {},
        401,
        {"@": (1.00041, 5.36039), "Vbg": (0.99764, 0.74108), "Vo": (1.07668, 1.00904), "Idd": (3.5269e-06, 3.8309e-06)},
    ),
    (
        "keysight_csv/infiniivision_memristor_2ch.csv",
        {},
        16000,
        {"@": (-0.05, 0.04999375), "1": (-0.001102387, -0.001303392), "2": (0.011561715, 0.014451162)},
    ),
    (
        "keysight_csv/infiniivision_3ch.csv",
        {},
        1000,
        {"@": (-0.25, 0.2495), "1": (-0.0026, -0.00885), "2": (0.025, 0.0125), "4": (0.05125, 0.06375)},
    ),
    (
        "labview_lvm/short.lvm",
        {},
        10,
        {"@": (0.0, 9 * 3.90625e-05), "Excitation (Trigger)": (0.914018, 0.680572), "Response (Trigger)": (1.204792, 1.212775)},
    ),
    (
        "labview_lvm/multi_time_column.lvm",
        {},
        3,
        {"@": (0.0, 3.90625e-05), "Voltage": (-0.035229, -0.034191), "Acceleration": (0.532608 * G, 0.467541 * G)},
    ),
    (
        "labview_lvm/with_comments.lvm",
        {},
        9,
        {
            "@": (0.0, 9.723275),
            "Pressão ABS.": (1.833787e6, 1.717152e6),
            "Temperatura": (278.629238, 278.557475),
            "Volume": (0.0, 89.8217e-6),
        },
    ),
    (
        "labview_lvm/kreislauf_no_header_decimal_comma.lvm",
        {},
        74,
        {
            "@": (0.0, 2689.998859),
            "column 2": (25.478994, 26.760436),
            "column 3": (27.2823, 16.958123),
            "column 4": (23.281707, 19.629076),
            "column 5": (27.113677, 29.894222),
            "column 6": (-0.629255, -13.632025),
        },
    ),
    ("lecroy_trc/wp254hd.trc", {}, 100002, {"@": (-0.00100006822, 0.0090000319), "C2": (0.329982574, 0.329937234)}),
    (
        "lecroy_trc/wr64xi_a_1361bytes.trc",
        {},
        502,
        {"@": (-1.20745007e-07, 3.80254979e-07), "C2": (-0.0239590406, 0.0720371194)},
    ),
    ("mat_v5/patch_clamp_events_struct.mat", {}, 15, {"N": (12120.0, 11627.0), "N_4SD": (160.0, 216.0)}),
    ("mat_v5/v6_struct.mat", {"part": "s (3 rows)"}, 3, {"c": (1.0, 3.0)}),
    ("mat_v5/v6_struct.mat", {"part": "s (2 rows)"}, 2, {"b": (1.0, 2.0)}),
    ("mat_v73/v73_array.mat", {"part": "/"}, 2, {"a1x2": (1.0, 2.0), "a2x2[0]": (1.0, 4.0)}),
    ("mat_v73/v73_struct.mat", {"part": "s (2 rows)"}, 2, {"b": (1.0, 2.0)}),
    ("mat_v73/v73_struct.mat", {"part": "s (3 rows)"}, 3, {"c": (1.0, 3.0)}),
    (
        "mumax_table/energies_10rows.txt",
        {},
        10,
        {
            "@": (1e-10, 1e-09),
            "mx": (0.98323005, 0.9832302),
            "my": (5.3168537e-06, 1.0490417e-08),
            "mz": (-8.728981e-06, -3.3378602e-09),
            "E_total": (-3.7790484e-17, -3.779048e-17),
        },
    ),
    (
        "mumax_table/relax_mxmymz.txt",
        {},
        500,
        {
            "@": (0.0, 4.99029673e-10),
            "mx": (-5.960465e-11, -0.00042792546),
            "my": (-1.4305115e-09, -0.00048652172),
            "mz": (0.9997274, 0.9997218),
        },
    ),
    (
        "npz/cable_tf_2021.npz",
        {},
        251,
        {"freqArray": (0.0, 1e10), "transfer.re": (0.197705294, -0.483628879), "transfer.im": (0, 0)},
    ),
    (
        "oommf_odt/oxs_rungekutta_2018.odt",
        {},
        25,
        {
            "@": (1e-12, 2.5e-11),
            f"{DRIVER}mx": (-0.0344551582, 0.232281062),
            f"{DRIVER}my": (0.823325926, 0.946158227),
            f"{DRIVER}mz": (0.566522075, -0.225455357),
        },
    ),
    (
        "oommf_odt/oxs_cg_hysteresis_2022.odt",
        {},
        41,
        {
            f"{FIELD}Bx": (0.0, 0.0),
            f"{FIELD}Bz": (-1.0, -1.0),
            f"{REST}mx": (-1.77075862e-18, -2.44598954e-18),
            f"{REST}mz": (-0.99711618, -0.99711618),
        },
    ),
    (
        "oommf_odt/anv_spintevolve_2020.odt",
        {},
        200,
        {
            "@": (1e-12, 2e-10),
            f"{DRIVER}mx": (-0.00435616159, -0.00785405193),
            f"{DRIVER}my": (0.00171108002, -0.00798057901),
            f"{DRIVER}mz": (0.779308532, 0.89959509),
        },
    ),
    ("ovf/mumax_bin4.ovf", {}, 1, {"m_x": (0.995037138,) * 2, "m_y": (0.0995037183,) * 2, "m_z": (0.0, 0.0)}),
    ("ovf/mumax_text.ovf", {}, 1, {"m_full_x": (0.9950372,) * 2, "m_full_y": (0.09950372,) * 2}),
    ("ovf/oommf_ovf1_bin4.omf", {}, 1, {"mx": (-441599.028,) * 2, "my": (-9.08598304e-06,) * 2, "mz": (-4.76841815e-05,) * 2}),
    ("ovf/oommf_ovf2_bin8.omf", {}, 1, {"Magnetization_x": (7954232.13,) * 2, "Magnetization_y": (-0.000525189711,) * 2}),
    ("plain_iv_text/nbsto_iv_sweep.csv", {}, 422, {"V1": (1.0, 1.0), "I1": (0.012734, 0.013202), "absI": (0.012734, 0.013202)}),
    (
        "plain_iv_text/tab_separated_iv.dat",
        {},
        202,
        {"@": (302.479, 365.298), "Voltage": (1.0, 1.0), "Current": (0.009526737, 0.009546169)},
    ),
    (
        "pymeasure_csv/ivg_graphene.csv",
        {},
        601,
        {"Vg": (0.0, 0.0), "I": (7.705339e-05, 7.514876e-05), "Plate T": (math.nan,) * 2},
    ),
    (
        "pymeasure_csv/results_for_testing_parameters.csv",
        {},
        202,
        {"Iteration": (0.0, 100.0), "Random Number": (0.00343665381, 0.702206536)},
    ),
    ("qcodes_dat/coulomb_peak_sd2b.dat", {}, 462, {"SD2b": (-95.0006e-3, -17.1694e-3), "measured": (1143.56, 1879.06)}),
    (
        "qcodes_dat/charge_stability_2d.dat",
        {},
        7140,
        {"stepparam": (-30.0, 29.2941), "sweepparam": (-30.0, 29.2857), "measured": (-4762790.0, 5710830.0)},
    ),
    (
        "rigol_csv/ds1054z_4ch.csv",
        {},
        1200,
        {
            "@": (-3e-07, -3e-07 + 1199 * 5e-10),
            "CH1": (3.28, 4.08),
            "CH2": (0.96, 1.12),
            "CH3": (-0.16, 3.36),
            "CH4": (0.0, -0.2),
        },
    ),
    ("rigol_csv/ds1102d_pc_export.csv", {}, 1024, {"@": (-0.004688, 0.005552), "CH 1": (8.08, 4.88), "CH 2": (8.4, 0.16)}),
    ("rigol_csv/ds1102e_2ch.csv", {}, 600, {"@": (-0.00059999997, 0.00059800001), "CH1": (-1.28, -1.36), "CH2": (5.4, 5.4)}),
    ("rohde_schwarz_csv/rtp_01.Wfm.csv", {}, 4000, {"@": (-0.0025, -0.0025 + 3999 * 1.25e-6), "CH1": (-0.031620555, 1.027668)}),
    (
        "rohde_schwarz_csv/rtp_01_header.bin",
        {},
        4000,
        {"@": (-0.0025, -0.0025 + 3999 * 1.25e-6), "CH1": (-0.031620555, 1.027668)},
    ),
    ("rohde_schwarz_csv/rtp_04.Wfm.csv", {}, 4000, {"@": (-5.24e-08, 4.7575e-08), "CH1": (-0.000286438, -1.47e-05)}),
    ("rohde_schwarz_csv/rtp_04_header.bin", {}, 4000, {"@": (-5.24e-08, 4.7575e-08), "CH1": (-0.000286438, -1.47e-05)}),
    ("siglent_csv/sds00001_exponent.csv", {}, 700, {"@": (-3.5e-07, 3.49e-07), "CH1": (-15.136, 16.192)}),
    ("tdms/digital_input.tdms", {}, 20000, {"@": (0.0, 9.9995), "Dev1_port3_line7 - line 0": (0.0, 1.0)}),
    (
        "tdms/raw1.tdms",
        {},
        2000,
        {"First  Channel": (-0.184026612, 0.000915555284), "Second Chan": (1.03030488, 0.829187902)},
    ),
    (
        "tdms/turbine_daq_1.tdms",
        {},
        18000,
        {
            "@": (0.0, 17999 / 30),
            "TP_ACC_LAT19_315deg_X": (0.00521885278 * G, 0.00143061543 * G),
            "TP_ACC_LAT19_315deg_Y": (0.00489281258 * G, 0.000186095611 * G),
        },
    ),
    ("tektronix_csv/tds1012b_f0000ch1.csv", {}, 2500, {"@": (-2.8e-05, 0.0004718), "CH1": (-9.8, 10.6)}),
    ("tektronix_csv/dpo3014_ch1.csv", {}, 10000, {"@": (-0.0501, 0.04989), "CH1": (0.02, 0.012)}),
    ("tektronix_csv/dmm40xx_imes0001.csv", {}, 9999, {"reading": (0.199088, 0.14173)}),
    ("tektronix_isf/tek0001ch1.isf", {}, 10000, {"@": (-1.996, 2.0036), "Ch1": (0.00018, 0.0001)}),
    ("tektronix_isf/tek0001ch1.csv", {}, 10000, {"@": (-1.996, 2.0036), "column 2": (0.00018, 0.0001)}),
    (
        "touchstone/n5242a_resonator_36mm.s2p",
        {},
        401,
        {
            "frequency": (1e9, 5e9),
            "S11.re": (-0.34273979, -0.88987304),
            "S11.im": (-0.92522918, -0.29286504),
            "S21.re": (6.45089e-05,),
            "S21.im": (-1.4883016e-05,),
        },
    ),
    (
        "touchstone/ring_slot_measured.s1p",
        {},
        101,
        {"frequency": (75e9, 110e9), "S11.re": (-0.067684517, -0.87180603), "S11.im": (0.65920864, 0.17739331)},
    ),
]
#: Files that hold no recording, or one that has to be chosen, and what is said.
REFUSED = [
    ("hdf5/discretisedfield_field.hdf5", r"'field/array', has shape \(10, 5, 5, 3\).*pass part='field/mesh'"),
    ("keysight_csv/infiniivision_3ch_setup.txt", "no rows of numbers|line 2 has"),
    ("npz/neurram_weight_mapping_0.npz", "'rows' is a pickled object array, which could run code"),
    ("mat_v5/v6_struct.mat", r"3 recordings: 's \(2 rows\)' .*Say which with part="),
    ("mat_v73/v73_array.mat", r"'a2x2x2', has shape \(2, 2, 2\).*part='/'"),
    ("mat_v73/v73_struct.mat", r"3 recordings: .*Say which with part="),
]


@pytest.mark.parametrize(("file", "options", "rows", "expected"), READ, ids=[f"{case[0]} {case[1] or ''}" for case in READ])
@pytest.mark.filterwarnings("ignore::spinode.errors.TraceWarning")
def test_real_files_have_their_check_values(shared, file, options, rows, expected):
    trace = read_trace(shared / "data" / "formats" / file, **options)
    assert len(trace) == rows
    values = {"@": trace.time, **trace.channels}
    if "@" not in expected:
        assert trace.provenance["time"] is None or rows == 1 or "tdms" in file
        assert ("sampled_by" in trace.provenance) == (trace.provenance["time"] is None)
    for name, ends in expected.items():
        assert [values[name][0], values[name][-1]][: len(ends)] == pytest.approx(list(ends), rel=3e-8, abs=1e-16, nan_ok=True)


@pytest.mark.parametrize(("file", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_real_files_without_one_recording_are_refused(shared, file, message):
    with pytest.raises(TraceError, match=message):
        read_trace(shared / "data" / "formats" / file)


def test_every_real_file_is_tried(shared):
    folder = shared / "data" / "formats"
    files = {f"{path.parent.name}/{path.name}" for path in folder.glob("*/*") if path.name != "README.md"}
    assert files == {case[0] for case in READ} | {case[0] for case in REFUSED}


@pytest.mark.filterwarnings("ignore::spinode.errors.TraceWarning")
def test_inspect_of_every_real_file(shared, capsys):
    from spinode.cli import main

    for path in sorted((shared / "data" / "formats").glob("*/*")):
        if path.name == "README.md":
            continue
        code = main(["inspect", str(path)])
        out, err = capsys.readouterr()
        assert (code, "spinode fit" in out or "Mend the errors" in out) in ((0, True), (2, False)), path
        assert "Traceback" not in err


# --- samples of our own -----------------------------------------------------------------------------------------------

SAMPLES = {**golden.text_samples(), **golden.binary_samples()}
T, A, B = golden.TIME, golden.A, golden.B
SLOW = 0.1 * np.arange(golden.N)


def coarse(values):
    return np.array([float(f"{value:.2e}") for value in values])


#: Reader, times (None: over the samples), channels in SI with their units.
EXPECTED = {
    "tek_mso.csv": ("delimited", T, {"CH1": (A, "V"), "CH3": (B, "V")}),
    "tek_tds2000.csv": ("tektronix", T, {"CH2": (A, "V")}),
    "keysight_1ch.csv": ("delimited", T, {"1": (A, "V")}),
    "keysight_infiniium.csv": ("delimited", T, {"Data": (A, "V")}),
    "rigol_ds1000z.csv": ("rigol", T, {"CH1": (coarse(A), "V"), "CH2": (coarse(B), "V")}),
    "rigol_mso5000.csv": ("rigol", T, {"CH1": (A, "V"), "CH2": (B, "V")}),
    "siglent_sds1104xe.csv": ("delimited", T, {"CH1": (A, "V"), "CH2": (B, "V")}),
    "lecroy_ascii.csv": ("delimited", T, {"Ampl": (A, "")}),
    "rs_rtb2000.csv": ("delimited", T, {"C1": (A, "V"), "C2": (B, "V")}),
    "gwinstek.csv": ("delimited", T - T[0], {"Waveform Data": (A, "V")}),
    "picoscope.csv": ("delimited", T, {"Channel A": (A, "V"), "Channel B": (B, "V")}),
    "waveforms_ad2.csv": ("delimited", T, {"Channel 1": (A, "V"), "Channel 2": (B, "V")}),
    "yokogawa.csv": ("delimited", T, {"column 1": (A, "V")}),
    "german_comma.csv": ("delimited", T, {"Spannung": (A, "V")}),
    "keithley_dmm6500.csv": ("delimited", SLOW, {"Reading": (A, "V")}),
    "kickstart.csv": ("delimited", SLOW, {"Voltage": (A, "V"), "Current": (B * 1e-6, "A")}),
    "clarius_4200.csv": ("delimited", 1 + SLOW, {"AnodeI": (A * 1e-6, ""), "AnodeV": (B, "")}),
    "pymeasure.csv": ("delimited", SLOW, {"Voltage": (A, "V"), "Current": (B, "A")}),
    "qcodes.dat": ("delimited", None, {"gate": (A * 1e-3, "V"), "current": (B * 1e-9, "A")}),
    "iso_times.csv": ("delimited", 5 * SLOW, {"Temperature": (293.15 + A, "K")}),
    "mumax_table.txt": ("mumax", T - T[0], {"mx": (A, ""), "mz": (B, "")}),
    "oommf.odt": ("odt", T - T[0], {"Oxs_EulerEvolve::Total energy": (A, "J"), "Oxs_TimeDriver::mx": (B, "")}),
    "labview.lvm": ("lvm", T, {"Voltage": (A, "V"), "Acceleration": (B * G, "m/s2")}),
    "b1500.csv": ("easyexpert", SLOW, {"V1": (A, "V"), "I1": (B, "A")}),
    "field.s1p": ("touchstone", None, {"frequency": (1e9 * (1 + np.arange(12)), "Hz"), "S11.re": (A, ""), "S11.im": (B, "")}),
    "wave.isf": ("isf", T, {"Ch1": (np.round(A * 1000) / 1000, "V")}),
    "wave_text.isf": ("isf", T, {"Ch1": (np.round(A * 1000) / 1000, "V")}),
    "wave.trc": ("trc", T, {"C1": (np.round(A * 1000) / 1000, "V")}),
    "wave_big.trc": ("trc", T, {"C1": (np.round(A * 1000) / 1000, "V")}),
    "wave.tdms": ("tdms", T, {"A": (A, "V"), "B": (B, "V")}),
    "wave.h5": ("hdf5", T, {"A": (A, "V"), "B": (B * 1e-3, "V")}),
    "wave.mat": ("mat", T, {"A": (A, ""), "B": (B, "")}),
    "wave.nc": ("netcdf", T, {"A": (A, "V"), "B": (B * 1e-3, "V")}),
    "wave.xlsx": ("excel", T, {"A": (A, "V"), "B": (B, "V")}),
    "wave.npz": ("npz", T, {"A": (A, ""), "B": (B, "")}),
    **dict.fromkeys(
        ("field2_text.ovf", "field2_bin4.ovf", "field2_bin8.ovf"),
        ("ovf", np.array([1e-9]), {"m_x": (np.array([0.2]), ""), "m_y": (np.array([0.32]), ""), "m_z": (np.array([0.16]), "")}),
    ),
    "field1_bin4.omf": (
        "ovf",
        np.array([1e-9]),
        {"mx": (np.array([0.4]), "A/m"), "my": (np.array([0.64]), "A/m"), "mz": (np.array([0.32]), "A/m")},
    ),
}


@pytest.fixture
def sample(tmp_path):
    """Write a sample, changed or not, and give its path."""

    def make(name, data=None):
        path = tmp_path / name
        path.write_bytes(SAMPLES[name] if data is None else data)
        return path

    return make


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.filterwarnings("ignore:.*no time column")
def test_samples_of_each_format(sample, name):
    reader, times, channels = EXPECTED[name]
    trace = read_trace(sample(name))
    assert trace.provenance["reader"] == reader
    if times is None:
        assert (trace.unit("time"), trace.provenance["sampled_by"]) == ("", "sample number")
    else:
        np.testing.assert_allclose(trace.time, times, rtol=1e-6, atol=1e-15)
        assert trace.unit("time") == "s"
    for channel, (values, unit) in channels.items():
        np.testing.assert_allclose(trace.channels[channel], values, rtol=1e-6, atol=1e-12)
        assert trace.unit(channel) == unit


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", golden.text_samples())
@pytest.mark.filterwarnings("ignore:.*no time column")
def test_line_ends_and_byte_order_marks_change_nothing(sample, tmp_path, name, end):
    plain = read_trace(sample(name))
    text = SAMPLES[name].replace(b"\r\n", b"\n").decode("latin-1")
    path = tmp_path / f"other_{name}"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", end).encode())
    again = read_trace(path)
    assert again.time.tobytes() == plain.time.tobytes()
    assert {k: v.tolist() for k, v in again.channels.items()} == {k: v.tolist() for k, v in plain.channels.items()}


def test_what_the_instrument_wrote_is_kept(sample):
    head = read_trace(sample("siglent_sds1104xe.csv")).provenance["metadata"]["header"]
    assert (head["Model Number"], head["Serial Number"]) == ("SDS1104X-E", "SDSMMEBC1R0000")
    head = read_trace(sample("wave.trc")).provenance["metadata"]["header"]
    assert (head["instrument"], head["trigger_time"], head["probe_attenuation"]) == (
        "LECROYMADE",
        "2026-01-02 03:04:05.500000",
        10,
    )
    assert read_trace(sample("labview.lvm")).provenance["metadata"]["header"]["Operator"] == "me"
    assert read_trace(sample("wave.tdms")).provenance["metadata"]["header"] == {"operator": "me"}
    assert read_trace(sample("wave.h5")).parameters == {"temperature": 300.0}


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ('"Record Length",2,"Points",0.0,0.5\n"Sample Interval",1,s,1.0,0.25\n', {"CH1": [0.5, 0.25]}),  # Tektronix TDS3000
        ("XInc:\t1.0\nXOrg:\t0\nYUnits:\tVolt\nDate:\t1 JAN 2020\nData:\n0.5\n0.25\n", {"Data": [0.5, 0.25]}),  # Infiniium
        (",t,V\n0,0.0,0.5\n1,1.0,0.25\n", {"column 1": [0, 1], "V": [0.5, 0.25]}),  # pandas
        ("Time (s),V (V),Time (s),I (A)\n0,0.5,0,2\n1,0.25,1,3\n", {"V": [0.5, 0.25], "I": [2, 3]}),
        ("time\tV(out)\tI(R1)\n0\t0.5\t2\n1\t0.25\t3\n", {"V(out)": [0.5, 0.25], "I(R1)": [2, 3]}),  # SPICE
        ("sep=;\nt (s);U (V)\n0,0;0,5\n1,0;0,25\n2,0;0,5\n", {"U": [0.5, 0.25, 0.5]}),  # Excel in German
        ('"Time","Value"\n"0.0","0.5"\n"1.0","0.25"\n', {"Value": [0.5, 0.25]}),
        ("Title\nsample 12\n\nTime/s   Voltage/V\n0.0  0.5\n1.0  0.25\n2.0  0.5\n", {"Voltage": [0.5, 0.25, 0.5]}),
    ],
)
def test_other_hands(tmp_path, text, channels):
    (tmp_path / "a.csv").write_text(text)
    trace = read_trace(tmp_path / "a.csv")
    assert trace.time.tolist() == [0, 1, 2][: len(trace)]
    assert {name: values.tolist() for name, values in trace.output.items()} == channels


@pytest.mark.parametrize("name", ["par1", "PAR1", "AG10", "ag01 (V)", "fea1", "arrow1", "SQLite format 3"])
def test_words_that_begin_like_other_formats_are_names(tmp_path, name):
    (tmp_path / "a.csv").write_text(f"{name},t\n0.5,0\n0.25,1\n")
    assert read_trace(tmp_path / "a.csv").time.tolist() == [0, 1]
    (tmp_path / "b.csv").write_text("Resolution;1e-9\nRecordLength;2\nModel;X1\nt (s);V (V)\n0;1\n1;2\n")
    assert read_trace(tmp_path / "b.csv").output["V"].tolist() == [1, 2]


def test_settings_of_rohde_schwarz_in_lines(tmp_path):
    (tmp_path / "run.Wfm.csv").write_text("0.5\n0.25\n")
    (tmp_path / "run.csv").write_text("Type:RefCurve:\nResolution:1e-09:\nRecordLength:2:\nXStart:-1e-09:\nBaseUnit:V:\n")
    for name in ("run.Wfm.csv", "run.csv"):
        trace = read_trace(tmp_path / name)
        assert trace.time == pytest.approx([-1e-9, 0], abs=1e-18)
        assert trace.output["CH1"].tolist() == [0.5, 0.25]
    (tmp_path / "run.csv").write_text("Resolution:1e-09:\nRecordLength:2:\nXStart:5:\n")
    assert read_trace(tmp_path / "run.csv").time[0] == 5
    (tmp_path / "run.Wfm.csv").unlink()
    with pytest.raises(TraceError, match=r"the file of values \(name\.Wfm\.csv\) is not beside them"):
        read_trace(tmp_path / "run.csv")


def test_channels_of_a_group_by_length_and_matrices_of_version_4(tmp_path):
    nptdms, scipy = pytest.importorskip("nptdms"), pytest.importorskip("scipy.io")
    path = tmp_path / "two.tdms"
    with nptdms.TdmsWriter(str(path)) as writer:
        for name, rows in (("A", 4), ("B", 6)):
            writer.write_segment([nptdms.ChannelObject("g", name, np.arange(float(rows)), properties={"wf_increment": 0.5})])
    with pytest.raises(SeveralParts, match=r"'g \(4 rows, every 0\.5 s\)'"):
        read_trace(path)
    assert read_trace(path, part=1).time.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    path = tmp_path / "old.mat"
    scipy.savemat(path, {"t": np.arange(4.0)[:, None], "V": np.arange(4.0)[:, None]}, format="4")
    assert read_trace(path).output["V"].tolist() == [0, 1, 2, 3]


# --- several recordings in a file --------------------------------------------------------------------------------------


def test_the_segments_of_a_sequence(sample):
    path = sample("wave.trc", golden.trc(segments=3))
    with pytest.raises(SeveralParts, match=r"3 recordings: 'segment 1' \(12 samples, .*part='segment 1', or by number"):
        read_trace(path)
    second = read_trace(path, part="segment 2")
    assert read_trace(path, part=1).fingerprint() == second.fingerprint()
    assert second.time[0] == pytest.approx(golden.START + 1e-10)
    assert second.output["C1"] == pytest.approx(np.round(A * 1000) / 1000 + 0.01)
    with pytest.raises(TraceError, match="no part 'segment 9'"):
        read_trace(path, part="segment 9")
    every = read_traces(path)
    assert [trace.provenance["part"] for trace in every] == ["segment 1", "segment 2", "segment 3"]


def test_measurements_tables_sheets_and_runs(sample):
    twice = SAMPLES["b1500.csv"] + SAMPLES["b1500.csv"].replace(b"Pulse", b"Again")
    with pytest.raises(SeveralParts, match=r"'Pulse #1'.*'Again #2'"):
        read_trace(sample("b1500.csv", twice))
    assert len(read_traces(sample("b1500.csv", twice))) == 2
    twice = SAMPLES["oommf.odt"] + SAMPLES["oommf.odt"].split(b"\n", 1)[1]
    assert len(read_traces(sample("oommf.odt", twice))) == 2
    openpyxl = pytest.importorskip("openpyxl")
    path = sample("wave.xlsx")
    book = openpyxl.load_workbook(path)
    book.copy_worksheet(book["run 1"]).title = "run 2"
    book.save(path)
    with pytest.raises(SeveralParts, match=r"'run 1' .*'run 2'"):
        read_trace(path)
    assert read_trace(path, part="run 2").output["A"] == pytest.approx(A)


def test_pulses_in_a_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["direction", "G (uS)"])
    for count in range(20):
        book.active.append(["SET" if count < 10 else "RESET", 5 + count])
    book.save(tmp_path / "pulses.xlsx")
    traces = read_trace(tmp_path / "pulses.xlsx", pulses="long")
    assert traces[0].output["conductance"][0] == pytest.approx(5e-6)
    assert traces[0].drive["SET"].sum() + traces[0].drive["RESET"].sum() == 19


# --- what is not clear is said -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("t,time,V\n0,1,2\n1,2,3\n", {}, TraceError, "'t' and 'time' can each be the time; say which"),
        ("t,V (furlong)\n0,1\n1,2\n", {}, UnitError, r"'furlong' is no unit .*units=\{'V': ''\}"),
        ("t,V\n0,1 mV\n1,2 V\n2,3 V\n", {}, TraceError, "column 'V' mixes the units mV, V; write all its cells in one"),
        ("t,V,Unit\n0,1,mV\n1,2,V\n", {}, TraceError, "column 'V' mixes the units mV, V; cut the file"),
        ("t;V\n0;1,234\n1;2,345\n", {}, TraceError, "can be decimal marks or thousands separators"),
        ("date,V\n01/02/2026 03:04:05,1\n03/02/2026 03:04:05,2\n", {}, TraceError, "can have the day or the month first"),
        ("t,V\n0,1\n1,x\n2,3\n", {}, TraceError, r"line 3, column 2 \('V'\): 'x' is not a number"),
        ("Model,X1\nDate,today\nFirmware,2\nt,V\n0,1\n1,2\n2\n", {}, TraceError, "line 7 has 1 cells, expected 2"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path, text, options, error, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(error, match=message):
        read_trace(tmp_path / "a.csv", **options)


def test_units_in_cells_days_and_words(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,V,note\n0,1 mV,good\n1,2 mV,bad\n")
    trace = read_trace(path)
    assert (trace.output["V"].tolist(), trace.unit("V")) == ([1e-3, 2e-3], "V")
    assert trace.provenance["metadata"]["text"] == {"note": ["good", "bad"]}
    path.write_text("clock,V\n23:59:59.5,1\n00:00:00.5,2\n")
    assert read_trace(path, time="clock").time.tolist() == [0, 1]
    path.write_text("when,V\n13/02/2026 00:00:00,1\n14/02/2026 00:00:00,2\n")
    assert read_trace(path, time="when").time.tolist() == [0, 86400]


def test_a_file_without_header_says_what_it_takes_for_the_time(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("0,5\n1,4\n2,6\n")
    with pytest.warns(TraceWarning, match=r"'column 1', which grows from row to row.*time='sample'"):
        assert read_trace(path).time.tolist() == [0, 1, 2]
    assert list(read_trace(path, time="sample").output) == ["column 1", "column 2"]
    path.write_text("0,5\n1,6\n2,7\n")  # either may be the time
    with pytest.warns(TraceWarning, match="no time column"):
        assert list(read_trace(path).output) == ["column 1", "column 2"]


def test_a_missing_library_names_its_command(sample, monkeypatch):
    real = importlib.import_module
    wanted = {"wave.h5": ("h5py", "hdf5"), "wave.tdms": ("nptdms", "tdms"), "wave.xlsx": ("openpyxl", "excel")}
    wanted |= {"wave.nc": ("xarray", "xarray"), "field.s1p": ("skrf", "touchstone")}

    def absent(name, *rest):
        if name in {library for library, _ in wanted.values()}:
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    for name, (library, extra) in wanted.items():
        with pytest.raises(TraceError, match=rf"which {library} reads.*pip install 'spinode\[{extra}\]'"):
            read_trace(sample(name))


def test_counts_that_do_not_fit_are_told(sample):
    short = SAMPLES["tek_tds2000.csv"].rsplit(b"\r\n", 3)[0] + b"\r\n"
    with pytest.warns(TraceWarning, match="says 12 samples, and it has 10"):
        read_trace(sample("tek_tds2000.csv", short))
    short = SAMPLES["siglent_sds1104xe.csv"].rsplit(b"\n", 4)[0] + b"\n"
    with pytest.warns(TraceWarning, match="says 12 samples, and it has 9"):
        read_trace(sample("siglent_sds1104xe.csv", short))
    for name in ("wave.isf", "wave.trc", "field2_bin8.ovf"):
        with pytest.raises(TraceError, match=r"cut off|was the file cut off|no :CURVE|do not end|do not fit"):
            read_trace(sample(name, SAMPLES[name][:-60]))
    with pytest.warns(TraceWarning, match=r"may be cut off or damaged: .*less data than expected"):
        read_trace(sample("wave.tdms", SAMPLES["wave.tdms"][:-8]), part=0)
    wrong = bytearray(SAMPLES["field2_bin4.ovf"])
    wrong[wrong.index(b"Begin: Data Binary 4\n") + 22] ^= 1
    with pytest.raises(TraceError, match="check value of the binary data is"):
        read_trace(sample("field2_bin4.ovf", bytes(wrong)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t (s),I (A),V (V)\n0,1.5u,1\n1,2.5u,2\n", r"the column 'I' holds '1\.5u', which is no number"),
        ("t,R,V\n0,1.5u,1\n1,2.5u,2\n", r"the column 'R' holds '1\.5u', which is no number"),
        ("t1 (s),V1 (V),t2 (s),V2 (V)\n0,1,0,5\n1,2,1.5,6\n", "'t1' and 't2' can each be the time, and they differ"),
    ],
)
def test_channels_are_not_lost_and_clocks_not_mixed(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(TraceError, match=message):
        read_trace(tmp_path / "a.csv")


def test_marks_of_instruments_are_no_values(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t (s),I (A)\n0,1e-6\n1,9.91e37\n2,2e-6\n")
    with pytest.warns(TraceWarning, match=r"1 samples of 'I' are 9\.91e\+37, by which instruments mark an overrange"):
        assert np.isnan(read_trace(path).output["I"]).tolist() == [False, True, False]
    path.write_text("t (s),I (A)\n0,1e-6\n1,OVLD\n2,-\u221e\n,\n", encoding="utf-8")
    assert read_trace(path).output["I"].tolist() == pytest.approx([1e-6, math.nan, -math.inf], nan_ok=True)


def test_units_that_the_name_of_a_time_or_a_temperature_holds(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time_us,v_mV,Temp (C)\n0,1,25\n1,2,26\n")
    trace = read_trace(path)
    assert trace.time.tolist() == [0, 1e-6]
    assert (trace.unit("v_mV"), trace.unit("Temp"), trace.output["Temp"][0]) == ("", "K", 298.15)
    path.write_text("timestamp,V\n1577959200000,1\n1577959200500,2\n")
    with pytest.warns(TraceWarning, match=r"taken as seconds that is a date.*units=\{'time': 'ms'\}"):
        read_trace(path)
    path.write_text("t,V\n0,1\n1,2\n0,1\n1,2\n")
    with pytest.warns(TraceWarning, match="the times run back 1 times, first behind row 2; if it holds several recordings"):
        read_trace(path)
    path.write_text("time (V),V (s)\n0,1\n1,2\n")
    with pytest.warns(TraceWarning, match="'time' is in 'V', which is no unit of time"):
        assert read_trace(path).unit("time") == ""


# --- in memory ---------------------------------------------------------------------------------------------------------


def test_frames_datasets_and_dictionaries():
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    expected = {"V": [1e-3, 2e-3, 3e-3]}
    frame = pandas.DataFrame({"t (us)": [0, 1, 2], "V (mV)": [1, 2, 3], "note": ["a", "b", "c"]})
    dated = pandas.DataFrame({"V (mV)": [1, 2, 3]}, index=pandas.date_range("2026-01-01", periods=3, freq="us", name="when"))
    dataset = xarray.Dataset({"V": ("time", [1, 2, 3], {"units": "mV"})}, {"time": ("time", [0, 1, 2], {"units": "us"})})
    for source in (frame, dated, dataset, dataset["V"], {"t (us)": [0, 1, 2], "V (mV)": [1, 2, 3]}):
        trace = read_trace(source)
        assert trace.time.tolist() == [0, 1e-6, 2e-6]
        assert {name: values.tolist() for name, values in trace.output.items()} == expected
    with pytest.raises(TraceError, match="path is a int; expected the name of a file, a frame"):
        read_trace(3)
    with pytest.raises(TraceError, match="no column of numbers"):
        read_trace(pandas.DataFrame({"note": ["a"]}))


# --- folders -----------------------------------------------------------------------------------------------------------


def test_folders_and_patterns(tmp_path):
    for device in (2, 10, 1):
        (tmp_path / f"dev{device}_{device}p5mV.csv").write_text(f"t,V\n0,{device}\n1,2\n")
    (tmp_path / ".hidden").write_text("")
    traces = read_traces(tmp_path, pattern="dev{device}_{amplitude:mV}.csv", parameters={"T": 300.0}, drive="V")
    assert [trace.parameters["device"] for trace in traces] == [1, 2, 10]
    assert traces[2].parameters == {"amplitude": 10.5e-3, "device": 10.0, "T": 300.0}
    assert [list(trace.drive) for trace in traces] == [["V"]] * 3
    assert len(read_traces(str(tmp_path / "dev1*.csv"))) == 2
    assert len(read_traces([tmp_path / "dev1_1p5mV.csv", tmp_path / "dev2_2p5mV.csv"])) == 2
    assert [trace.fingerprint() for trace in read_trace(tmp_path)] == [trace.fingerprint() for trace in read_traces(tmp_path)]
    one = read_trace(tmp_path / "dev2_2p5mV.csv", pattern="dev{device}_{amplitude:mV}.csv")
    assert one.parameters == {"device": 2.0, "amplitude": 2.5e-3}
    with pytest.raises(TraceError, match=r"pattern .*none\*\.csv holds no file"):
        read_traces(str(tmp_path / "none*.csv"))
    with pytest.raises(TraceError, match=r"dev1_1p5mV\.csv does not fit the pattern 'run\{n\}\.csv'"):
        read_traces(tmp_path, pattern="run{n}.csv")
    with pytest.raises(TraceError, match="pattern is a int; expected text"):
        read_traces(tmp_path, pattern=3)
    with pytest.raises(TraceError, match="names no parameter"):
        read_traces(tmp_path, pattern="*.csv")
    with pytest.raises(UnitError, match="'furlong' is no unit"):
        read_traces(tmp_path, pattern="dev{device}_{x:furlong}*.csv")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(TraceError, match=r"notes\.txt: .* does not belong to the set, name the others: '.*/\*\.csv'"):
        read_traces(tmp_path)


def test_a_series_of_fields_is_one_recording(tmp_path):
    for place, name in ((2, "m000002"), (0, "m000000"), (1, "m000001")):
        (tmp_path / f"{name}.ovf").write_bytes(golden.ovf(2, "Binary 4", golden.FIELD * [1, 1, place], f"{place}e-12"))
    trace = read_trace(tmp_path)
    assert trace.time.tolist() == [0, 1e-12, 2e-12]
    assert trace.output["m_z"] == pytest.approx([0, 0.16, 0.32])
    assert len(read_traces(str(tmp_path / "m*.ovf"))) == 1
    (tmp_path / "m000003.ovf").write_bytes(golden.ovf(1, "Binary 4", golden.FIELD))
    with pytest.raises(TraceError, match=r"m000003\.ovf has components"):
        read_trace(tmp_path)


# --- writing -----------------------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, width=64)


@pytest.mark.parametrize("ending", [".csv", ".npz", ".h5", ".nc"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    values=st.lists(st.tuples(numbers, numbers, numbers), min_size=2, max_size=6),
    units=st.sampled_from(["V", "J/m3", "", "A/m"]),
    constant=numbers,
    names=st.lists(
        st.text("abVI_ (/[", min_size=1, max_size=6).map(lambda name: " ".join(name.split())).filter(bool),
        min_size=2,
        max_size=2,
        unique=True,
    ),
)
def test_a_written_trace_is_read_back_exactly(tmp_path, ending, values, units, constant, names):
    drive, output = names
    t, u, y = (np.array(column) for column in zip(*values, strict=True))
    if {"time", "temperature"} & set(names):
        return
    trace = Trace(
        t, {drive: u}, {output: y}, {"temperature": constant}, {drive: units, output: "V", "temperature": "K", "time": "s"},
        {drive: "held"}, {"instrument": {"model": "X1"}},
    )  # fmt: skip
    path = tmp_path / f"trace{ending}"
    write_trace(path, trace)
    again = read_trace(path)
    assert again.fingerprint() == trace.fingerprint()
    assert dict(again.interpolation) == {drive: "held"}
    assert again.time.tobytes() == t.tobytes()
    if ending != ".csv":
        assert again.provenance["instrument"] == {"model": "X1"}


def test_writing_where_it_cannot_be(tmp_path):
    trace = Trace([0.0, 1.0], output={"V": [1.0, 2.0]})
    with pytest.raises(TraceError, match=r"ends in '\.txt'; expected one of \.csv, \.npz"):
        write_trace(tmp_path / "a.txt", trace)
    with pytest.raises(TraceError, match="'time', like the column of the instants"):
        write_trace(tmp_path / "a.npz", Trace([0.0, 1.0], output={"time": [1.0, 2.0]}))
    with pytest.raises(TraceError, match="No such file or directory"):
        write_trace(tmp_path / "nowhere" / "a.npz", trace)


# --- size --------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*the times run back")
@pytest.mark.parametrize("polars", [True, False])
@pytest.mark.parametrize("mark", [",", "\t", ";", " "])
def test_reading_in_blocks_gives_the_same(tmp_path, monkeypatch, polars, mark):
    from spinode.datasets.parsing import blocks
    from spinode.datasets.readers import delimited

    comma = mark == ";"
    rng = np.random.default_rng(0)
    values = rng.standard_normal((300, 3)) * 10.0 ** rng.integers(-12, 12, (300, 3))
    body = "".join(mark.join(f"{x:.17g}" for x in row) + "\n" for row in values.tolist())
    text = mark.join(["t", "V", "I"]) + "\n" + (body.replace(".", ",") if comma else body)
    path = tmp_path / "a.txt"
    path.write_text(text)
    whole = read_trace(path)
    monkeypatch.setattr(delimited, "LARGE", 0)
    monkeypatch.setattr(blocks, "_BLOCK", 1000)
    monkeypatch.setattr(blocks, "_HEAD", 2000)
    if not polars:
        monkeypatch.setattr(blocks, "_polars", lambda: None)
    said: list[str] = []
    blocks = read_trace(path, progress=said.append)
    assert blocks.fingerprint() == whole.fingerprint()
    assert said[-1] == "reading a.txt: 100 %"
    lines = text.splitlines()
    lines[200] = lines[200].replace(lines[200].split(mark)[1], "oops")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TraceError, match=r"line 201, column 2 \('V'\): 'oops' is not a number"):
        read_trace(path)


@pytest.mark.parametrize("cell", ["1 2", "1+2", "1 .5", "OVLD2"])
def test_in_blocks_two_numbers_in_a_cell_are_not_joined(tmp_path, monkeypatch, cell):
    from spinode.datasets.readers import delimited

    monkeypatch.setattr(delimited, "LARGE", 0)
    path = tmp_path / "a.csv"
    path.write_text("t,V\n" + "".join(f"{k}, +{k}.5e+0\n" for k in range(300)))
    assert read_trace(path).output["V"].tolist() == [k + 0.5 for k in range(300)]
    path.write_text("t,V\n0,1\n" + f"1,{cell}\n" + "2,3\n" * 3)
    with pytest.raises(TraceError, match=r"line 3, column 2 .* is not a number"):
        read_trace(path)


# --- damage ------------------------------------------------------------------------------------------------------------

#: Mutations for each reader, dealt among its samples.
MANY = int(os.environ.get("SPINODE_MUTATIONS", 10_000))


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, cut out, doubled or moved; or the file cut off."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        kind, place = rng.integers(6), int(rng.integers(len(changed)))
        length = int(rng.integers(1, 40))
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[place] = int(rng.choice(np.frombuffer(b"0123456789-+.,;eE \t\n\r#\"'\x00\xff", np.uint8)))
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = changed[place : place + length]
        elif kind == 4:
            del changed[place:]
        else:
            changed[place : place + 4] = rng.integers(0, 256, 4, dtype=np.uint8).tobytes()
        if not changed:
            return b"0"
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files_are_read_or_refused(tmp_path, name):
    """Nothing but the package's own errors, of 10^4 mutations for each reader; seeds by name."""
    samples = sum(each[0] == EXPECTED[name][0] for each in EXPECTED.values())
    damage(tmp_path, name, -(-MANY // samples))


@pytest.mark.parametrize("name", SAMPLES)
def test_some_damaged_files_are_read_or_refused(tmp_path, name):
    damage(tmp_path, name, 40)


def damage(tmp_path, name, count):
    rng = np.random.default_rng(sum(name.encode()))
    path = tmp_path / name
    for trial in range(count):
        data = mutated(SAMPLES[name], rng)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                trace = read_trace(path)
            except SpinodeError:
                continue
            except Exception as error:
                raise AssertionError(f"{name}, mutation {trial}: {data!r}") from error
        assert all(len(values) == len(trace) > 0 for values in trace.channels.values())


def test_readers_are_asked_in_order_and_text_last():
    names = [reader.name for reader in all_readers()]
    assert names[-1] == "delimited"
    assert len(names) == len(set(names)) == 18
