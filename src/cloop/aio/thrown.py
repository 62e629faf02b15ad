"""What throw() raises, by its arguments.

Derived in its rules and messages from CPython's Modules/_asynciomodule.c (PSF License Agreement).
"""

import sys
import warnings
from types import TracebackType


def exception_of(*args: object) -> BaseException:
    """The exception that throw(*args) raises.

    `args` are one exception, or as the deprecated signature has it a type, a value and a traceback. TypeError
    for others.
    """
    if not 0 < len(args) <= 3:
        bound = "at most 3 arguments" if args else "at least 1 argument"
        raise TypeError(f"throw expected {bound}, got {len(args)}")
    kind, value, tb = (*args, None, None)[:3]
    if sys.version_info >= (3, 12) and (value is not None or tb is not None):
        warnings.warn(
            "the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.",
            DeprecationWarning,
            stacklevel=2,
        )
    if tb is not None and not isinstance(tb, TracebackType):
        raise TypeError("throw() third argument must be a traceback")
    if isinstance(kind, type) and issubclass(kind, BaseException):
        if isinstance(value, kind):
            exception = value
        elif value is None:
            exception = kind()
        else:
            exception = kind(*value) if isinstance(value, tuple) else kind(value)
    elif isinstance(kind, BaseException):
        if value is not None:
            raise TypeError("instance exception may not have a separate value")
        exception = kind
    else:
        raise TypeError("exceptions must be classes deriving BaseException or instances of such a class")
    return exception if tb is None else exception.with_traceback(tb)
