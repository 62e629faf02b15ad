"""Children, by streams and by protocols."""

import asyncio
import contextlib
import signal
from asyncio.subprocess import DEVNULL, PIPE

from tests.processes.recorder import Recorder
from tests.support import Implementation

from .scenarios import scenario


@scenario
async def communicated(impl: Implementation) -> None:
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert await child.communicate(b"data") == (b"data", b"")
    child = await asyncio.create_subprocess_shell("echo data; exit 3", stdout=PIPE)
    assert await child.stdout.read() == b"data\n"
    assert await child.wait() == 3


@scenario
async def killed(impl: Implementation) -> None:
    child = await asyncio.create_subprocess_exec("sleep", "1000", stdin=DEVNULL)
    waiting = asyncio.ensure_future(child.wait())
    await asyncio.sleep(0)
    child.send_signal(signal.SIGTERM)
    assert await waiting == -signal.SIGTERM
    with contextlib.suppress(ProcessLookupError):
        child.kill()


@scenario
async def never_started(impl: Implementation) -> None:
    with contextlib.suppress(FileNotFoundError):
        await asyncio.create_subprocess_exec("no such program", stdin=PIPE, stdout=PIPE)
    with contextlib.suppress(FileNotFoundError):
        await asyncio.create_subprocess_exec("cat", cwd="/no such folder")
    with contextlib.suppress(ValueError):
        await asyncio.create_subprocess_exec("cat", bufsize=5)


@scenario
async def with_a_protocol(impl: Implementation) -> None:
    transport, protocol = await asyncio.get_running_loop().subprocess_exec(Recorder, "cat", stderr=None)
    transport.get_pipe_transport(0).write(b"data")
    transport.get_pipe_transport(0).write_eof()
    await protocol.over
    assert protocol.data(1) == b"data"
    transport.close()


@scenario
async def closed_while_it_runs(impl: Implementation) -> None:
    transport, protocol = await asyncio.get_running_loop().subprocess_exec(Recorder, "sleep", "1000")
    transport.close()
    await protocol.over
