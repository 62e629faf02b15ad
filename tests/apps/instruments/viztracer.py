"""viztracer with log_async: which task has called what."""

import asyncio
import collections
import json
import tempfile

from viztracer import VizTracer

from tests.apps.instruments.start import run


def work():
    pass


async def leaf():
    work()
    await asyncio.sleep(0.001)
    work()


async def branch():
    await leaf()


async def main():
    await asyncio.gather(*(asyncio.create_task(branch(), name=f"branch {number}") for number in range(2)))
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(), name="alone")


with tempfile.NamedTemporaryFile(suffix=".json") as file:
    tracer = VizTracer(log_async=True, verbose=0, output_file=file.name)
    tracer.start()
    run(main())
    tracer.stop()
    tracer.save()
    events = json.load(file)["traceEvents"]

threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
calls = collections.Counter(
    f"{threads.get(event['tid'])}: {event['name'].split(' ')[0]}"
    for event in events
    if event["ph"] == "X"
    and __file__ in event["name"]
    and event["name"].split(" ")[0] in ("work", "leaf", "branch")
)
for line in sorted(calls):
    print(line, calls[line])
