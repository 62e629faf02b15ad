"""The pages on servers: each line that starts one is run as it stands there, with a port of its own.

On asyncio too, with what the line says about cloop taken out.
"""

import contextlib
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import PATIENCE, unused_port
from tests.system.processes import environment

from .documents import DOCS, lines, programs, write_programs
from .servers import get, load

PAGES = sorted(path.stem for path in (DOCS / "servers").glob("*.md") if path.stem != "index")
LINES = [(page, line) for page in PAGES for line in lines(f"servers/{page}.md")]

# How a server is told its port; programs have it in their text.
PORT_OPTIONS = {
    "uvicorn": "--port {}",
    "gunicorn": "-b 127.0.0.1:{}",
    "hypercorn": "-b 127.0.0.1:{}",
    "granian": "--port {}",
    "sanic": "--port {}",
}
PORT = "8000"

# What a line or a program says about cloop, and what it would say without.
WITHOUT_CLOOP = {
    "--loop cloop:new_event_loop": "--loop asyncio",
    'loop="cloop:new_event_loop"': 'loop="asyncio"',
    "python -m cloop ": "python ",
    "cloop.gunicorn.ASGIWorker": "asgi --asgi-loop asyncio",
    # The one of uvicorn's workers that does not prefer uvloop.
    "cloop.gunicorn.UvicornWorker": "uvicorn_worker.UvicornH11Worker",
    "cloop.gunicorn.AiohttpWorker": "aiohttp.GunicornWebWorker",
    "cloop.gunicorn.TornadoWorker": "tornado",
    "import cloop\n": "import asyncio as cloop\n",
}

MODULES = {"ASGIWorker": ["gunicorn"], "UvicornWorker": ["gunicorn", "uvicorn_worker"]}
LOOPS = {"asyncio": b"hello from asyncio.unix_events", "cloop": b"hello from cloop.loop"}
START_SECONDS = 30
OUTPUT_CHARACTERS = 5000


@dataclass
class Running:
    """A server that was started by a line."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    def output(self) -> str:
        """The end of what it has written, which may be a line for each request."""
        return (self.folder / "output").read_text()[-OUTPUT_CHARACTERS:]


def packages(page: str, line: str) -> set[str]:
    """What a line needs to be installed, apart from Python and cloop."""
    words = shlex.split(line)
    named = {word for word in words if word in PORT_OPTIONS}
    worker = next((modules for name, modules in MODULES.items() if name in line), [])
    imported = {
        word
        for text in programs(f"servers/{page}.md").values()
        for statement in text.splitlines()
        if statement.startswith(("import ", "from "))
        for word in [statement.split()[1].split(".")[0]]
    }
    return (named | imported | set(worker)) - {"app", "cloop"}


def without_cloop(text: str) -> str:
    for ours, theirs in WITHOUT_CLOOP.items():
        text = text.replace(ours, theirs)
    return text


@contextlib.contextmanager
def started(command: str, folder: Path, url: str) -> Iterator[Running]:
    """A server that answers, run with this interpreter's programs before all others."""
    # A virtualenv's interpreter is a link out of it.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            shlex.split(command),
            cwd=folder,
            env=environment(PATH=path),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Running(process, url, folder)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(text: bytes, server: Running, meanwhile: Callable[[], object] | None = None) -> None:
    """Until the server's answer has the text in it; `meanwhile` is called every two seconds."""
    deadline = time.monotonic() + START_SECONDS
    due = time.monotonic() + 2
    answer = b""
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"it has ended: {server.output()}"
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            answer = get(server.url)
            if text in answer:
                return
        if meanwhile is not None and time.monotonic() > due:
            meanwhile()
            due += 2
        time.sleep(0.05)
    raise AssertionError(f"no {text!r} in {answer!r}; {server.output()}")


@pytest.fixture
def server(request, impl, tmp_path):
    """The server that a line starts, and its URL; it has answered."""
    page, line = request.param
    missing = [name for name in sorted(packages(page, line)) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    port = unused_port()
    changes = {PORT: str(port)} | ({} if impl.is_cloop else WITHOUT_CLOOP)
    write_programs(f"servers/{page}.md", tmp_path, changes)
    words = [word for word in shlex.split(line) if word in PORT_OPTIONS]
    command = line if impl.is_cloop else without_cloop(line)
    command += "".join(" " + PORT_OPTIONS[word].format(port) for word in words[:1])
    with started(command, tmp_path, f"http://127.0.0.1:{port}/") as running:
        wait_for(LOOPS[impl.name], running)
        yield running


def end(server: Running, number: int) -> str:
    """End the server as an operator does; returns what it has written."""
    server.process.send_signal(number)
    try:
        code = server.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it does not end: {server.output()}") from None
    assert code in (0, -number, 128 + number), server.output()
    return server.output()


def each_line(*, reloading: bool) -> pytest.MarkDecorator:
    """Run a test with the servers of all lines, those that reload or the others."""
    chosen = [(page, line) for page, line in LINES if ("--reload" in line) == reloading]
    return pytest.mark.parametrize("server", chosen, indirect=True, ids=lambda each: each[1])


@each_line(reloading=False)
def test_under_load(server):
    assert load(server.url) > 100
    assert "Traceback" not in end(server, signal.SIGTERM)


@each_line(reloading=True)
def test_reload(server):
    program = server.folder / "app.py"
    # Of another length: by its second and its size a file is known to have changed.
    program.write_text(program.read_text().replace("hello from", "welcome, says"))
    # What a reloader sees at its first look, some time after the server answers, it takes for what was
    # there before. So the file is saved again while nothing happens.
    wait_for(b"welcome, says", server, meanwhile=program.touch)
    assert "Traceback" not in end(server, signal.SIGINT)


def test_there_are_lines():
    assert len(LINES) > 20
    assert {page for page, _ in LINES} == set(PAGES)
