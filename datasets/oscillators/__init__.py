"""Self-sustained oscillators: reference physics of their amplitude and phase, with noise."""

from .spin_torque import SpinTorqueOscillator as SpinTorqueOscillator
