"""A loop that nobody has closed when the interpreter ends: what is written, and that it is no error."""

import sys

import pytest

from .conftest import TROUBLE
from .processes import run_python

HOLDERS = {
    "a variable of the program": "keep = loop",
    "the current loop": "asyncio.set_event_loop(loop)",
    "itself": "loop.me = loop",
    "asyncio": "asyncio.keep = loop",
    "threading": "threading.keep = loop",
    "builtins": "import builtins; builtins.keep = loop",
    "a default value": "def function(argument=loop): pass",
    "sys": "sys.keep = loop",
    "a timer": "keep = loop.call_later(1000, int)",
    "the current loop, with a timer": "asyncio.set_event_loop(loop); loop.call_later(1000, int)",
    "the current loop, with threads": (
        "asyncio.set_event_loop(loop); loop.run_until_complete(loop.run_in_executor(None, int))"
    ),
    "the current loop, with a signal": (
        "asyncio.set_event_loop(loop); loop.add_signal_handler(signal.SIGUSR1, int)"
    ),
}

# Of which people are told with -X dev. (asyncio's close() then fails in some versions, by the repr of
# a handle, and that is written too.)
TOLD = {
    "a variable of the program",
    "itself",
    "builtins",
    "a default value",
    "a timer",
}


def program_for(holder):
    return f"""
        loop = impl.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        {HOLDERS[holder]}
        del loop
        print("ends")
    """


@pytest.mark.skipif(
    hasattr(sys, "gettotalrefcount"),
    reason="a debug build of CPython shows ResourceWarnings that its end gives",
)
@pytest.mark.parametrize("holder", HOLDERS)
def test_nothing_is_written(run_program, holder):
    # As it is by default, but for the development mode.
    quiet = """
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)
    """
    assert run_program(quiet + program_for(holder)) == ("ends\n", "")


@pytest.mark.parametrize("holder", HOLDERS)
def test_in_development_mode(impl, program, tmp_path, holder):
    result = run_python("-X", "dev", program(program_for(holder)), cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "ends\n")
    lines = result.stderr.splitlines()
    assert sum("ResourceWarning: unclosed event loop" in line for line in lines) == (holder in TOLD)
    if impl.is_cloop:
        assert not any(trouble in result.stderr for trouble in TROUBLE)


def test_with_a_signal_handler_that_is_left(impl, run_program):
    if not impl.is_cloop:
        pytest.skip("asyncio's close() may fail there, by the repr of a handle")
    _, errors = run_program(
        """
        keep = impl.new_event_loop()
        keep.run_until_complete(asyncio.sleep(0))
        keep.add_signal_handler(signal.SIGUSR1, int)
        """,
        "-X",
        "dev",
    )
    assert "unclosed event loop" in errors
    assert "on interpreter shutdown stage, skipping signal handlers removal" in errors


def test_of_a_subclass(run_program):
    _, errors = run_program(
        """
        class Own(impl.Loop if hasattr(impl, "Loop") else asyncio.SelectorEventLoop):
            pass

        asyncio.set_event_loop(Own())
        """
    )
    assert errors == ""


@pytest.mark.parametrize(
    ("left", "told"),
    [
        ("keep = loop.create_future(); keep.set_exception(ValueError('unseen'))", "ValueError: unseen"),
        (
            "keep = loop.create_task(asyncio.sleep(1000)); loop.run_until_complete(asyncio.sleep(0))",
            "Task was destroyed but it is pending!",
        ),
    ],
    ids=["a future", "a task"],
)
def test_what_is_left_with_it_is_reported_in_development_mode(impl, program, tmp_path, left, told):
    result = run_python("-X", "dev", program(f"loop = impl.new_event_loop(); {left}"), cwd=tmp_path)
    assert told in result.stderr
    assert "Object created at" in result.stderr and "Logging error" not in result.stderr
    if impl.is_cloop:
        assert not any(trouble in result.stderr for trouble in TROUBLE)
