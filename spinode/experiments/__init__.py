"""Shared by the command line, recipes and benchmarks: streams, synapses and learning rules by name, and runs of recipes."""
