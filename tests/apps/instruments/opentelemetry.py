"""opentelemetry-instrumentation-asyncio: a span for each coroutine and future, below the one that made it."""

import asyncio

from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.apps.instruments.start import run

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
AsyncioInstrumentor().instrument(tracer_provider=provider)


async def child(number):
    await asyncio.sleep(0.001)
    if number == 3:
        raise ValueError(number)


def block():
    pass


async def main():
    with provider.get_tracer("test").start_as_current_span("root"):
        await asyncio.gather(child(1), asyncio.create_task(child(3)), return_exceptions=True)
        await asyncio.wait_for(child(1), 1)
        await asyncio.wait([asyncio.create_task(child(1))])
        async with asyncio.TaskGroup() as group:
            group.create_task(child(1))
        await asyncio.to_thread(block)
        future = asyncio.get_running_loop().create_future()
        ensured = asyncio.ensure_future(future)
        future.set_result(None)
        await ensured


run(main())
spans = exporter.get_finished_spans()
names = {span.context.span_id: span.name for span in spans}
for line in sorted(f"{span.name} below {names.get(span.parent and span.parent.span_id)}" for span in spans):
    print(line)
