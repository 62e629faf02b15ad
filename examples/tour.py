"""A tour of asyncio: serves and calls itself over TCP, sets timers, uses threads, and says so.

An ordinary asyncio program, which has never heard of cloop:

    python -m cloop examples/tour.py
    python examples/tour.py             # the same on asyncio's own loop
"""

import asyncio
import hashlib
import time

CLIENTS = 100
REQUESTS = 20
TIMERS_MS = (30, 10, 20)
BLOCK = bytes(8 * 1024 * 1024)
BLOCKS = 4


def say(topic: str, text: str) -> None:
    """Print one line of the report."""
    print(f"{topic:<9} {text}")


# ---- TCP


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server's side of a connection: send every line back in capitals."""
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def ask(number: int, port: int) -> int:
    """A client: ask one thing after another, and return how many answers were right."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    right = 0
    for request in range(REQUESTS):
        text = f"client {number}, request {request}\n"
        writer.write(text.encode())
        right += await reader.readline() == text.upper().encode()
    writer.close()
    await writer.wait_closed()
    return right


async def talk() -> None:
    """Serve, and be served, in one loop."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=CLIENTS)
    async with server:
        port = server.sockets[0].getsockname()[1]
        begin = time.perf_counter()
        right = await asyncio.gather(*(ask(number, port) for number in range(CLIENTS)))
        seconds = time.perf_counter() - begin
    say("tcp", f"{CLIENTS} clients got {sum(right)} right answers in {seconds:.3f} s")


# ---- Timers


async def set_timers() -> None:
    """Set timers in any order; they fire in the order of their time, unless cancelled."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    fired: list[int] = []
    late: list[float] = []

    def fire(ms: int) -> None:
        fired.append(ms)
        late.append((loop.time() - begin) * 1000 - ms)

    for ms in TIMERS_MS:
        loop.call_at(begin + ms / 1000, fire, ms)
    loop.call_later(0.015, fire, 15).cancel()
    await asyncio.sleep((max(TIMERS_MS) + 5) / 1000)
    say("timers", f"fired after {fired} ms, at most {max(late):.2f} ms late")


async def give_up() -> None:
    """A limit of time ends what would take too long."""
    try:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(3600)
    except TimeoutError:
        say("timeout", "an hour's sleep was over after 20 ms")


# ---- Threads


def digest(block: bytes) -> str:
    """Work that would block the loop."""
    return hashlib.sha256(block).hexdigest()


async def use_threads() -> None:
    """Blocking work goes to threads, and the loop runs on meanwhile."""
    loop = asyncio.get_running_loop()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    digests = await asyncio.gather(*(loop.run_in_executor(None, digest, BLOCK) for _ in range(BLOCKS)))
    counting.cancel()
    same = len(set(digests)) == 1 and turns > 0
    say("threads", f"{BLOCKS} digests {'agree' if same else 'differ'}; the loop ran on for {turns} turns")


async def main() -> None:
    """The tour."""
    loop = type(asyncio.get_running_loop())
    say("loop", f"{loop.__module__}.{loop.__qualname__}")
    await talk()
    await set_timers()
    await give_up()
    await use_threads()


if __name__ == "__main__":
    asyncio.run(main())
