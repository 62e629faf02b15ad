"""sentry-sdk: an error of a task is reported with its stack, and each task is a span."""

import asyncio

import sentry_sdk
from sentry_sdk.integrations.asyncio import AsyncioIntegration
from sentry_sdk.transport import Transport

from tests.apps.instruments.start import run

told = []


class Memory(Transport):
    def capture_envelope(self, envelope):
        told.extend(item.payload.json for item in envelope.items)


async def child(number):
    await asyncio.sleep(0.001)
    if number == 2:
        raise ValueError(f"the error of {number}")
    return number


async def main():
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:1/1",
        transport=Memory,
        integrations=[AsyncioIntegration()],
        default_integrations=False,
        traces_sample_rate=1.0,
    )
    with sentry_sdk.start_transaction(name="all"):
        tasks = [asyncio.create_task(child(number), name=f"child {number}") for number in range(3)]
        print(await asyncio.gather(*tasks, return_exceptions=True))
        async with asyncio.TaskGroup() as group:
            group.create_task(child(3))
        print([task.get_name() for task in tasks])


run(main())
for event in told:
    if event.get("type") == "transaction":
        print([(span["op"], span["description"]) for span in event["spans"]])
    elif "exception" in event:
        error = event["exception"]["values"][-1]
        frames = [frame["function"] for frame in error["stacktrace"]["frames"]]
        print(error["type"], error["value"], error["mechanism"]["type"], frames)
