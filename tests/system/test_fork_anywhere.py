"""Forks wherever a program's code runs: in each kind of callback, and between the steps of others."""

import pytest

from .processes import run_python
from .test_fork import FORK

# The child drops what it has of the parent's, and has a loop and a child process of its own.
CHILD = """
import subprocess

def child():
    async def own():
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        out, _ = await process.communicate(b"child's")
        return out, process.returncode

    gc.collect()
    assert impl.run(own()) == (b"child's", 0)
    gc.collect()

def fork(*args):
    assert in_child(child) == 0
    forks.append(args)

forks = []
"""

PLACES = {
    "call_soon": "loop.call_soon(fork)",
    "timer": "loop.call_later(0.001, fork)",
    "threadsafe": "loop.call_soon_threadsafe(fork)",
    "reader": "loop.add_reader(left, lambda: (loop.remove_reader(left), fork())); right.send(b'x')",
    "writer": "loop.add_writer(left, lambda: (loop.remove_writer(left), fork()))",
    "signal": "loop.add_signal_handler(signal.SIGUSR1, fork); os.kill(os.getpid(), signal.SIGUSR1)",
    "python_signal": "signal.signal(signal.SIGUSR1, fork); signal.raise_signal(signal.SIGUSR1)",
    "thread": "await asyncio.to_thread(fork)",
    "executor_while_busy": "await asyncio.gather(asyncio.to_thread(fork), *(spin() for _ in range(3)))",
    "done_callback": "loop.create_task(asyncio.sleep(0)).add_done_callback(fork)",
    "exception_handler": "loop.set_exception_handler(fork); loop.call_soon(lambda: 1 / 0)",
    "cancelled_task": "task = loop.create_task(waiting()); await asyncio.sleep(0); task.cancel()",
    "async_generator": "generator = yielding(); await anext(generator); await generator.aclose()",
    "task_factory": "loop.set_task_factory(lambda loop, coro, **kw: (forks or fork(),"
    " impl.Task(coro, loop=loop, **kw))[1]); await loop.create_task(asyncio.sleep(0))",
    "data_received": "await connect('data_received'); right.send(b'x')",
    "eof_received": "await connect('eof_received'); right.close()",
    "connection_lost": "(await connect('connection_lost')).close()",
    "pipe_data_received": "await loop.subprocess_exec(lambda: Child('pipe_data_received'), 'echo', 'x')",
    "process_exited": "await loop.subprocess_exec(lambda: Child('process_exited'), 'true')",
    "garbage": "cycle = Dropped(); cycle.itself = cycle; del cycle; gc.collect()",
}

HELPERS = """
async def waiting():
    try:
        await forever()
    finally:
        fork()

async def yielding():
    try:
        yield
    finally:
        fork()

async def spin():
    while not forks:
        await asyncio.sleep(0)

class Dropped:
    def __del__(self):
        fork()

class Forking:
    def __init__(self, name):
        setattr(self, name, fork)

class Protocol(Forking, asyncio.Protocol):
    pass

class Child(Forking, asyncio.SubprocessProtocol):
    def connection_made(self, transport):
        transports.append(transport)

transports = []
"""


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_in_a_callback(run_program, place):
    """The parent goes on as if nothing had been: what is watched stays so."""
    output, _ = run_program(
        f"""{FORK}{CHILD}{HELPERS}
async def main():
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    left.setblocking(False)

    async def connect(name):
        return (await loop.create_connection(lambda: Protocol(name), sock=left))[0]

    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    {place}
    while not forks:
        await asyncio.sleep(0.001)
    theirs.send(b"parent's")
    assert await reader.readexactly(8) == b"parent's"
    assert await process.communicate(b"mine") == (b"mine", None)
    assert process.returncode == 0
    writer.close()
    for transport in transports:
        await transport._wait()
        transport.close()
    print("over")

impl.run(main())
"""
    )
    assert output == "over\n"


def test_while_children_are_on_their_way(run_program):
    """A fork between any two steps of many starts and exits: each child is told of once, in the parent."""
    output, _ = run_program(
        f"""{FORK}{CHILD}
async def start(number):
    process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {{number}}")
    return await process.wait()

async def main():
    tasks = [asyncio.ensure_future(start(number)) for number in range(40)]
    turns = 0
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turns += 1
        if turns % 7 == 1 and len(forks) < 12:
            fork()
    print([task.result() for task in tasks] == list(range(40)), len(forks) > 0)

impl.run(main())
"""
    )
    assert output == "True True\n"


def test_a_child_that_ends_as_programs_do(program, tmp_path, impl):
    """Not by os._exit(): through everything that the parent has open, which stays so."""
    if not impl.is_cloop:
        pytest.skip("asyncio: the child's copy works on the parent's epoll set")
    path = program(
        """
async def main():
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    pid = os.fork()
    if pid == 0:
        sys.exit(7)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    print(os.WIFEXITED(status), os.WEXITSTATUS(status) > 0)
    theirs.send(b"x")
    print(await reader.readexactly(1), await process.communicate(b"y"))
    writer.close()

impl.run(main())
"""
    )
    result = run_python(path, cwd=tmp_path)
    # The child's copy of the loop refuses what the Runner wants of it.
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["True True", "b'x' (b'y', None)"]
    assert "made before a fork" in result.stderr
