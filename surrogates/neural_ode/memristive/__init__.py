"""Memristive devices: a hidden state sets the conductance, and the output is conductance times drive."""
