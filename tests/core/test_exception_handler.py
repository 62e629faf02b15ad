"""Where exceptions of callbacks and tasks end up."""

import asyncio
import contextvars
import logging

import pytest

from tests.support import PY312, collect_garbage, run_turn, settle


def fail():
    raise ValueError("raised in a callback")


@pytest.fixture
def default_loop(loop):
    """A loop with the default handler."""
    loop.set_exception_handler(None)
    return loop


def test_get_and_set(loop):
    def handler(loop, context):
        pass

    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    with pytest.raises(TypeError, match="A callable object or None is expected, got 'handler'"):
        loop.set_exception_handler("handler")


def test_the_handler_gets_the_loop_and_the_context(loop):
    calls = []
    loop.set_exception_handler(lambda *args: calls.append(args))
    loop.call_soon(fail)
    run_turn(loop)
    ((seen, context),) = calls
    assert seen is loop
    assert set(context) == {"message", "exception", "handle"}


def test_debug_mode_adds_the_source(loop, reports):
    loop.set_debug(True)
    loop.call_soon(fail)
    run_turn(loop)
    context = reports.take_one()
    assert context["source_traceback"][-1].filename == __file__


def test_call_exception_handler_directly(loop, reports):
    context = {"message": "made up", "extra": 1}
    loop.call_exception_handler(context)
    assert reports.take_one() is context


def test_default_handler_logs(default_loop, error_log):
    default_loop.call_soon(fail)
    run_turn(default_loop)
    (text,) = error_log
    assert text.startswith("Exception in callback fail() at ")
    assert f"handle: <Handle fail() at {__file__}:" in text
    assert text.rstrip().endswith("ValueError: raised in a callback")
    assert "Traceback (most recent call last)" in text
    error_log.clear()


def test_default_handler_shows_what_it_is_given(default_loop, error_log):
    default_loop.default_exception_handler({"b": 2, "a": "one"})
    assert error_log == ["Unhandled exception in event loop\na: 'one'\nb: 2"]
    error_log.clear()
    default_loop.default_exception_handler({"message": "said", "exception": KeyError("key")})
    assert error_log == ["said\nKeyError: 'key'"]
    error_log.clear()


def test_default_handler_shows_where_a_handle_was_created(default_loop, error_log):
    default_loop.set_debug(True)
    default_loop.call_soon(fail)
    run_turn(default_loop)
    (text,) = error_log
    assert "source_traceback: Object created at (most recent call last):" in text
    assert "default_loop.call_soon(fail)" in text
    error_log.clear()


def test_default_handler_shows_where_the_current_callback_was_created(default_loop, error_log):
    """In debug mode an exception with no source of its own is shown with the running handle's."""
    default_loop.set_debug(True)
    default_loop.call_soon(default_loop.call_exception_handler, {"message": "from a callback"})
    run_turn(default_loop)
    (text,) = error_log
    assert text.startswith("from a callback\nhandle_traceback: Handle created at (most recent call last):")
    error_log.clear()


def test_a_handler_that_raises_is_logged(loop, error_log):
    def broken(loop, context):
        raise KeyError("in the handler")

    loop.set_exception_handler(broken)
    loop.call_soon(fail)
    run_turn(loop)
    (text,) = error_log
    assert text.startswith("Unhandled error in exception handler")
    assert "KeyError: 'in the handler'" in text
    error_log.clear()


def test_a_default_handler_that_raises_is_logged(impl, error_log):
    class Broken(impl.loop_type):
        def default_exception_handler(self, context):
            raise KeyError("in the default handler")

    loop = Broken()
    loop.call_soon(fail)
    run_turn(loop)
    loop.close()
    (text,) = error_log
    assert text.startswith("Exception in default exception handler")
    error_log.clear()


def test_an_overridden_default_handler_is_used(impl):
    calls = []

    class Own(impl.loop_type):
        def default_exception_handler(self, context):
            calls.append(context)

    loop = Own()
    loop.call_soon(fail)
    run_turn(loop)
    loop.close()
    assert len(calls) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through_handlers(loop, error):
    def interrupted(loop, context):
        raise error

    loop.set_exception_handler(interrupted)
    with pytest.raises(error):
        loop.call_exception_handler({"message": "any"})


@pytest.mark.skipif(not PY312, reason="new in 3.12")
def test_the_handler_runs_in_the_context_of_what_failed(loop, run):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append((variable.get(), context["message"][:9])))

    def callback():
        variable.set("handle")
        fail()

    async def task():
        variable.set("task")
        raise ValueError("never retrieved")

    loop.call_soon(callback)
    run_turn(loop)

    async def main():
        dropped = loop.create_task(task())
        await settle()
        del dropped
        collect_garbage()

    run(main())
    assert seen == [("handle", "Exception"), ("task", "Task exce")]


def test_exception_groups_are_logged_whole(default_loop, error_log):
    def fail_often():
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])

    default_loop.call_soon(fail_often)
    run_turn(default_loop)
    (text,) = error_log
    assert "ValueError: one" in text and "KeyError: 'two'" in text
    error_log.clear()


def test_base_exceptions_that_are_no_interrupts_are_reported(loop, reports):
    class Odd(BaseException):
        pass

    def odd():
        raise Odd

    loop.call_soon(odd)
    run_turn(loop)
    assert isinstance(reports.take_one()["exception"], Odd)


def test_a_callback_that_raises_cancelled_error_is_reported(loop, reports):
    def cancelled():
        raise asyncio.CancelledError

    loop.call_soon(cancelled)
    run_turn(loop)
    assert isinstance(reports.take_one()["exception"], asyncio.CancelledError)


def test_logged_as_errors(default_loop, error_log, caplog):
    default_loop.call_soon(fail)
    run_turn(default_loop)
    error_log.clear()
    assert [(record.name, record.levelno) for record in caplog.records] == [("asyncio", logging.ERROR)]
