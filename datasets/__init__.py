"""Sources of traces and tasks: measurement files, physical device models, shipped samples; images and task streams."""

# A relative import: `import datasets` from the repository root must fail loudly instead of loading a second copy.
from ..errors import SpinodeError as _SpinodeError  # noqa: F401, I001

# The public names are listed in `__init__.pyi`, which type checkers read; each is imported when it is first used.
import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
