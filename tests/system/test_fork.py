"""fork(2) with loops: the child's copy is refused, and what the child does is not the parent's."""

import os
import signal

import pytest

from tests.support import PY312

from .processes import read_until, rest_of, running_python

# What a child does, in a process of its own; `in_child` returns its exit code to the parent.
FORK = """
# A line is written at once, with its end: another process's may come between otherwise.
sys.stdout.reconfigure(line_buffering=True, write_through=False)

def in_child(function):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = function() or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def outcome(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""

REFUSED = (
    "RuntimeError: The event loop was made before a fork, by the parent process, and can only be used "
    "there: make a new one"
)


@pytest.fixture
def run_forking(run_program):
    """Run a program that forks; what it printed."""

    def run(text, *options, code=0):
        return run_program(FORK + text, *options, code=code)[0]

    return run


def only_cloop(impl, because):
    if not impl.is_cloop:
        pytest.skip(f"asyncio: {because}")


SHARED = "the child's copy works on the parent's epoll set"


def test_the_child_has_no_running_loop(run_forking):
    output = run_forking(
        """
async def main():
    def child():
        print(outcome(asyncio.get_running_loop))
        print(asyncio._get_running_loop())

    assert in_child(child) == 0
    assert asyncio.get_running_loop() is asyncio._get_running_loop()

impl.run(main())
"""
    )
    assert output == "RuntimeError: no running event loop\nNone\n"


@pytest.mark.parametrize("running", [True, False])
def test_the_childs_copy_refuses_work(run_forking, impl, running):
    only_cloop(impl, SHARED)
    output = run_forking(
        f"""
loop = impl.new_event_loop()
left, right = socket.socketpair()
left.setblocking(False)
coroutine = asyncio.sleep(0)

def child():
    for call in (
        lambda: loop.call_soon(int),
        lambda: loop.call_soon_threadsafe(int),
        lambda: loop.call_later(0, int),
        lambda: loop.call_at(0, int),
        lambda: loop.add_reader(left, int),
        lambda: loop.add_writer(left, int),
        lambda: loop.add_signal_handler(signal.SIGUSR1, int),
        lambda: loop.create_task(coroutine),
        lambda: loop.run_in_executor(None, int),
        lambda: loop.run_until_complete(coroutine),
        lambda: loop.run_forever(),
        lambda: asyncio.run_coroutine_threadsafe(coroutine, loop),
    ):
        print(outcome(call))
    print(loop.is_closed())

async def main():
    assert in_child(child) == 0

if {running}:
    loop.run_until_complete(main())
else:
    assert in_child(child) == 0
coroutine.close()
loop.run_until_complete(asyncio.sleep(0.001))
loop.close()
"""
    )
    assert output.splitlines() == [REFUSED] * 12 + ["True"]


def test_the_parents_descriptors_stay_watched(run_forking, impl):
    """Whatever the child closes, drops and collects."""
    only_cloop(impl, SHARED)
    output = run_forking(
        """
async def main():
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    left.setblocking(False)
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    received = asyncio.Queue()
    loop.add_reader(left, lambda: received.put_nowait(left.recv(10)))

    def child():
        print(loop.remove_reader(left))
        writer.transport.pause_reading()
        server.close()
        print(outcome(writer.transport.resume_reading))
        print(outcome(writer.close))
        gc.collect()

    assert in_child(child) == 0
    right.send(b"one")
    theirs.send(b"two")
    print(await received.get(), await reader.readexactly(3))
    stream, other = await asyncio.open_connection(*address)
    print(await stream.read())
    other.close()
    writer.close()
    server.close()
    loop.remove_reader(left)

impl.run(main())
"""
    )
    assert output.splitlines() == ["False", REFUSED, REFUSED, "b'one' b'two'", "b''"]


def test_close_in_the_child(run_forking, impl):
    """Of a loop that did not run when the fork came: nothing of the parent's is touched."""
    only_cloop(impl, SHARED)
    output = run_forking(
        """
loop = impl.new_event_loop()
left, right = socket.socketpair()
left.setblocking(False)
loop.add_reader(left, loop.stop)
loop.add_signal_handler(signal.SIGUSR1, print, "never")

def child():
    loop.close()
    print(loop.is_closed(), outcome(loop.call_soon, int))
    print(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)
    impl.run(asyncio.sleep(0.001))

assert in_child(child) == 0
right.send(b"x")
loop.run_forever()
loop.close()
"""
    )
    assert output == "True RuntimeError: Event loop is closed\nTrue\n"


def test_a_child_that_returns_into_the_loop(run_forking, impl):
    """It runs nothing of what the parent is to run, and comes out with the error."""
    only_cloop(impl, SHARED)
    output = run_forking(
        """
loop = impl.new_event_loop()
pids = []

async def task():
    await asyncio.sleep(0)
    print("task", flush=True)

async def main():
    other = asyncio.create_task(task())
    loop.call_soon(print, "callback")
    sys.stdout.flush()
    pids.append(os.fork())
    await asyncio.sleep(0)
    await other
    print("main", flush=True)

try:
    result = outcome(loop.run_until_complete, main())
    if pids == [0]:
        print(result, flush=True)
    else:
        print(result, os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]), flush=True)
finally:
    if pids == [0]:
        os._exit(7)
loop.close()
"""
    )
    assert sorted(output.splitlines()) == sorted(["callback", "task", "main", REFUSED, "None 7"])


