"""An ASGI application that hashes for a while before it answers: ROUNDS in the environment says how long."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

ROUNDS = int(os.environ.get("ROUNDS", "0"))
BODY = b"Hello, world!"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Work, and answer."""
    if ROUNDS:
        hashlib.pbkdf2_hmac("sha256", BODY, b"salt", ROUNDS)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
