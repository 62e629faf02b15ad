"""asyncpg and a real PostgreSQL."""

import asyncio
import datetime

import pytest

from tests.net.tls import client_context
from tests.support import wait_until

asyncpg = pytest.importorskip("asyncpg", reason="not installed: asyncpg")


@pytest.fixture
def connect(postgresql):
    """Connects to the tests' database, by TCP unless a host is given."""

    def connecting(function=asyncpg.connect, host="127.0.0.1", ssl=False, **options):
        return function(
            host=host, port=postgresql.port, user="cloop", database="cloop", ssl=ssl, timeout=10, **options
        )

    return connecting


def test_values_of_many_types(run, connect):
    async def main():
        connection = await connect()
        row = await connection.fetchrow(
            "SELECT $1::bigint, $2::text, $3::bytea, $4::timestamptz, $5::int[]", *values
        )
        await connection.close()
        return tuple(row)

    moment = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)
    values = (-(2**63), "naïve", bytes(range(256)) * 1000, moment, [1, None, 3])
    assert run(main()) == values


def test_tls_and_unix_sockets(run, connect, postgresql):
    question = (
        "SELECT ssl, client_addr IS NULL FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE pid = pg_backend_pid()"
    )

    async def main():
        found = []
        for options in ({"ssl": client_context()}, {"host": str(postgresql.folder)}):
            connection = await connect(**options)
            found.append(tuple(await connection.fetchrow(question)))
            text = "x" * 3_000_000
            assert await connection.fetchval("SELECT $1::text || 'y'", text) == text + "y"
            await connection.close()
        return found

    assert run(main()) == [(True, False), (False, True)]


def test_a_pool_with_more_callers_than_connections(run, connect):
    async def work(pool, number):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_sleep(0.001)")
            return await connection.fetchval("SELECT $1::int + 1", number)

    async def main():
        async with connect(asyncpg.create_pool, min_size=1, max_size=5) as pool:
            return await asyncio.gather(*(work(pool, number) for number in range(100)))

    assert run(main()) == list(range(1, 101))


def test_copy_cursor_and_rollback(run, connect):
    async def main():
        connection = await connect()
        await connection.execute("CREATE TEMP TABLE numbers (number int, text text)")
        rows = [(number, f"text {number}") for number in range(5000)]
        await connection.copy_records_to_table("numbers", records=rows)
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("DELETE FROM numbers")
                await connection.execute("SELECT 1 / 0")
        async with connection.transaction():
            found = [tuple(row) async for row in connection.cursor("SELECT * FROM numbers", prefetch=100)]
        assert found == rows
        chunks = []

        async def keep(chunk):
            chunks.append(chunk)

        await connection.copy_from_query("SELECT number FROM numbers ORDER BY 1", output=keep)
        await connection.close()
        return b"".join(chunks).splitlines()

    assert run(main()) == [b"%d" % number for number in range(5000)]


def test_notifications(run, connect):
    async def main():
        listening, speaking = await connect(), await connect()
        heard = []
        await listening.add_listener("news", lambda *what: heard.append(what[3]))
        for number in range(50):
            await speaking.execute(f"NOTIFY news, '{number}'")
        await wait_until(lambda: len(heard) == 50)
        await listening.close()
        await speaking.close()
        return heard

    assert run(main()) == [str(number) for number in range(50)]


def test_time_outs_and_cancelled_queries(run, connect):
    async def main():
        connection = await connect()
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetchval("SELECT pg_sleep(30)", timeout=0.05)
        waiting = asyncio.create_task(connection.fetchval("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        answer = await connection.fetchval("SELECT 'alive'")
        await connection.close()
        return answer

    assert run(main()) == "alive"


def test_a_connection_that_the_server_ends(run, connect):
    async def main():
        victim, other = await connect(), await connect()
        waiting = asyncio.create_task(victim.execute("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.05)
        await other.execute("SELECT pg_terminate_backend($1)", victim.get_server_pid())
        with pytest.raises(asyncpg.ConnectionDoesNotExistError) as caught:
            await waiting
        assert isinstance(caught.value.__cause__, asyncpg.AdminShutdownError)
        await wait_until(victim.is_closed)
        await other.close()

    run(main())
