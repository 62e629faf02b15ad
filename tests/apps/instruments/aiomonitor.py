"""aiomonitor: the tasks that run, where they were made and where they wait."""

import asyncio
import logging
import re

import aiomonitor
from aiomonitor.monitor import Monitor

from tests.apps.instruments.start import run
from tests.support import unused_port

logging.disable(logging.CRITICAL)


async def waiting():
    await asyncio.Event().wait()


async def outer():
    await waiting()


async def main():
    loop = asyncio.get_running_loop()
    ports = {"port": unused_port(), "webui_port": unused_port(), "console_port": unused_port()}
    with aiomonitor.start_monitor(loop, hook_task_factory=True, **ports) as monitor:
        assert isinstance(monitor, Monitor)
        task = asyncio.create_task(outer(), name="the waiting one")
        await asyncio.sleep(0.05)
        listed = monitor.format_running_task_list("", False)
        for each in sorted(listed, key=lambda each: each.name):
            print(each.name, each.state, each.coro, re.sub(r".*/|:\d+", "", each.created_location))
        stack = "".join(part.content for part in monitor.format_running_task_stack(str(id(task))))
        print(re.findall(r"in (\w+)\n", stack))
        await monitor.cancel_monitored_task(str(id(task)))
        await asyncio.sleep(0.05)
        print(task.cancelled())


run(main())
