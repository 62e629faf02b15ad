"""CLOOP_TASKS=asyncio: a loop's tasks are asyncio's own, for tools that know no others."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
import cloop

kinds = {}

def note(name):
    task = asyncio.current_task()
    assert task in asyncio.all_tasks()
    kinds[name] = f"{type(task).__module__}.{type(task).__name__}"

async def child(name):
    note(name)
    await asyncio.sleep(0)
    note(name)
    return name

async def serve(reader, writer):
    note("client of a server")
    writer.write(await reader.readline())
    writer.close()

async def main():
    loop = asyncio.get_running_loop()
    assert loop.get_task_factory() is None
    note("main")
    await loop.create_task(child("create_task"), name="named")
    await asyncio.gather(child("asyncio.gather"), child("another"))
    await cloop.gather(child("cloop.gather"))
    await asyncio.wait_for(asyncio.ensure_future(child("ensure_future")), 10)
    async with asyncio.TaskGroup() as group:
        group.create_task(child("a group"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"line\\n")
    assert await reader.readline() == b"line\\n"
    writer.close()
    server.close()
    await server.wait_closed()
    call = asyncio.run_coroutine_threadsafe(child("another thread"), loop)
    await asyncio.wrap_future(call)
    task = loop.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel("enough")
    try:
        await task
    except asyncio.CancelledError as error:
        assert error.args == ("enough",)
    if hasattr(asyncio, "eager_task_factory"):
        loop.set_task_factory(asyncio.eager_task_factory)
        await loop.create_task(child("eager"))
    return len(kinds)

with asyncio.Runner(loop_factory=cloop.new_event_loop) as runner:
    count = runner.run(main())
assert count >= 9, kinds
print(*sorted(set(kinds.values())))
"""


@pytest.mark.parametrize(
    ("value", "kind"),
    [("asyncio", "_asyncio.Task"), ("cloop", "cloop.aio.task.Task")],
    ids=["asyncio", "cloop"],
)
def test_every_task(value, kind):
    """The main one, too."""
    environment = {**os.environ, "CLOOP_TASKS": value, "PYTHONASYNCIODEBUG": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    kinds = {kind, "_asyncio.Task"} if value == "cloop" and sys.version_info >= (3, 12) else {kind}
    assert (done.stdout.split(), done.stderr) == (sorted(kinds), "")
