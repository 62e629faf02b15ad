"""The wait of whoever has made a transport, until its protocol knows of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import BaseTransport, Future

    from cloop.loop import Loop


class Opening:
    """The waiter that a transport is made with. Whoever makes the transport holds this in its place."""

    __slots__ = ("waiter",)

    # None once the wait is over: where that failed, the exception's traceback refers to the frames of those
    # who waited, and must not keep the exception, nor the connection, alive by way of the waiter.
    waiter: Future[None] | None

    def __init__(self, loop: Loop) -> None:
        self.waiter = loop.create_future()

    async def wait(self, transport: BaseTransport) -> None:
        """Return once connection_made was called; close the transport where that fails or is cancelled."""
        assert self.waiter is not None
        try:
            await self.waiter
        except BaseException:
            transport.close()
            raise
        finally:
            self.waiter = None
