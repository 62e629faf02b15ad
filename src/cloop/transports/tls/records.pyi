import asyncio
from contextvars import Context
from typing import final

def context_of(transport: asyncio.BaseTransport) -> Context: ...

@final
class Records: ...
