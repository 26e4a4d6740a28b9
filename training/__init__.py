"""Trainers of networks on device surrogates."""

# A relative import: `import training` from the repository root must fail loudly instead of loading a second copy.
from ..errors import SpinodeError as _SpinodeError  # noqa: F401
