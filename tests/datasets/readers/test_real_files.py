"""Files of laboratories and simulators: first and last values of each are known."""

from __future__ import annotations

import math

import pytest

from spinode.datasets import read_trace
from spinode.errors import TraceError

G = 9.80665  # LabVIEW's g [m/s2]


DRIVER, FIELD, REST = "Oxs_TimeDriver::", "Oxs_UZeeman:hysteresis:", "Oxs_MinDriver::"


#: File, options of `read_trace`, rows, and first and last value in SI of some channels (the time is "@").
READABLE = [
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


#: Files that contain no recording, or several of which one must be chosen, and the message.
REFUSED = [
    ("hdf5/discretisedfield_field.hdf5", r"'field/array', has shape \(10, 5, 5, 3\).*pass part='field/mesh'"),
    ("keysight_csv/infiniivision_3ch_setup.txt", "no rows of numbers|line 2 has"),
    ("npz/neurram_weight_mapping_0.npz", "'rows' is a pickled object array, which could run code"),
    ("mat_v5/v6_struct.mat", r"3 recordings: 's \(2 rows\)' .*Choose one with part="),
    ("mat_v73/v73_array.mat", r"'a2x2x2', has shape \(2, 2, 2\).*part='/'"),
    ("mat_v73/v73_struct.mat", r"3 recordings: .*Choose one with part="),
]


@pytest.mark.parametrize(
    ("file", "options", "rows", "expected"), READABLE, ids=[f"{case[0]} {case[1] or ''}" for case in READABLE]
)
@pytest.mark.filterwarnings("ignore::spinode.errors.TraceWarning")
def test_real_files_are_read_with_their_known_values(shared, file, options, rows, expected):
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


def test_every_real_file_has_a_case(shared):
    folder = shared / "data" / "formats"
    files = {f"{path.parent.name}/{path.name}" for path in folder.glob("*/*") if path.name != "README.md"}
    assert files == {case[0] for case in READABLE} | {case[0] for case in REFUSED}


@pytest.mark.filterwarnings("ignore::spinode.errors.TraceWarning")
def test_every_real_file_can_be_inspected(shared, capsys):
    from spinode.cli import main

    for path in sorted((shared / "data" / "formats").glob("*/*")):
        if path.name == "README.md":
            continue
        code = main(["inspect", str(path)])
        out, err = capsys.readouterr()
        assert (code, "spinode fit" in out or "Fix the errors" in out) in ((0, True), (2, False)), path
        assert "Traceback" not in err


def test_mumax_table_of_the_skyrmion_device(shared):
    trace = read_trace(
        shared / "data" / "spin_neural_ode" / "1skyrmion_voltage_table.txt",
        drive="Ku1.region100",
        output="mz",
        start=8.5e-9,
    )
    assert trace.units["Ku1.region100"] == "J/m3"
    assert trace.time[0] == pytest.approx(8.5e-9, abs=2.5e-12)
    assert 0.3 < trace.output["mz"].min() < trace.output["mz"].max() < 1.0
