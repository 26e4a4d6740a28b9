"""Noisy and coupled oscillators: neural SDEs, networks of devices, and fast responses."""
