import asyncio
from contextvars import Context
from traceback import StackSummary

class Handle(asyncio.Handle):
    # asyncio's has it from 3.12 on.
    def get_context(self) -> Context: ...
    _context: Context
    _cancelled: bool
    @property
    def _source_traceback(self) -> StackSummary | None: ...
