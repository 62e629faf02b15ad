"""How a child is started: as subprocess.Popen does it, but without a halt of the loop.

Two things keep a turn short. A start waits for its turn, one in each turn of the loop; the first one of
several begins at once. And where `spawn` can, the loop goes on while the child is on its way to its
program: Popen makes the pipes and starts the child, and whether that could exec is read from its report
when that comes. Elsewhere Popen itself waits for the exec, as in asyncio.

What is made is a subprocess.Popen like any other.

Derived in its rules and messages from CPython's subprocess.py (PSF License Agreement).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

from cloop.api import exits, spawn
from cloop.api.exits import Descriptor

if TYPE_CHECKING:
    from cloop.aio.future import Future
    from cloop.loop import Loop

REPORT_SIZE = 1000
SHELL = "/system/bin/sh" if hasattr(sys, "getandroidapilevel") else "/bin/sh"

# Some programs and tests put another class there, which is to be called.
POPEN = subprocess.Popen
# Whether this version tells a folder that can't be entered from what else goes wrong before an exec.
TELLS_OF_CHDIR = "noexec:chdir" in POPEN._execute_child.__code__.co_consts  # type: ignore[attr-defined]


async def start(loop: Loop, args: Any, **options: Any) -> subprocess.Popen[bytes]:
    """A child that has execed; the arguments are Popen's. Raises what Popen raises.

    Where the waiting task is cancelled, there is no child any more.
    """
    await wait_for_turn(loop)
    if subprocess.Popen is not POPEN or not spawn.CAN_SPAWN:
        return subprocess.Popen(args, **options)
    child = UnseenPopen(args, **options)
    way = child.way
    # From here on it is Popen's own: nobody need know.
    child.__class__ = POPEN  # type: ignore[assignment]
    if way is not None:
        del child.way
        await see_exec(loop, child, way)
    return child


# ---- One in a turn


async def wait_for_turn(loop: Loop) -> None:
    """Return at once if no other child is started in this turn, else when it is one's turn."""
    if loop._starts is None:
        loop._starts = deque()
        loop.call_soon(let_next_start, loop)
        return
    waiter: Future[None] = loop.create_future()
    loop._starts.append(waiter)
    await waiter


def let_next_start(loop: Loop) -> None:
    """Wake the first of those that wait, if any."""
    waiting = loop._starts
    while waiting:
        waiter = waiting.popleft()
        if not waiter.done():
            waiter.set_result(None)
            loop.call_soon(let_next_start, loop)
            return
    loop._starts = None


# ---- A start that is not waited for


@dataclass
class Way:
    """A child's way to its program."""

    start: spawn.Start
    report: Descriptor
    executable: Any
    cwd: Any


class UnseenPopen(subprocess.Popen[bytes]):
    """A Popen that is made before its child has execed; with a way, unless Popen itself has waited."""

    way: Way | None = None

    def _execute_child(self, *parts: Any) -> None:
        args, executable, preexec_fn, close_fds, pass_fds, cwd, env, _, _, shell = parts[:10]
        (p2cread, _, _, c2pwrite, _, errwrite) = pipes = parts[10:16]
        restore_signals, gid, gids, uid, umask, new_session, process_group = parts[16:]
        order = None
        if preexec_fn is gid is gids is uid is None and getattr(subprocess, "_USE_VFORK", True):
            order = prepare(args, executable, shell, cwd, env)
        if order is not None:
            sys.audit("subprocess.Popen", order.executable, order.args, cwd, env)
            settings = (restore_signals, new_session, process_group, umask)
            self.way = order.carry_out(close_fds, pass_fds, (p2cread, c2pwrite, errwrite), settings)
        if self.way is None:
            super()._execute_child(*parts)  # type: ignore[misc]
            return
        self.pid = self.way.start.pid
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


