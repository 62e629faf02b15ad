"""python -m cloop, and the processes that a program starts by multiprocessing."""

import ast
import textwrap

import pytest

from .processes import run_python

PROGRAM = """
    import asyncio, multiprocessing, sys

    def loop_of_asyncio():
        loop = asyncio.new_event_loop()
        loop.close()
        return type(loop).__module__

    AT_IMPORT = loop_of_asyncio()

    async def running_loop():
        return type(asyncio.get_running_loop()).__module__

    def child(answers, generations):
        answers.put((__name__, AT_IMPORT, asyncio.run(running_loop())))
        if generations:
            start(answers, generations - 1)

    def start(answers, generations):
        process = multiprocessing.Process(target=child, args=(answers, generations))
        process.start()
        process.join()
        assert process.exitcode == 0, process.exitcode

    if __name__ == "__main__":
        multiprocessing.set_start_method(sys.argv[1])
        answers = multiprocessing.SimpleQueue()
        start(answers, 1)
        print(answers.get(), answers.get(), sep="\\n")
"""

# What a child calls the main module: `fork` leaves it as it is.
NAMES = {"fork": "__main__", "spawn": "__mp_main__", "forkserver": "__mp_main__"}


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    return tmp_path


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("how", [["program.py"], ["-m", "program"]], ids=" ".join)
def test_children_and_theirs(program, method, how):
    result = run_python("-m", "cloop", *how, method, cwd=program)
    assert result.stderr == ""
    for line in result.stdout.splitlines():
        name, at_import, running = ast.literal_eval(line)
        assert (name, running) == (NAMES[method], "cloop.loop")
        # A fork server may import the main module itself, before it knows of any child.
        assert at_import == "cloop.loop" or method == "forkserver"
    assert len(result.stdout.splitlines()) == 2
    assert result.returncode == 0


def test_a_program_that_has_looked_whether_multiprocessing_is_there(program):
    source = (program / "program.py").read_text()
    look = "import importlib.util\nimportlib.util.find_spec('multiprocessing.spawn')\n"
    (program / "program.py").write_text(look + source)
    result = run_python("-m", "cloop", "program.py", "spawn", cwd=program)
    assert result.stdout.splitlines() == [str(("__mp_main__", "cloop.loop", "cloop.loop"))] * 2


def test_without_cloop(program):
    result = run_python("program.py", "spawn", cwd=program)
    theirs = "asyncio.unix_events"
    assert result.stdout.splitlines() == [str(("__mp_main__", theirs, theirs))] * 2


IMPORTS = """
    import sys
    print("multiprocessing" in sys.modules)
    import multiprocessing.spawn as spawn
    print(spawn.__name__, spawn.__spec__.name, type(spawn.__loader__).__name__, len(sys.meta_path))
    print(sorted(spawn.get_preparation_data("child").keys() - {"cloop"}))
"""


def test_the_program_sees_multiprocessing_as_it_is(tmp_path):
    """cloop imports nothing of it, and leaves nothing behind where modules are looked for."""
    (tmp_path / "program.py").write_text(textwrap.dedent(IMPORTS))
    ours = run_python("-m", "cloop", "program.py", cwd=tmp_path)
    assert ours.stderr == ""
    assert ours.stdout == run_python("program.py", cwd=tmp_path).stdout


DIRECTORIES = """
    import asyncio, multiprocessing, os, sys, time

    def child():
        loop = asyncio.new_event_loop()
        loop.close()
        print(type(loop).__module__, os.getcwd() == sys.argv[1])

    if __name__ == "__main__":
        os.chdir(sys.argv[1])
        process = multiprocessing.get_context("spawn").Process(target=child)
        process.start()
        process.join()
"""


def test_after_a_change_of_directory(tmp_path):
    """A child finds cloop where its parent did, also where the current directory has to do with it."""
    (tmp_path / "program.py").write_text(textwrap.dedent(DIRECTORIES))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = run_python("-m", "cloop", "program.py", elsewhere, cwd=tmp_path)
    assert result.stderr == ""
    assert result.stdout == "cloop.loop True\n"
