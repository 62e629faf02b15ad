"""What a type checker makes of programs that use cloop. Checked by mypy and never run."""

import asyncio
from collections.abc import Coroutine
from typing import Any, assert_type

import cloop


async def number() -> int:
    return 1


async def text() -> str:
    return ""


async def functions() -> None:
    assert_type(await cloop.gather(number(), text()), tuple[int, str])
    assert_type(await cloop.wait_for(number(), 1), int)
    assert_type(await cloop.shield(text()), str)
    task = asyncio.create_task(number())
    done, _ = await cloop.wait([task], timeout=1, return_when=cloop.FIRST_COMPLETED)
    assert_type(done, set[asyncio.Task[int]])


async def futures_and_tasks() -> None:
    future: cloop.Future[int] = cloop.Future()
    future.set_result(1)
    their_future: asyncio.Future[int] = future
    assert_type(await their_future, int)
    task = cloop.Task(text(), name="text")
    their_task: asyncio.Task[str] = task
    assert_type(await their_task, str)
    assert_type(task.get_name(), str)


async def streams() -> None:
    reader, writer = await cloop.open_connection("localhost", 80, limit=1000, ssl=True)
    assert_type(reader, asyncio.StreamReader)
    assert_type(writer, asyncio.StreamWriter)
    assert_type(
        await cloop.open_unix_connection("/socket"), tuple[asyncio.StreamReader, asyncio.StreamWriter]
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())

    def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert_type(await cloop.start_server(serve, ["localhost"], 80, backlog=10), asyncio.Server)
    assert_type(await cloop.start_unix_server(refuse, "/socket"), asyncio.Server)


async def connections(loop: cloop.Loop) -> None:
    transport, protocol = await loop.create_connection(asyncio.Protocol, "localhost", 80)
    assert_type(transport, asyncio.Transport)
    assert_type(protocol, asyncio.Protocol)
    server = await loop.create_server(asyncio.Protocol, port=80)
    assert_type(server, asyncio.Server)


def loops(main: Coroutine[Any, Any, str]) -> None:
    assert_type(cloop.run(main), str)
    with asyncio.Runner(loop_factory=cloop.new_event_loop) as runner:
        assert_type(runner.run(main), str)
    loop: asyncio.AbstractEventLoop = cloop.Loop()
    asyncio.set_event_loop(loop)
    assert_type(cloop.new_event_loop().run_in_executor(None, len, "text"), asyncio.Future[int])
    cloop.new_event_loop().call_soon(len, 3)  # type: ignore[arg-type]  # and so arguments are checked
