"""The errors and warnings of the package.

Every message states what is wrong, what was given, what was expected, and how to fix it. The command line prints the message
and exits with code 2. For invalid input, the package raises no other exceptions.
"""


class SpinodeError(Exception):
    """Base class of all errors of the package."""


class TraceError(SpinodeError, ValueError):
    """A recording or a file, or a part of it, cannot be used as requested."""


class UnitError(SpinodeError, ValueError):
    """A unit is unknown, missing, or of another physical dimension than expected."""


class ConfigError(SpinodeError, ValueError):
    """An argument or setting is invalid, or contradicts another one."""


class FitError(SpinodeError, RuntimeError):
    """A fit failed, or its checkpoint belongs to another fit."""


class DomainError(SpinodeError, RuntimeError):
    """A strict run left the domain on which the surrogate was fitted."""


class FileFormatError(SpinodeError, ValueError):
    """A surrogate, checkpoint or image file is damaged, of a newer schema, or of another kind."""


class ExportError(SpinodeError, RuntimeError):
    """A surrogate cannot be exported, or the exported program does not reproduce the surrogate."""


class DomainWarning(UserWarning):
    """A run left the domain on which the surrogate was fitted; the result there is an extrapolation."""


class TraceWarning(UserWarning):
    """A recording can be used, but something about it should be checked."""


class DeviceWarning(UserWarning):
    """Devices are programmed as requested, but this has no effect, or probably not the intended one."""


class KernelWarning(UserWarning):
    """The compiled kernels are missing; plain torch runs instead."""


class SettlingWarning(UserWarning):
    """The states of a network did not reach their fixed point, from which a learning rule takes its gradients."""
