"""Reference physics of memory devices: each model one file, a `spinode.Synapse` that also makes traces."""
