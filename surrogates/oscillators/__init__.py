"""Noisy and coupled oscillators: neural SDEs, networks of devices, and surrogates with a fast linear response."""
