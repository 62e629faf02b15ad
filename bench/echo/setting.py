"""One echo measurement's conditions, and the two processes it takes: a server and the load generator."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..servers import output_of, running, told
from .build import load_command, program

T = TypeVar("T")

FLOOR = "C"  # the name of the bare C server, beside those of the loops
PEM = Path(__file__).with_name("certificate.pem")  # for localhost, signed by itself, an ECDSA key
GRACE_S = 15  # beyond its own time, until the load generator is taken to hang


def servers_of(loops: list[str], *, tls: bool) -> list[str]:
    """The servers to measure: the floor, where it can be had, and one for each loop."""
    return [*([FLOOR] if program("server", tls=tls) else []), *loops]


@dataclass(frozen=True)
class Setting:
    """What is the same for every server in a run."""

    mode: str
    size: int
    connections: int
    unix: bool
    idle: int
    floods: int
    reconnect: bool
    tls: bool
    resume: bool
    server_core: int | None
    load_core: int | None

    def server_command(self, name: str, address: str) -> list[str]:
        """The command that serves `address` with the loop called `name`, or with the C server."""
        if name == FLOOR:
            return [*program("server", tls=self.tls), address, *([str(PEM)] if self.tls else [])]
        command = [sys.executable, "-m", f"{__package__}.server", "--loop", name, "--mode", self.mode]
        return [*command, *(["--tls", str(PEM)] if self.tls else []), address]

    @contextmanager
    def server(self, name: str, wrap: tuple[str, ...] = ()) -> Iterator[tuple[str, int]]:
        """A server while the block lasts: its address and its pid; `wrap` goes before its command."""
        with ExitStack() as stack:
            asked = "udp:0" if self.mode == "udp" else "0"
            if self.unix:
                asked = f"unix:{stack.enter_context(tempfile.TemporaryDirectory())}/echo"
            command = [*wrap, *self.server_command(name, asked)]
            facts = told(stack.enter_context(running(command, self.server_core)))
            yield asked if self.unix else asked.removesuffix("0") + str(facts["port"]), facts["pid"]

    def with_server(self, name: str, use: Callable[[str, int], T], wrap: tuple[str, ...] = ()) -> T:
        """Start a server, return use(its address, its pid), end it."""
        with self.server(name, wrap) as (address, pid):
            return use(address, pid)

    def load(self, address: str, *limits: str, time_limit_s: float) -> dict[str, float]:
        """Run the load generator, for as long as its options `limits` say, and return its figures."""
        command = [*load_command(tls=self.tls), "-c", str(self.connections), "-s", str(self.size)]
        # Python's load generator knows only what is always asked for.
        command += [
            *(["-i", str(self.idle)] if self.idle else []),
            *(["-f", str(self.floods)] if self.floods else []),
            *(["-r"] if self.reconnect else []),
            *(["-t"] if self.resume else []),
            *limits,
            address,
        ]
        printed = output_of(command, self.load_core, time_limit_s, "the load")
        figures: dict[str, float] = json.loads(printed)
        return figures
