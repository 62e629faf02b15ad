"""How a child is started: as subprocess.Popen does it, but without a halt of the loop.

Two things keep a turn short. A start waits for its turn, one in each turn of the loop; the first one of
several begins at once. And where `spawn` can, the loop goes on while the child is on its way to its
program: Popen makes the pipes and starts the child, and whether that could exec is read from its report
when that comes. Elsewhere Popen itself waits for the exec, as in asyncio.

What is made is a subprocess.Popen like any other.

Derived in its rules and messages from CPython's subprocess.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import deque
from contextlib import suppress
from errno import ETXTBSY
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

from cloop.api import exits, spawn

if TYPE_CHECKING:
    from cloop.aio.future import Future
    from cloop.loop import Loop


# Some programs and tests put another class there, which is to be called.
POPEN = subprocess.Popen
# Whether this version tells a folder that can't be entered from what else goes wrong before an exec.
TELLS_OF_CHDIR = "noexec:chdir" in POPEN._execute_child.__code__.co_consts  # type: ignore[attr-defined]


async def start(loop: Loop, args: Any, **options: Any) -> tuple[subprocess.Popen[bytes], spawn.Start | None]:
    """A child that has execed, and its start unless Popen itself has waited for it.

    The arguments are Popen's. Raises what Popen raises. Where the waiting task is cancelled, there is no
    child any more.
    """
    if loop._starts is None:
        # No other child is started in this turn.
        loop._starts = deque()
        loop.call_soon(let_next_start, loop)
    else:
        await wait_for_turn(loop)
    # As before a fork (base_loop): the child may write to the same peer.
    loop._send_waiting()
    if subprocess.Popen is not POPEN or not spawn.CAN_SPAWN:
        return subprocess.Popen(args, **options), None
    if hasattr(options.get("pass_fds"), "__next__"):
        # To be read once only, and perhaps needed twice.
        options["pass_fds"] = tuple(options["pass_fds"])
    alone = not loop._under_way
    try:
        child = UnseenPopen(args, **options)
        way = child.way
        # From here on it is Popen's own: nobody need know.
        child.__class__ = POPEN  # type: ignore[assignment]
        if way is None:
            return child, None
        del child.way
        await see_exec(loop, child, *way)
        return child, way[1]
    except OSError as exc:
        # Those that were on their way may have had the program open for writing, as the loop had once.
        if exc.errno != ETXTBSY or alone:
            raise
    await see_others_exec(loop)
    return subprocess.Popen(args, **options), None


# ---- One in a turn


async def wait_for_turn(loop: Loop) -> None:
    """Return when it is one's turn."""
    waiter: Future[None] = loop.create_future()
    loop._starts.append(waiter)  # type: ignore[union-attr]  # seen by the caller
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

NO_PIPES = (-1,) * 6


