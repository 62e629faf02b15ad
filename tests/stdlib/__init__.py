"""The interpreter's own asyncio tests, run with cloop's loop, Future and Task in their place.

    python -m tests.stdlib                     every module, on cloop
    python -m tests.stdlib test_tasks          one module
    python -m tests.stdlib --loop asyncio      the same runner with nothing swapped: all must pass

`swap` puts a kit (loop, Future, Task, functions) where asyncio has its own, `variants` adds test
classes for the kit's Future and Task beside those for asyncio's C and Python ones, `child` runs one
module in a process of its own, `runner` starts the children and collects what they found.
"""
