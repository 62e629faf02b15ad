"""uvicorn with httptools in a process of its own, as people start it."""

import json
import signal
import textwrap
import urllib.request

import pytest

from tests.apps.servers import load, needs
from tests.support import unused_port
from tests.system.processes import read_until, rest_of, running_python

pytestmark = needs("uvicorn", "httptools")

APP = """
import asyncio, json

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        print("application ended")
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    answer = json.dumps({"loop": loop, "received": len(body)}).encode()
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
"""

LOOP_OPTIONS = {"asyncio": "asyncio", "cloop": "cloop:new_event_loop"}


@pytest.fixture
def server(impl, tmp_path):
    """A uvicorn process that answers, and its URL."""
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    port = unused_port()
    options = ["--loop", LOOP_OPTIONS[impl.name], "--http", "httptools", "--port", port, "--no-access-log"]
    with running_python("-m", "uvicorn", "app:app", *options, cwd=tmp_path) as process:
        read_until(process, "Uvicorn running on")
        yield process, f"http://127.0.0.1:{port}/"


def ask(url, data=None):
    with urllib.request.urlopen(url, data=data, timeout=10) as response:
        return json.load(response)


def test_answers_on_the_loop_that_was_chosen(server, impl):
    _, url = server
    assert ask(url) == {"loop": impl.name, "received": 0}
    assert ask(url, bytes(3_000_000)) == {"loop": impl.name, "received": 3_000_000}


def test_load_and_ctrl_c(server):
    process, url = server
    assert load(url) > 100
    process.send_signal(signal.SIGINT)
    code, output = rest_of(process)
    assert code in (0, -signal.SIGINT)
    assert "application ended" in output
    assert "Finished server process" in output
    assert "Traceback" not in output and "ERROR" not in output


def test_sigterm(server):
    process, url = server
    assert ask(url)["received"] == 0
    process.send_signal(signal.SIGTERM)
    code, output = rest_of(process)
    assert code in (0, -signal.SIGTERM)
    assert "Finished server process" in output and "Traceback" not in output
