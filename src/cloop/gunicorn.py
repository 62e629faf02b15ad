"""Gunicorn's workers with cloop as their event loop: gunicorn -k cloop.gunicorn.ASGIWorker app:app

| worker | what it is | the packages it needs |
|---|---|---|
| `cloop.gunicorn.ASGIWorker` | gunicorn's own `asgi` worker | gunicorn 24 or later |
| `cloop.gunicorn.UvicornWorker` | uvicorn as a worker, for ASGI | gunicorn, uvicorn-worker |
| `cloop.gunicorn.AiohttpWorker` | aiohttp's worker, for `aiohttp.web` | gunicorn, aiohttp |
| `cloop.gunicorn.TornadoWorker` | gunicorn's `tornado` worker | gunicorn, tornado |

Only gunicorn imports this module; a worker's packages are imported when that worker is asked for.
"""

import importlib
from typing import Any

from cloop.runner import make_default

# Each of them makes its loop in a method of its own, but all of them after init_process has begun.
WORKERS = {
    "ASGIWorker": "gunicorn.workers.gasgi:ASGIWorker",
    "UvicornWorker": "uvicorn_worker:UvicornWorker",
    "AiohttpWorker": "aiohttp.worker:GunicornWebWorker",
    "TornadoWorker": "gunicorn.workers.gtornado:TornadoWorker",
}

# The options with which they take the loop that asyncio gives, and no other.
OPTIONS: dict[str, dict[str, str]] = {"ASGIWorker": {"asgi_loop": "asyncio"}}
UVICORN_LOOP = "cloop:new_event_loop"


def __getattr__(name: str) -> type:
    """The worker class of that name, made when gunicorn asks for it."""
    if name not in WORKERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = WORKERS[name].partition(":")
    base = getattr(importlib.import_module(module), attribute)
    worker = new_worker(name, base)
    globals()[name] = worker
    return worker


def new_worker(name: str, base: type) -> type:
    """`base` with cloop as the process's loop, from before the moment when it makes one."""

    def init_process(self: Any) -> None:
        # In the worker's process: the arbiter forks, and needs no loop.
        make_default()
        for option, value in OPTIONS.get(name, {}).items():
            self.cfg.set(option, value)
        base.init_process(self)  # type: ignore[attr-defined]

    namespace: dict[str, Any] = {
        "__doc__": f"{base.__module__}.{base.__qualname__} on cloop.",
        "__module__": __name__,
        "init_process": init_process,
    }
    if hasattr(base, "CONFIG_KWARGS"):
        namespace["CONFIG_KWARGS"] = {**base.CONFIG_KWARGS, "loop": UVICORN_LOOP}
    return type(name, (base,), namespace)