def test_the_child_runs_a_loop_of_its_own(run_forking):
    """Out of a callback of the parent's, with connections, timers, threads and signals."""
    output = run_forking(
        """
async def work():
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, interrupted.set)
    left, right = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=left)
    os.kill(os.getpid(), signal.SIGUSR1)
    await interrupted.wait()
    await asyncio.to_thread(right.send, b"in the child")
    data = await reader.readexactly(12)
    writer.close()
    return data.decode()

def child():
    print(impl.run(work()))
    print(in_child(lambda: print(impl.run(work()), "of the child")))

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print, "parent")
    asyncio.get_running_loop().call_soon(lambda: print(in_child(child)))
    await asyncio.sleep(0.01)

impl.run(main())
"""
    )
    assert output == "in the child\nin the child of the child\n0\n0\n"


def test_a_signal_of_the_child_is_not_the_parents(run_forking, impl):
    if not PY312:
        only_cloop(impl, "up to 3.11 the child writes into the parent's socket")
    output = run_forking(
        """
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, print, "parent")

    def child():
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *args: print("child"))
        os.kill(os.getpid(), signal.SIGUSR1)

    assert in_child(child) == 0
    await asyncio.sleep(0.02)
    print("end")

impl.run(main())
"""
    )
    assert output == "child\nend\n"


def test_ctrl_c_in_a_child_of_a_run(program, tmp_path, impl):
    """The Runner's handler would cancel the parent's main task, of which the child has a copy."""
    only_cloop(impl, "the first Ctrl-C does nothing")
    path = program(
        FORK
        + """
import warnings
# From 3.12 on the parent warns of a fork beside threads, and may do so after the child is ready.
warnings.simplefilter("ignore", DeprecationWarning)
os.setsid()

def say(text):
    # At once: print() of two processes may write into one another's.
    os.write(1, text.encode() + b"\\n")

async def main():
    def child():
        try:
            say("ready")
            # From 3.13 on a signal for a process that a thread forked is seen where a system call was
            # interrupted, and not by the interpreter's own look between instructions: os.kill() looks, too.
            for _ in range(600):
                time.sleep(0.1)
                os.kill(os.getpid(), 0)
        except KeyboardInterrupt:
            say("child interrupted")

    try:
        print(await asyncio.to_thread(in_child, child))
    except asyncio.CancelledError:
        say("parent cancelled")
        raise

try:
    impl.run(main())
except KeyboardInterrupt:
    say("parent interrupted")
"""
    )
    with running_python(path, cwd=tmp_path) as process:
        read_until(process, "ready")
        # As a terminal sends it: to all processes in the foreground.
        os.killpg(process.pid, signal.SIGINT)
        code, output = rest_of(process)
    assert code == 0
    assert sorted(output.splitlines()) == ["child interrupted", "parent cancelled", "parent interrupted"]


def test_a_fork_in_a_thread_while_the_loop_sleeps(run_forking):
    """The child has no thread that runs the loop."""
    output = run_forking(
        """
def child():
    gc.collect()
    print(impl.run(asyncio.sleep(0.001, "child")))

async def main():
    for _ in range(3):
        assert await asyncio.to_thread(in_child, child) == 0

impl.run(main())
"""
    )
    assert output == "child\n" * 3


def test_the_file_of_a_unix_server_stays(run_forking, impl, tmp_path):
    only_cloop(impl, "the child removes it")
    output = run_forking(
        f"""
path = {str(tmp_path / "socket")!r}

async def main():
    server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), path)

    def child():
        server.close()

    assert in_child(child) == 0
    reader, writer = await asyncio.open_unix_connection(path)
    print(await reader.read())
    writer.close()
    server.close()

impl.run(main())
"""
    )
    assert output == "b''\n"


def test_what_was_written_leaves_once(run_forking):
    """Before the fork or after it, and not in both processes."""
    output = run_forking(
        """
async def main():
    left, right = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=left)
    for _ in range(5):
        writer.write(b"a")
        writer.write(b"b")
        assert in_child(lambda: None) == 0
        await asyncio.sleep(0.001)
    writer.close()
    print(right.recv(100))

impl.run(main())
"""
    )
    assert output == f"{b'ab' * 5!r}\n"


def test_preexec_fn(run_forking):
    """It runs in a forked child as well."""
    output = run_forking(
        """
async def main():
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    left.setblocking(False)
    received = loop.create_future()
    loop.add_reader(left, lambda: received.set_result(left.recv(10)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print('child')", preexec_fn=lambda: (gc.collect(), os.nice(1)))
    assert await process.wait() == 0
    right.send(b"parent")
    print(await received)
    loop.remove_reader(left)

impl.run(main())
"""
    )
    assert sorted(output.splitlines()) == ["b'parent'", "child"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(run_forking, method):
    """Processes and a pool of them, started in a running loop; each runs loops of its own."""
    output = run_forking(
        f"""
import concurrent.futures, multiprocessing

async def double(number):
    await asyncio.sleep(0.001)
    return 2 * number

def work(number, results=None):
    result = impl.run(double(number))
    if results is None:
        return result
    results.put(result)

async def main():
    context = multiprocessing.get_context({method!r})
    results = context.SimpleQueue()
    process = context.Process(target=work, args=(21, results))
    process.start()
    print(await asyncio.to_thread(results.get))
    await asyncio.to_thread(process.join)
    print(process.exitcode)
    loop = asyncio.get_running_loop()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        print(await asyncio.gather(*(loop.run_in_executor(pool, work, n) for n in range(4))))

if __name__ == "__main__":
    impl.run(main())
""",
        "-W",
        "ignore::DeprecationWarning",
    )
    assert output == "42\n0\n[0, 2, 4, 6]\n"


def test_a_fork_in_debug_mode(run_forking):
    output = run_forking(
        """
async def main():
    await asyncio.sleep(0)
    assert in_child(lambda: print(impl.run(asyncio.sleep(0.001, "child"), debug=True))) == 0
    await asyncio.sleep(0.001)

impl.run(main(), debug=True)
""",
        "-W",
        "ignore::DeprecationWarning",
    )
    assert output == "child\n"
