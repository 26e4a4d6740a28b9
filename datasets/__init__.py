"""Where traces come from: readers of measurement files, reference physics, shipped samples."""

# A relative import: `import datasets` from the repository root must fail loudly instead of loading a second copy.
from ..errors import SpinodeError as _SpinodeError  # noqa: F401
