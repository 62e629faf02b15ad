"""ddtrace: spans of tasks are below those in which the tasks were made."""

import asyncio
import logging

from ddtrace import patch
from ddtrace.trace import TraceFilter, tracer

from tests.apps.instruments.start import run

logging.disable(logging.CRITICAL)
spans = []


class Keep(TraceFilter):
    def process_trace(self, trace):
        spans.extend(trace)


async def child(number):
    with tracer.trace(f"child {number}"):
        await asyncio.sleep(0.001)
        if number:
            await asyncio.create_task(child(number - 1))


def called():
    with tracer.trace("called"):
        pass


async def main():
    with tracer.trace("root"):
        await asyncio.gather(child(1), asyncio.create_task(child(1)))
        asyncio.get_running_loop().call_soon(called)
        async with asyncio.TaskGroup() as group:
            group.create_task(child(0))
        await asyncio.to_thread(called)


tracer.configure(trace_processors=[Keep()])
patch(asyncio=True)
run(main())
names = {span.span_id: span.name for span in spans}
for line in sorted(f"{span.name} below {names.get(span.parent_id)}" for span in spans):
    print(line)
