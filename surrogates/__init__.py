"""Device models built on a fitted `spinode.Surrogate`: oscillators, reservoirs, synapses."""

# A relative import: `import surrogates` from the repository root must fail loudly instead of loading a second copy.
from ..errors import SpinodeError as _SpinodeError  # noqa: F401
