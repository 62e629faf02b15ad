"""Scenarios that are run again and again in one process: nothing may grow.

    python -m tests.leaks                     all of them, on cloop
    python -m tests.leaks --loop asyncio      on asyncio's loop: the scenarios themselves leave nothing
    python -m tests.leaks tls streams         those with such a word in their names

Counted are objects that the collector knows, the allocator's blocks, open descriptors, and what the
interpreter and cloop count where they were built for that: references (a CPython configured
--with-pydebug) and live handles, timers, watches and transports (CLOOP_DEBUG=1).
"""
