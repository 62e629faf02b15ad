"""What the tests share: the two implementations side by side, and small helpers to drive them."""

import asyncio
import contextlib
import gc
import importlib
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PY312 = sys.version_info >= (3, 12)
PY313 = sys.version_info >= (3, 13)
PY314 = sys.version_info >= (3, 14)
PY315 = sys.version_info >= (3, 15)
# Debian 12 has 3.11.2, also as a debug build.
EARLY_311 = sys.version_info < (3, 11, 7)
DEBUG_PYTHON = hasattr(sys, "gettotalrefcount")

# Long enough for a busy machine; only a failing test waits that long.
PATIENCE = 10


@dataclass(frozen=True)
class Implementation:
    """One of the loops under test, with what belongs to it.

    Anything of asyncio's that cloop has too (Future, Task, gather, wait...) is an attribute.
    """

    name: str
    module: ModuleType

    @property
    def is_cloop(self) -> bool:
        """For the few bodies that must tell them apart."""
        return self.name == "cloop"

    @property
    def loop_type(self) -> type[asyncio.AbstractEventLoop]:
        """The class of its loops."""
        return self.module.Loop if self.is_cloop else asyncio.SelectorEventLoop

    def __getattr__(self, name: str) -> object:
        return getattr(self.module, name)


def load_implementation(name: str) -> Implementation:
    """The implementation of that name; ImportError where it is not installed."""
    return Implementation(name, importlib.import_module(name))


# ---- Driving a loop


def run_turn(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop take one turn."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def run_for(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Let the loop run for a while, and then for as many turns as it takes what has come by then to be seen.

    On a busy machine the while may be over before the loop has looked for the first time.
    """

    def end(turns: int) -> None:
        if turns:
            loop.call_soon(end, turns - 1)
        else:
            loop.stop()

    timer = loop.call_later(seconds, end, 3)
    try:
        loop.run_forever()
    finally:
        timer.cancel()


async def settle(turns: int = 5) -> None:
    """Give what is ready, and what it makes ready, time to run."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def beside_another(callback: Callable[..., object], *args: object) -> None:
    """Run a callback in a turn in which another one follows it."""
    loop = asyncio.get_running_loop()
    loop.call_soon(callback, *args)
    loop.call_soon(int)
    await settle(2)


async def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return once the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        await asyncio.sleep(0.001)


# ---- Resources


def unignore_signals() -> None:
    """Handle as usual what nohup or a background shell ignored, which Python leaves so."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGQUIT: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    for signum, handler in usual.items():
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, handler)


def open_fds() -> dict[str, str]:
    """The process's open descriptors, each with what it is open on where the system tells."""
    found = {}
    for fd in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            found[fd] = os.readlink(f"/proc/self/fd/{fd}") if sys.platform == "linux" else ""
    return found


@contextlib.contextmanager
def no_more_descriptors(but: int = 0) -> Iterator[None]:
    """Let this process open none, or so many."""
    lowest_free = [os.dup(0) for _ in range(but + 1)]
    for fd in lowest_free:
        os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def debug_counts() -> dict[str, int] | None:
    """cloop's counts of live objects, if it is loaded and built for that."""
    cloop = sys.modules.get("cloop")
    return cloop._debug_counts() if hasattr(cloop, "_debug_counts") else None


def debug_totals() -> dict[str, int] | None:
    """cloop's counts of work done since the process began, likewise."""
    cloop = sys.modules.get("cloop")
    return cloop._debug_totals() if hasattr(cloop, "_debug_totals") else None


def collect_garbage() -> None:
    """Collect until nothing is left that only a finalizer kept."""
    for _ in range(3):
        if not gc.collect():
            break


@contextlib.contextmanager
def running_thread(target: Callable[..., object], *args: object) -> Iterator[threading.Thread]:
    """A thread that must have ended when the block is left; its exception fails the test."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            target(*args)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the thread did not end"
        if failures:
            raise failures[0]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets, both non-blocking: the connecting and the accepted one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connecting = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    connecting.setblocking(False)
    accepted.setblocking(False)
    return connecting, accepted


def unused_port() -> int:
    """A TCP port that nothing listened on a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
