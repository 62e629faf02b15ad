"""Servers under measurement: started on a core of their own, ended again, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from .machine import pin

# Where children start: in the checkout, whose packages they find there; an installed one is found anyway, and
# site-packages must not come before the standard library.
ROOT = Path(__file__).resolve().parent.parent if __package__ == "bench" else None
START_S = 15
END_S = 3

T = TypeVar("T")


class Failed(Exception):
    """A server or its load did not do what it was started for; the message is the reason, in one line."""


def last_line(log: IO[str]) -> str:
    """The last line written to a program's error output; it is where Python names the exception."""
    log.seek(0)
    lines = log.read().strip().splitlines()
    return lines[-1] if lines else "no message"


def pinned_to(core: int | None) -> Callable[[], None]:
    """For `preexec_fn`; safe, since no program of this folder starts a process while it has threads."""
    return partial(pin, core)


def output_of(command: list[str], core: int | None, time_limit_s: float, what: str) -> str:
    """What a program prints that runs on a core of its own, `what` in messages. Raises Failed."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=time_limit_s,
            preexec_fn=pinned_to(core),
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{what} did not end in time") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failed(f"{what}: {said[-1] if said else f'ended with {done.returncode}'}")
    return done.stdout


def end(process: subprocess.Popen[str]) -> None:
    """Ask the process, and what it has started, to end; kill it when it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
            return


@contextmanager
def running(command: list[str], core: int | None) -> Iterator[subprocess.Popen[str]]:
    """A server process on `core` until the block is left.

    A Failed from within the block gets the last line of what the server said on its error output.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # a group of its own, so that strace and the server it runs end together
            preexec_fn=pinned_to(core),
        )
        try:
            yield process
        except Failed as failure:
            raise Failed(f"{failure} (server: {last_line(log)})") from failure
        finally:
            end(process)
            assert process.stdout is not None
            process.stdout.close()


def told(process: subprocess.Popen[str]) -> dict[str, int]:
    """The line of JSON in which a server tells its pid and port; waits for it."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise Failed("the server did not start")
    facts: dict[str, int] = json.loads(line)
    return facts


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(process: subprocess.Popen[str], port: int) -> None:
    """Wait until the process accepts connections on `port`."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed("the server did not start")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Failed(f"the server does not listen after {START_S} s")


def in_turn(names: list[str], rounds: int, once: Callable[[str], T]) -> dict[str, list[T]]:
    """once(name) for every name, round after round; a name that fails is reported and then left out."""
    results: dict[str, list[T]] = {name: [] for name in names}
    left = list(names)
    for _ in range(rounds):
        for name in list(left):
            try:
                results[name].append(once(name))
            except Failed as failure:
                print(f"note: {name}: {failure}", file=sys.stderr)
                left.remove(name)
        left = left[1:] + left[:1]  # so that nobody always comes after the same one
    return results


@contextmanager
def all_running(
    names: list[str], start: Callable[[str], AbstractContextManager[T]]
) -> Iterator[dict[str, T]]:
    """What start(name) gives for every name, all at once; a name that fails is reported and left out.

    An idle server costs nothing, and servers that live side by side can be measured in short turns, so
    that what else the machine does falls on all of them alike.
    """
    with ExitStack() as stack:
        servers = {}
        for name in names:
            try:
                servers[name] = stack.enter_context(start(name))
            except Failed as failure:
                print(f"note: {name}: {failure}", file=sys.stderr)
        yield servers


def paired(rates: dict[str, list[float]], name: str, reference: str) -> float | None:
    """The median, over the rounds, of a rate over that of `reference` in the same round."""
    pairs = zip(rates.get(name, []), rates.get(reference, []), strict=False)
    ratios = [rate / other for rate, other in pairs if other > 0]
    return statistics.median(ratios) if ratios else None


def against_peers(
    rates: dict[str, list[float]],
    name: str,
    peers: Iterable[str],
    best: Callable[[Iterable[float]], float] = min,
) -> float | None:
    """The paired ratio to the best of the peers: of rates the least one, of costs (max) the greatest."""
    ratios = [ratio for peer in peers if (ratio := paired(rates, name, peer)) is not None]
    return best(ratios) if ratios else None
