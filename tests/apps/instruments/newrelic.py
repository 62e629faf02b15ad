"""newrelic: what a transaction's tasks call belongs to it, and nothing is kept of tasks that have ended."""

import asyncio

import newrelic.agent
from newrelic.core.trace_cache import trace_cache

from tests.apps.instruments.start import run

newrelic.agent.initialize()
newrelic.agent.register_application(timeout=10)


@newrelic.agent.function_trace("child")
async def child():
    await asyncio.sleep(0.001)
    return newrelic.agent.current_transaction().name


async def transaction(name):
    with newrelic.agent.BackgroundTask(newrelic.agent.application(), name):
        found = await asyncio.gather(child(), asyncio.create_task(child()))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(child())
        return [*found, task.result(), await asyncio.wait_for(child(), 1)]


async def main():
    print(await asyncio.gather(transaction("first"), transaction("second")))
    print(len(trace_cache()))


run(main())