class Order:
    """What a child is to be, also in bytes."""

    def __init__(self, args: Any, executable: Any, shell: bool, cwd: Any, env: Any) -> None:
        if isinstance(args, (str, bytes)):
            args = [args]
        elif isinstance(args, os.PathLike):
            if shell:
                raise TypeError("path-like args is not allowed when shell is true")
            args = [args]
        else:
            args = list(args)
        if shell:
            args = [SHELL, "-c", *args]
            if executable:
                args[0] = executable
        self.args = args
        self.executable = args[0] if executable is None else executable
        self.cwd = cwd
        self.encoded_args = [os.fsencode(each) for each in args]
        self.encoded_cwd = None if cwd is None else os.fsencode(cwd)
        self.environment = None if env is None else [encode_variable(*each) for each in env.items()]
        program = os.fsencode(self.executable)
        if os.path.dirname(program):
            self.programs = [program]
        else:
            # As os.execvp() would.
            self.programs = [
                folder + program if not folder or folder.endswith(b"/") else folder + b"/" + program
                for folder in search_path(env)
            ]

    def carry_out(
        self, close_fds: Any, pass_fds: Any, standard: tuple[int, int, int], settings: tuple[Any, ...]
    ) -> Way | None:
        """Start the child; None where it can't be done in this way, with nothing done."""
        reader, writer = report_pipe()
        try:
            keep = tuple(sorted({*map(int, pass_fds), writer.fd}))
            if keep[0] < 0:
                raise ValueError("bad value(s) in fds_to_keep")
            start = spawn.start(
                self.encoded_args,
                self.programs,
                bool(close_fds),
                keep,
                self.encoded_cwd,
                self.environment,
                *standard,
                writer.fd,
                *settings,
            )
        except (OSError, OverflowError, TypeError, ValueError):
            # Popen itself either can, or says what is wrong in its own words.
            reader.close()
            return None
        finally:
            writer.close()
        return Way(start, reader, self.executable, self.cwd)


def search_path(env: Any) -> list[bytes]:
    """os.get_exec_path, with less effort for the usual environment."""
    if env is not None:
        return [os.fsencode(each) for each in os.get_exec_path(env)]
    return os.fsencode(os.environ.get("PATH", os.defpath)).split(os.fsencode(os.pathsep))


def encode_variable(name: Any, value: Any) -> bytes:
    """A variable of the environment as the kernel has it."""
    encoded = os.fsencode(name)
    if b"=" in encoded:
        raise ValueError("illegal environment variable name")
    return encoded + b"=" + os.fsencode(value)


def prepare(args: Any, executable: Any, shell: bool, cwd: Any, env: Any) -> Order | None:
    """The order, or None where something is wrong with it, which Popen will say in its own words."""
    try:
        return Order(args, executable, shell, cwd, env)
    except Exception:
        return None


def report_pipe() -> tuple[Descriptor, Descriptor]:
    """The two ends of a pipe; the child's is out of the way of its standard descriptors."""
    numbers = os.pipe()
    reader, writer = Descriptor(numbers[0]), Descriptor(numbers[1])
    if writer.fd <= 2:
        low, writer = writer, Descriptor(fcntl.fcntl(writer.fd, fcntl.F_DUPFD_CLOEXEC, 3))
        low.close()
    return reader, writer


async def see_exec(loop: Loop, child: subprocess.Popen[bytes], way: Way) -> None:
    """Return when the child has execed. Raises OSError where it couldn't."""
    waiter: Future[bytes] = loop.create_future()

    def readable() -> None:
        loop.remove_reader(way.report)
        failure = os.read(way.report.fd, REPORT_SIZE)
        way.report.close()
        if failure:
            # It ends at once.
            child.wait()
        way.start.execed()
        if not waiter.done():
            waiter.set_result(failure)

    loop.add_reader(way.report, readable)
    try:
        failure = await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        close_pipes(child)
        with suppress(OSError):
            os.kill(child.pid, SIGKILL)
        if not isinstance(exc, GeneratorExit):
            await exits.wait(loop, child)
        raise
    if failure:
        close_pipes(child)
        raise error_of(failure, way)


def close_pipes(child: subprocess.Popen[bytes]) -> None:
    """Close the parent's ends."""
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def error_of(report: bytes, way: Way) -> OSError:
    """What Popen raises for a report."""
    _, number, stage = report.decode().split(":", 2)
    code = int(number, 16)
    if not stage:
        return OSError(code, os.strerror(code), way.executable)
    if stage == "noexec:chdir" or not TELLS_OF_CHDIR:
        return OSError(code, os.strerror(code), way.cwd)
    return OSError(code, os.strerror(code))
