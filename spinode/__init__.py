"""A measurement file in, a fast differentiable device model out, and a network trained on it."""

# The public names are listed in `__init__.pyi`, which type checkers read; each is imported when it is first used.
import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
