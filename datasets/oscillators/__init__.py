"""Reference physics of self-sustained oscillators: amplitude and phase, with noise."""

from .spin_torque import SpinTorqueOscillator as SpinTorqueOscillator
