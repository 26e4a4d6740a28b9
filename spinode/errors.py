"""The one error tree of the package.

Every message says what is wrong, what came, what was expected and how to mend it. The command line prints the message
and exits with code 2; nothing else of the package raises bare exceptions for bad input.
"""


class SpinodeError(Exception):
    """Base of every error and refusal of the package."""


class TraceError(SpinodeError, ValueError):
    """A recording, a file, or a stretch of it cannot be used as asked."""


class UnitError(SpinodeError, ValueError):
    """A unit is unknown, missing, or of another physical dimension than expected."""


class ConfigError(SpinodeError, ValueError):
    """A setting is outside its range or contradicts another one."""


class FitError(SpinodeError, RuntimeError):
    """A fit could not be carried out, or its checkpoint does not belong to it."""


class DomainError(SpinodeError, RuntimeError):
    """A strict run left the domain that the surrogate was fitted on."""


class FileFormatError(SpinodeError, ValueError):
    """A surrogate, checkpoint or image file is damaged, of a newer schema, or not such a file."""


class ExportError(SpinodeError, RuntimeError):
    """A surrogate cannot be exported, or the exported program does not do what the surrogate does."""


class DomainWarning(UserWarning):
    """A run left the domain that the surrogate was fitted on: the result there is an extrapolation."""


class TraceWarning(UserWarning):
    """A recording can be used, but something about it deserves a look."""


class DeviceWarning(UserWarning):
    """Devices are programmed as asked, but it does nothing, or hardly what was meant."""


class KernelWarning(UserWarning):
    """The compiled kernels are missing; the plain-torch path runs."""
