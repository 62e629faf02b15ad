"""A protocol that notes what it is told, and may act on it."""

import asyncio
from collections.abc import Callable


class Recorder(asyncio.SubprocessProtocol):
    """Notes each call; `acts` maps the name of one to what is then done with the transport."""

    def __init__(self, **acts: Callable[[asyncio.SubprocessTransport], object]) -> None:
        self.acts = acts
        self.calls: list[tuple[object, ...]] = []
        self.over = asyncio.get_running_loop().create_future()

    def note(self, name: str, *args: object) -> None:
        self.calls.append((name, *args))
        if name in self.acts:
            self.acts.pop(name)(self.transport)

    def connection_made(self, transport):
        self.transport = transport
        self.note("connection_made")

    def pipe_data_received(self, fd, data):
        self.note("pipe_data_received", fd, data)

    def pipe_connection_lost(self, fd, exc):
        self.note("pipe_connection_lost", fd, exc)

    def process_exited(self):
        self.note("process_exited", self.transport.get_returncode())

    def connection_lost(self, exc):
        self.note("connection_lost", exc)
        self.over.set_result(None)

    def data(self, fd: int) -> bytes:
        """All that came from a descriptor."""
        return b"".join(
            args[1] for name, *args in self.calls if name == "pipe_data_received" and args[0] == fd
        )

    def names(self) -> list[str]:
        return [name for name, *_ in self.calls]
