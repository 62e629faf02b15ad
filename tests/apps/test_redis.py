"""redis-py and a real Redis."""

import asyncio

import pytest

from tests.support import wait_until

pytest.importorskip("redis", reason="not installed: redis")
from redis import asyncio as redis


@pytest.fixture(params=["tcp", "unix"])
def client(request, run, redis_server):
    """A client of an empty Redis, by either kind of socket."""
    where = {"tcp": f"redis://127.0.0.1:{redis_server.port}", "unix": f"unix://{redis_server.folder}/socket"}
    client = redis.from_url(where[request.param], decode_responses=True)
    run(client.flushall())
    yield client
    run(client.aclose())


def test_commands_at_once(run, client):
    async def main():
        await asyncio.gather(*(client.set(f"key {number}", number) for number in range(50)))
        await asyncio.gather(*(client.incrby("sum", number) for number in range(50)))
        return await client.get("sum"), sorted(await client.mget([f"key {number}" for number in range(50)]))

    assert run(main()) == (str(sum(range(50))), sorted(map(str, range(50))))


def test_large_values_and_pipelines(run, client):
    async def main():
        await client.set("large", "x" * 5_000_000)
        assert await client.strlen("large") == 5_000_000
        async with client.pipeline(transaction=True) as pipeline:
            for number in range(1000):
                pipeline.rpush("list", number)
            pipeline.get("large")
            *_, large = await pipeline.execute()
        return len(large), await client.lrange("list", 0, -1)

    assert run(main()) == (5_000_000, list(map(str, range(1000))))


def test_publish_and_subscribe(run, client):
    async def main():
        heard = []

        async def listen(channel):
            async for message in channel.listen():
                if message["type"] == "message":
                    heard.append(message["data"])

        async with client.pubsub() as channel:
            await channel.subscribe("news")
            listening = asyncio.create_task(listen(channel))
            await wait_until(lambda: channel.subscribed)
            while not await client.publish("news", "0"):
                await asyncio.sleep(0.01)
            for number in range(1, 100):
                await client.publish("news", number)
            await wait_until(lambda: len(heard) == 100)
            listening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listening
        return heard

    assert run(main()) == list(map(str, range(100)))


def test_waiting_for_an_element(run, client):
    async def main():
        waiting = asyncio.create_task(client.blpop("queue", timeout=10))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await client.rpush("queue", "element")
        assert await waiting == ["queue", "element"] or waiting.result() == ("queue", "element")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.blpop("queue", timeout=10), 0.05)
        return await client.ping()

    assert run(main())
