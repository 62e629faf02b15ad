"""The exception handler: what becomes of errors that nobody waits for.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

import traceback
from asyncio import base_events
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloop.api.hints import ErrorContext, ExceptionHandler
    from cloop.core.handle import Handle
    from cloop.loop import Loop

# The logger is asyncio's own, looked up where asyncio looks it up, so that what replaces it there
# replaces it here.


def get_exception_handler(loop: Loop) -> ExceptionHandler | None:
    """The handler set by set_exception_handler(), or None for the default one."""
    return loop._exception_handler


def set_exception_handler(loop: Loop, handler: ExceptionHandler | None) -> None:
    """Report errors by handler(loop, context); None for the default. TypeError if not callable."""
    if handler is not None and not callable(handler):
        raise TypeError(f"A callable object or None is expected, got {handler!r}")
    loop._exception_handler = handler


def format_context(context: ErrorContext, current_handle: Handle | None) -> Iterator[str]:
    """The lines of a report after its message."""
    if "source_traceback" not in context and current_handle is not None and current_handle._source_traceback:
        context["handle_traceback"] = current_handle._source_traceback
    for key in sorted(context):
        if key in {"message", "exception"}:
            continue
        value = context[key]
        if key == "source_traceback":
            value = f"Object created at (most recent call last):\n{format_stack(value)}"
        elif key == "handle_traceback":
            value = f"Handle created at (most recent call last):\n{format_stack(value)}"
        else:
            try:
                value = repr(value)
            except ImportError:  # as in format_stack()
                value = object.__repr__(value)
        yield f"{key}: {value}"


def format_stack(stack: traceback.StackSummary) -> str:
    """The stack as in a traceback; without lines of source once the interpreter ends and finds none."""
    try:
        return "".join(traceback.format_list(stack)).rstrip()
    except ImportError:
        return "\n".join(f'  File "{at.filename}", line {at.lineno}, in {at.name}' for at in stack)


def default_exception_handler(loop: Loop, context: ErrorContext) -> None:
    """Log an error with what is known of it.

    `context` has 'message' and optionally 'exception', 'future', 'task', 'handle', 'protocol',
    'transport', 'socket', 'source_traceback' and others.
    """
    message = context.get("message") or "Unhandled exception in event loop"
    exception = context.get("exception")
    exc_info = (type(exception), exception, exception.__traceback__) if exception is not None else False
    lines = [message, *format_context(context, getattr(loop, "_current_handle", None))]
    base_events.logger.error("\n".join(lines), exc_info=exc_info)  # type: ignore[attr-defined]


def call_exception_handler(loop: Loop, context: ErrorContext) -> None:
    """Report an error: by the loop's handler, in the context of what it came from."""
    handler = loop._exception_handler
    if handler is None:
        try:
            loop.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            # The default handler may be a subclass's.
            base_events.logger.error(  # type: ignore[attr-defined]
                "Exception in default exception handler", exc_info=True
            )
        return
    try:
        thing = context.get("task") or context.get("future") or context.get("handle")
        run_in = thing.get_context() if thing is not None and hasattr(thing, "get_context") else None
        if run_in is not None and hasattr(run_in, "run"):
            run_in.run(handler, loop, context)
        else:
            handler(loop, context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        report_failed_handler(loop, exc, context)


def report_failed_handler(loop: Loop, exception: BaseException, context: ErrorContext) -> None:
    """Report an error of the user's own exception handler."""
    try:
        loop.default_exception_handler(
            {
                "message": "Unhandled error in exception handler",
                "exception": exception,
                "context": context,
            }
        )
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        base_events.logger.error(  # type: ignore[attr-defined]
            "Exception in default exception handler while handling an unexpected error in custom "
            "exception handler",
            exc_info=True,
        )
