"""uvloop in a process where cloop was asked for: it runs, as its program wants, and that is told."""

import signal

import pytest

from tests.apps.servers import get, needs
from tests.support import unused_port
from tests.system.processes import read_until, rest_of, run_python, running_python

pytestmark = needs("uvloop")

PRELUDE = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
import uvloop

async def main():
    print(type(asyncio.get_running_loop()).__module__)

"""
# What a program does, and what it is told to do.
WAYS = {
    "uvloop.run(main())": "cloop.run() in the place of uvloop.run()",
    "uvloop.install(); asyncio.run(main())": "leave out what sets uvloop.EventLoopPolicy",
    "loop = uvloop.new_event_loop(); loop.run_until_complete(main()); loop.close()": "loop_factory=cloop",
    "with asyncio.Runner(loop_factory=uvloop.new_event_loop) as it: it.run(main())": "loop_factory=cloop",
}

APP = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    loop = type(asyncio.get_running_loop()).__module__.encode()
    headers = [(b"content-length", b"%d" % len(loop))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": loop})
"""


@pytest.mark.parametrize("way", WAYS)
def test_programs(tmp_path, way):
    (tmp_path / "program.py").write_text(f"{PRELUDE}{way}\n{way}\n")
    result = run_python("-m", "cloop", "program.py", cwd=tmp_path)
    assert (result.stdout, result.returncode) == ("uvloop\n" * 2, 0)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"cloop: uvloop.Loop runs here ({tmp_path}/program.py, line 9), although ")
    assert WAYS[way] in line


def test_a_program_that_imports_it_and_runs_cloop(tmp_path):
    (tmp_path / "program.py").write_text(PRELUDE + "uvloop.new_event_loop().close(); asyncio.run(main())")
    result = run_python("-m", "cloop", "program.py", cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("cloop.loop\n", "")


@needs("anyio")
@pytest.mark.parametrize(("options", "loop"), [({"use_uvloop": True}, "uvloop"), ({}, "cloop.loop")])
def test_anyio(tmp_path, options, loop):
    (tmp_path / "program.py").write_text(
        PRELUDE + f"import anyio\nanyio.run(main, backend_options={options})\n"
    )
    result = run_python("-m", "cloop", "program.py", cwd=tmp_path)
    assert (result.stdout, result.returncode) == (f"{loop}\n", 0)
    assert ('{"loop_factory": cloop.new_event_loop}, without use_uvloop.' in result.stderr) is (
        loop == "uvloop"
    )
    assert len(result.stderr.splitlines()) == (loop == "uvloop")


@needs("uvicorn")
@pytest.mark.parametrize(
    ("options", "loop"),
    [
        ([], "uvloop"),
        (["--loop", "uvloop"], "uvloop"),
        (["--loop", "asyncio"], "asyncio.unix_events"),
        (["--loop", "none"], "cloop.loop"),
        (["--loop", "cloop:new_event_loop"], "cloop.loop"),
    ],
    ids=str,
)
def test_uvicorn(tmp_path, options, loop):
    (tmp_path / "app.py").write_text(APP)
    port = unused_port()
    command = ["-m", "cloop", "-m", "uvicorn", "app:app", "--port", port, *options]
    with running_python(*command, cwd=tmp_path) as process:
        output = read_until(process, "Uvicorn running on")
        assert get(f"http://127.0.0.1:{port}/") == loop.encode()
        process.send_signal(signal.SIGINT)
        output += rest_of(process)[1]
    told = [line for line in output.splitlines() if line.startswith("cloop: ")]
    assert len(told) == (loop != "cloop.loop")
    assert all(line.endswith("To choose cloop: uvicorn's --loop cloop:new_event_loop.") for line in told)
