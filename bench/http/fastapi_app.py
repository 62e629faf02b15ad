"""Hello world by FastAPI, from an endpoint that is a plain function: anyio runs it in a worker thread."""

from __future__ import annotations

import threading

import fastapi

BODY = {"message": "Hello, world!"}

app = fastapi.FastAPI()
known = threading.local()
threads = 0


@app.get("/")
def hello() -> dict[str, str]:
    """Answer any request with the same few bytes."""
    global threads
    if not hasattr(known, "counted"):
        known.counted = True
        threads += 1
    return BODY


@app.get("/threads")
async def count() -> int:
    """How many threads have run that function until now."""
    return threads
