"""uvloop in a process where cloop was asked for: it runs, as its program wants, and that is told."""

import os
import signal
from pathlib import Path

import pytest

import cloop
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


# Where uvloop was imported before cloop was asked for.
EARLIER_WAYS = {
    "uvloop.install(); asyncio.run(main())": "leave out what sets uvloop.EventLoopPolicy",
    "uvloop.install(); asyncio.new_event_loop().run_until_complete(main())": "leave out what sets uvloop",
    "uvloop.run(main())": "cloop.run() in the place of uvloop.run()",
    "with asyncio.Runner(loop_factory=uvloop.new_event_loop) as it: it.run(main())": "loop_factory=cloop",
    "import anyio; anyio.run(main, backend_options={'use_uvloop': True})": "without use_uvloop",
    "it = uvloop.new_event_loop(); asyncio.set_event_loop(it); it.run_until_complete(main())": "loop_factory",
}


@pytest.mark.parametrize("way", EARLIER_WAYS)
def test_imported_before_cloop_was_installed(tmp_path, way):
    text = f"{PRELUDE}import cloop\ncloop.install()\n{way}\n{way}\n"
    (tmp_path / "program.py").write_text(text)
    result = run_python("program.py", cwd=tmp_path)
    assert (result.stdout, result.returncode) == ("uvloop\n" * 2, 0)
    (line,) = result.stderr.splitlines()
    place = "" if "anyio" in way else f"{tmp_path}/program.py, line 11), although "
    assert line.startswith(f"cloop: uvloop.Loop runs here ({place}")
    assert EARLIER_WAYS[way] in line


@pytest.mark.parametrize("way", EARLIER_WAYS)
def test_imported_by_sitecustomize(tmp_path, way):
    (tmp_path / "sitecustomize.py").write_text("import uvloop\n")
    (tmp_path / "program.py").write_text(f"{PRELUDE}{way}\n")
    paths = os.pathsep.join([str(tmp_path), str(Path(cloop.__file__).resolve().parents[1])])
    result = run_python("-m", "cloop", "program.py", cwd=tmp_path, PYTHONPATH=paths)
    assert (result.stdout, result.returncode) == ("uvloop\n", 0)
    (line,) = result.stderr.splitlines()
    assert EARLIER_WAYS[way] in line


@pytest.mark.parametrize(
    "text",
    [
        "uvloop.new_event_loop().close(); asyncio.run(main())",
        "asyncio.set_event_loop(uvloop.new_event_loop()); asyncio.run(main())",
        "loop = uvloop.new_event_loop(); loop.close(); asyncio.set_event_loop(loop); asyncio.run(main())",
    ],
)
def test_one_that_does_not_run(tmp_path, text):
    (tmp_path / "program.py").write_text(f"{PRELUDE}import cloop\ncloop.install()\n{text}\n")
    result = run_python("program.py", cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("cloop.loop\n", "")


@needs("uvicorn")
def test_uvicorns_workers(tmp_path):
    """It is told by one of them."""
    (tmp_path / "app.py").write_text(APP)
    command = ["-m", "cloop", "-m", "uvicorn", "app:app", "--port", unused_port(), "--workers", "3"]
    with running_python(*command, cwd=tmp_path) as process:
        output = "".join(read_until(process, "Application startup complete") for _ in range(3))
        process.send_signal(signal.SIGINT)
        output += rest_of(process)[1]
    assert len([line for line in output.splitlines() if line.startswith("cloop: ")]) == 1


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