class UnseenPopen(subprocess.Popen[bytes]):
    """A Popen that is made before its child has execed; with a way to there, unless Popen has waited."""

    way: tuple[spawn.Order, spawn.Start] | None = None

    def _get_handles(self, stdin: Any, stdout: Any, stderr: Any) -> tuple[int, ...]:
        # What Popen makes of it, with less effort.
        if stdin is stdout is stderr is None:
            return NO_PIPES
        pipes: tuple[int, ...] = super()._get_handles(stdin, stdout, stderr)  # type: ignore[misc]
        return pipes

    def _execute_child(self, *parts: Any) -> None:
        args, executable, preexec_fn, close_fds, pass_fds, cwd, env, _, _, shell = parts[:10]
        (p2cread, _, _, c2pwrite, _, errwrite) = pipes = parts[10:16]
        restore_signals, gid, gids, uid, umask, new_session, process_group = parts[16:]
        order = None
        if preexec_fn is None and getattr(subprocess, "_USE_VFORK", True):
            order = prepare(args, executable, shell, cwd, env)
        if order is not None:
            sys.audit("subprocess.Popen", order.executable, order.args, cwd, env)
            settings = (restore_signals, new_session, process_group, umask, gid, gids, uid)
            start = carry_out(order, close_fds, pass_fds, (p2cread, c2pwrite, errwrite), settings)
        if order is None or start is None:
            super()._execute_child(*parts)  # type: ignore[misc]
            return
        if isinstance(order.executable, os.PathLike) and (
            getattr(subprocess, "_USE_POSIX_SPAWN", False)
            and os.path.dirname(order.executable)
            and (not close_fds or getattr(subprocess, "_HAVE_POSIX_SPAWN_CLOSEFROM", False))
            and not (pass_fds or new_session)
            and cwd is None
            and process_group == -1
            and umask < 0
            and gid is gids is uid is None
            and all(fd == -1 or fd > 2 for fd in (p2cread, c2pwrite, errwrite))
        ):
            # Popen would call posix_spawn(3), in whose errors a path is text.
            order.executable = os.fspath(order.executable)
        self.way = order, start
        self.pid = start.pid
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def prepare(args: Any, executable: Any, shell: bool, cwd: Any, env: Any) -> spawn.Order | None:
    """The order, or None where something is wrong with it, which Popen will say in its own words."""
    try:
        return spawn.Order(args, executable, shell, cwd, env)
    except Exception:
        return None


def carry_out(
    order: spawn.Order,
    close_fds: Any,
    pass_fds: Any,
    standard: tuple[int, int, int],
    settings: tuple[Any, ...],
) -> spawn.Start | None:
    """Start the child; None where it can't be done in this way, with nothing done."""
    try:
        return spawn.start(order, close_fds, pass_fds, *standard, *settings)
    except (OSError, OverflowError, TypeError, ValueError):
        # Popen itself either can, or says what is wrong in its own words.
        return None


async def see_exec(
    loop: Loop, child: subprocess.Popen[bytes], order: spawn.Order, start: spawn.Start
) -> None:
    """Return when the child has execed. Raises OSError where it couldn't."""
    waiter: Future[bytes] = loop.create_future()
    report = start.fileno()

    def readable() -> None:
        loop.remove_reader(start)
        others = loop._under_way.pop(report, None)
        if others is not None and not others.done():
            others.set_result(None)
        failure = start.read()
        if failure and not waiter.cancelled():
            # It ends at once.
            child.wait()
            start.ended()
        if not waiter.done():
            waiter.set_result(failure)

    loop.add_reader(start, readable)
    loop._under_way[report] = None
    try:
        failure = await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        close_pipes(child)
        # Else it has failed and is reaped: the PID may be another's.
        if child.returncode is None:
            with suppress(OSError):
                os.kill(child.pid, SIGKILL)
            if not isinstance(exc, GeneratorExit):
                # It is reaped here from now on.
                waiter.cancel()
                await exits.wait(loop, child, start)
        raise
    if failure:
        close_pipes(child)
        raise error_of(failure, order)


async def see_others_exec(loop: Loop) -> None:
    """Return when those children have execed, or ended, that are on their way now.

    They have what the loop had open when they were started, whatever was closed since.
    """
    for report, waiter in loop._under_way.items():
        if waiter is None or waiter.cancelled():
            loop._under_way[report] = loop.create_future()
    waiters = [*filter(None, loop._under_way.values())]
    if waiters:
        await asyncio.wait(waiters)


def close_pipes(child: subprocess.Popen[bytes]) -> None:
    """Close the parent's ends."""
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def error_of(report: bytes, order: spawn.Order) -> OSError:
    """What Popen raises for a report."""
    _, number, stage = report.decode().split(":", 2)
    code = int(number, 16)
    if not stage:
        return OSError(code, os.strerror(code), order.executable)
    if stage == "noexec:chdir" or not TELLS_OF_CHDIR:
        return OSError(code, os.strerror(code), order.cwd)
    return OSError(code, os.strerror(code))
