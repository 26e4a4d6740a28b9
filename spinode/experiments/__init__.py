"""What the command line, recipes and benchmarks share: streams, synapses and learners by name."""
