"""Reference physics of oscillators: a self-sustained one with noise, and many coupled modes behind one output."""

from .many_modes import ManyModes as ManyModes
from .spin_torque import SpinTorqueOscillator as SpinTorqueOscillator
