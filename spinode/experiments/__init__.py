"""What the command line, recipes and benchmarks share: streams, synapses and learning rules by name, and runs of recipes."""
