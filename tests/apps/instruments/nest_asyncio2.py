"""nest_asyncio2: says of cloop's loop that it can't patch it, and then the program goes on."""

import asyncio

import nest_asyncio2

from tests.apps.instruments.start import run


async def child():
    await asyncio.sleep(0.001)
    return 5


async def main():
    loop = asyncio.get_running_loop()
    try:
        nest_asyncio2.apply()
        print(loop.run_until_complete(child()))
    except ValueError as error:
        print(error)
    task = asyncio.create_task(child())
    print(await asyncio.gather(task, child()), await asyncio.wait_for(child(), 1))
    print(await asyncio.shield(child()), len(asyncio.all_tasks()))
    process = await asyncio.create_subprocess_exec("true")
    print(await process.wait(), await asyncio.to_thread(lambda: 3))


run(main())
