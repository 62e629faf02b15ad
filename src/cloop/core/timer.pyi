import asyncio
from typing import final

from cloop.core.handle import Handle

@final
class TimerHandle(Handle, asyncio.TimerHandle):
    _when: float

@final
class TimerHeap:
    def snapshot(self) -> list[TimerHandle]: ...
    def clear(self) -> None: ...
