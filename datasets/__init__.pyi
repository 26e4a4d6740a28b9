"""Sources of traces and tasks: measurement files, physical device models, shipped samples; images and task streams."""

from .design_drive import modulated_sine as modulated_sine, ramped_steps as ramped_steps, random_steps as random_steps
from .devices.domain_wall import DomainWall as DomainWall
from .devices.lookup import LookUpTable as LookUpTable
from .devices.lookup_file import read_lookup_tables as read_lookup_tables
from .devices.mram import STTMRAM as STTMRAM
from .devices.stanford_pku import StanfordPKU as StanfordPKU
from .devices.steps import (
    STEP_PRESETS as STEP_PRESETS,
    ExponentialStep as ExponentialStep,
    LinearStep as LinearStep,
    SoftBounds as SoftBounds,
)
from .devices.tio2 import TiO2 as TiO2
from .devices.vteam import VTEAM as VTEAM
from .devices.weak_reset import WeakReset as WeakReset
from .devices.write_errors import (
    flip_bits as flip_bits,
    overdrive_for as overdrive_for,
    write_energy as write_energy,
    write_error_rate as write_error_rate,
)
from .film import (
    Film as Film,
    FilmRun as FilmRun,
    disc as disc,
    grained as grained,
    rectangle as rectangle,
    simulate_with_magnum as simulate_with_magnum,
    skyrmion_device as skyrmion_device,
    skyrmions as skyrmions,
)
from .images import (
    Images as Images,
    cifar10 as cifar10,
    fashion_mnist as fashion_mnist,
    images_from_arrays as images_from_arrays,
    made_digits as made_digits,
    mnist as mnist,
    read_cifar10 as read_cifar10,
    read_idx as read_idx,
    read_npz as read_npz,
)
from .macrospin.macrospin import Macrospin as Macrospin
from .oscillators import ManyModes as ManyModes, SpinTorqueOscillator as SpinTorqueOscillator
from .parsing.parts import SeveralParts as SeveralParts
from .parsing.reader import register_reader as register_reader, unregister_reader as unregister_reader
from .parsing.table import Table as Table
from .pulses.layout import PulseLayout as PulseLayout
from .pulses.simulated import pulse_traces as pulse_traces
from .pulses.write import write_pulses as write_pulses
from .read import read_trace as read_trace
from .read_many import read_traces as read_traces
from .reading.file_names import is_set_of_files as is_set_of_files
from .samples import sample_names as sample_names, sample_path as sample_path
from .streams import (
    ClassSplit as ClassSplit,
    ContinuousTasks as ContinuousTasks,
    PermutedTasks as PermutedTasks,
    Subsets as Subsets,
    TaskList as TaskList,
    TaskSequence as TaskSequence,
)
from .tasks import (
    SpokenDigits as SpokenDigits,
    capacity as capacity,
    delayed as delayed,
    digit_inputs as digit_inputs,
    mackey_glass as mackey_glass,
    narma as narma,
    parity as parity,
    random_bits as random_bits,
    sine_square as sine_square,
    spoken_digits as spoken_digits,
)
from .write import write_csv as write_csv, write_trace as write_trace
