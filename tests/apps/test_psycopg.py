"""psycopg and a real PostgreSQL: libpq's sockets, watched by add_reader and add_writer."""

import asyncio

import pytest

psycopg = pytest.importorskip("psycopg", reason="not installed: psycopg")


@pytest.fixture
def connect(postgresql):
    """Connects to the tests' database, by TCP unless a host is given."""

    def connecting(host="127.0.0.1", **options):
        return psycopg.AsyncConnection.connect(
            host=host, port=postgresql.port, user="cloop", dbname="cloop", autocommit=True, **options
        )

    return connecting


@pytest.mark.parametrize("where", ["tls", "tcp", "unix"])
def test_queries(run, connect, postgresql, where):
    async def main():
        host = str(postgresql.folder) if where == "unix" else "127.0.0.1"
        sslmode = "require" if where == "tls" else "disable"
        async with await connect(host=host, sslmode=sslmode) as connection:
            cursor = await connection.execute("SELECT %s::text, %s::int[]", ["x" * 1_000_000, [1, 2]])
            return await cursor.fetchone()

    assert run(main()) == ("x" * 1_000_000, [1, 2])


def test_many_connections_at_once(run, connect):
    async def one(number):
        async with await connect() as connection:
            cursor = await connection.execute("SELECT pg_sleep(0.01), %s::int", [number])
            return (await cursor.fetchone())[1]

    async def main():
        return await asyncio.gather(*(one(number) for number in range(20)))

    assert run(main()) == list(range(20))


def test_pipeline_and_copy(run, connect):
    async def main():
        async with await connect() as connection:
            await connection.execute("CREATE TEMP TABLE numbers (number int)")
            async with connection.cursor() as cursor:
                async with cursor.copy("COPY numbers FROM STDIN") as copy:
                    for number in range(20_000):
                        await copy.write_row([number])
                async with connection.pipeline():
                    cursors = [await connection.execute("SELECT %s::int", [number]) for number in range(200)]
                assert [(await each.fetchone())[0] for each in cursors] == list(range(200))
                async with cursor.copy("COPY (SELECT * FROM numbers ORDER BY 1) TO STDOUT") as copy:
                    return [row[0] async for row in copy.rows()]

    assert run(main()) == [str(number) for number in range(20_000)]


def test_notifications(run, connect):
    async def main():
        async with await connect() as listening, await connect() as speaking:
            await listening.execute("LISTEN news")
            for number in range(20):
                await speaking.execute(f"NOTIFY news, '{number}'")
            return [notice.payload async for notice in listening.notifies(timeout=10, stop_after=20)]

    assert run(main()) == [str(number) for number in range(20)]


def test_a_cancelled_query(run, connect):
    async def main():
        async with await connect() as connection:
            waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            cursor = await connection.execute("SELECT 'alive'")
            return await cursor.fetchone()

    assert run(main()) == ("alive",)


def test_a_connection_that_the_server_ends(run, connect):
    async def main():
        async with await connect() as victim, await connect() as other:
            waiting = asyncio.create_task(victim.execute("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.05)
            await other.execute("SELECT pg_terminate_backend(%s)", [victim.info.backend_pid])
            with pytest.raises(psycopg.errors.AdminShutdown):
                await waiting
            return victim.closed

    assert run(main())
