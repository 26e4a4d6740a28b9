"""Layers of the trainers: binary, quantised and Bayesian weights, norms, and where weights are stored."""
