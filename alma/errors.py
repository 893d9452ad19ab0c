"""Every error that alma raises on purpose, and what a caller should do about it.

::

    AlmaError
    ├── UserError                  exit 2, never retried: something outside has to change
    │   ├── ConfigError            (ValueError) a setting is unknown, of the wrong type or impossible
    │   ├── DataError              (ValueError) a file, row or model that was brought is not usable
    │   ├── IntegrityError         (ValueError) a published part is not what its manifest says
    │   ├── AccessError            (PermissionError) the store or a file refuses us
    │   └── NoSpaceError           (OSError) a disk, quota or store is full
    ├── TransientError             exit 75, may be retried as it is
    │   ├── StoreUnavailableError  (OSError) the store did not answer after every retry
    │   └── Stopped                this process was asked to stop; what it had finished is published
    ├── StageError                 exit 1: the stage ran and its result is not usable
    ├── InternalError              exit 1: alma itself is at fault
    └── Abandoned                  exit 69: nobody follows this process any more; what it had finished is published

Each error is also one of the standard library's, so that code that knows nothing of alma can catch it.
"""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USER = 2
EXIT_ABANDONED = 69  # EX_UNAVAILABLE of sysexits.h: what this process depends on is gone
EXIT_TRANSIENT = 75  # EX_TEMPFAIL of sysexits.h: what schedulers read as "try again"


class AlmaError(Exception):
    """Root of the tree. ``exit_code`` is what the command line exits with."""

    exit_code = EXIT_FAILED


class UserError(AlmaError):
    """Something that the user brought has to change; trying again cannot help."""

    exit_code = EXIT_USER


class ConfigError(UserError, ValueError):
    """A setting is unknown, of the wrong type, or impossible beside another one."""


class DataError(UserError, ValueError):
    """A file, row or model that the user brought is not usable."""


class IntegrityError(UserError, ValueError):
    """A published file is missing or differs from what its manifest states."""


class AccessError(UserError, PermissionError):
    """The store or a file exists but refuses us."""


class NoSpaceError(UserError, OSError):
    """A disk, quota or store is full; somebody has to make room."""


class TransientError(AlmaError):
    """Worth another try without any change."""

    exit_code = EXIT_TRANSIENT


class StoreUnavailableError(TransientError, OSError):
    """The store did not answer, after every retry."""


class Stopped(TransientError):  # noqa: N818 - a state that was asked for, not a fault
    """The process was asked to stop (SIGTERM, SIGINT); finished parts are published."""


class StageError(AlmaError):
    """The stage ran to its end and its result is not usable (too many bad rows, say)."""


class InternalError(AlmaError):
    """Alma itself is at fault: what a process of ours says of an error that nobody foresaw."""


class Abandoned(AlmaError):  # noqa: N818 - as Stopped
    """Whoever follows this process from outside has been silent for too long, so that it stopped by itself."""

    exit_code = EXIT_ABANDONED


def is_of_rust(error: BaseException) -> bool:
    """Whether a library in Rust raised it: a bare ``Exception``, or its panic, which is none."""
    return type(error) is Exception or type(error).__name__ == "PanicException"
