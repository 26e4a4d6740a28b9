"""Reference physics of memory devices: each model one file, a `spinode.Synapse` that also makes traces."""

from .weak_reset import WeakReset as WeakReset
