"""A bare ASGI application: uvicorn examples.asgi:app --loop cloop:new_event_loop"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer every request with the name of the loop that runs it."""
    assert scope["type"] == "http"
    body = f"hello from {type(asyncio.get_running_loop()).__module__}\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
