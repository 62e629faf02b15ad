"""What CPython's own tools see of a process from outside: `python -m asyncio ps`, the profiler of 3.15."""

import itertools
import subprocess
import sys

import pytest

from tests.support import PY314, PY315

pytestmark = pytest.mark.skipif(not PY314, reason="the tools are new in 3.14")

# Ends when its standard input does.
WAITING = """
import asyncio, sys
import cloop

async def leaf(future):
    await future

async def group(future):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(leaf(future), name="one")
        tasks.create_task(leaf(future), name="two")

async def gather(future):
    await asyncio.gather(leaf(future), leaf(future))

async def wait(task):
    await asyncio.wait([task])

async def on(task):
    await task

async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    shared = asyncio.create_task(leaf(future), name="shared")
    tasks = [
        asyncio.create_task(group(future), name="group"),
        asyncio.create_task(gather(future), name="gather"),
        asyncio.create_task(wait(shared), name="wait"),
        asyncio.create_task(on(shared), name="on"),
        asyncio.create_task(on(shared)),
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    future.set_result(None)
    await asyncio.gather(*tasks)
    print("well")

FACTORY = {"cloop": cloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}[sys.argv[1]]
asyncio.run(main(), loop_factory=FACTORY)
"""

# Each with the stack of its coroutines, innermost first, and the name of a task that awaits it.
SEEN = {
    ("Task-1", "main", ""),
    ("shared", "leaf", "wait"),
    ("shared", "leaf", "on"),
    ("shared", "leaf", "Task-2"),
    ("group", "TaskGroup._aexit -> TaskGroup.__aexit__ -> group", ""),
    ("gather", "gather", ""),
    ("wait", "_wait -> wait -> wait", ""),
    ("on", "on", ""),
    ("Task-2", "on", ""),
    ("one", "leaf", "group"),
    ("two", "leaf", "group"),
    ("Task-3", "leaf", "gather"),
    ("Task-4", "leaf", "gather"),
}

CHURNING = """
import asyncio, sys
import cloop

async def leaf(number):
    await asyncio.sleep(0)
    return number

async def churn(done):
    total = 0
    while not done.done():
        total += sum(await asyncio.gather(*[leaf(1) for _ in range(50)]))
    return total

async def main():
    loop = asyncio.get_running_loop()
    done = loop.run_in_executor(None, sys.stdin.read)
    print("ready", flush=True)
    totals = await asyncio.gather(churn(done), churn(done))
    print("well" if all(total and total % 50 == 0 for total in totals) else totals)

FACTORY = {"cloop": cloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}[sys.argv[1]]
asyncio.run(main(), loop_factory=FACTORY)
"""

PROFILED = """
import asyncio, sys, time
import cloop

def compute(until):
    while time.monotonic() < until:
        pass

async def work():
    for _ in range(100):
        compute(time.monotonic() + 0.01)
        await asyncio.sleep(0)

async def start():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work(), name="worker")

FACTORY = {"cloop": cloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}[sys.argv[1]]
asyncio.run(start(), loop_factory=FACTORY)
"""


def look(pid, command="ps"):
    """What `python -m asyncio` prints of a process."""
    done = subprocess.run(
        [sys.executable, "-m", "asyncio", command, str(pid)], capture_output=True, text=True
    )
    told = done.stdout + done.stderr
    if "PermissionError" in told or "Operation not permitted" in told or "not supported" in told:
        pytest.skip("another process may not be read here")
    return told


@pytest.fixture
def start(impl):
    """Start a program on the loop under test; it has printed its first line."""
    programs = []

    def start(text):
        program = subprocess.Popen(
            [sys.executable, "-c", text, impl.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        programs.append(program)
        assert program.stdout.readline() == "ready\n"
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


def rows(table):
    """(name, stack, name of who awaits it) of each line of `python -m asyncio ps`."""
    header, _, *lines = table.splitlines()
    columns = ["task name", "coroutine stack", "awaiter chain", "awaiter name", "awaiter id"]
    begin = [header.index(column) for column in columns]
    found = set()
    for line in lines:
        name, stack, _, awaiter = (line[a:b].strip() for a, b in itertools.pairwise(begin))
        found.add((name, stack, awaiter))
    return found


def test_ps(start):
    program = start(WAITING)
    table = look(program.pid)
    out, _ = program.communicate("")
    assert (out, program.returncode) == ("well\n", 0)
    assert rows(table) == SEEN


def test_pstree(start):
    program = start(WAITING)
    tree = look(program.pid, "pstree")
    program.communicate("")
    lines = [line.strip(" │├└─") for line in tree.splitlines()]
    group = lines.index("(T) group")
    assert "(T) one" in lines[group : group + 8]
    assert lines.count("(T) shared") == 3


def test_while_tasks_come_and_go(start):
    """Who looks may see a half of something; the process is none the worse."""
    program = start(CHURNING)
    for _ in range(5):
        look(program.pid)
    out, _ = program.communicate("", timeout=60)
    assert (out, program.returncode) == ("well\n", 0)


@pytest.mark.skipif(not PY315, reason="the profiler is new in 3.15")
def test_profiler(impl, tmp_path):
    path, output = tmp_path / "program.py", tmp_path / "stacks"
    path.write_text(PROFILED)
    command = ["-m", "profiling.sampling", "run", "--async-aware", "--collapsed", "-o", str(output)]
    done = subprocess.run(
        [sys.executable, *command, str(path), impl.name], capture_output=True, text=True, timeout=120
    )
    if "Permission" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("another process may not be read here")
    stacks = [line.rpartition(" ") for line in output.read_text().splitlines()]
    samples = {
        inner: sum(int(count) for stack, _, count in stacks if f":{inner}:" in stack)
        for inner in ("start", "work", "compute")
    }
    assert samples["compute"] > 100
    # The task that waits for the group is in the stack of the one that works in it. A sample may be taken of
    # a step half done, so this holds for nearly all.
    assert samples["work"] > samples["compute"] * 0.9
    assert samples["start"] > samples["work"] * 0.9


@pytest.mark.skipif(getattr(sys, "_is_gil_enabled", lambda: True)() is False, reason="not there yet")
def test_nothing_is_changed_for_that():
    """cloop's tasks are in asyncio's list; its set of other tasks is left as it was."""
    from cloop.aio import registry

    assert registry.list_in_state()
    known = registry.set_of_tasks()
    assert known is None or type(known.data) is set
