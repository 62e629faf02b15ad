"""The suites of libraries that programs on asyncio are made of, run on cloop and on asyncio.

    python -m tests.suites                          every package, on both loops, and what differs
    python -m tests.suites aiohttp tornado          these
    python -m tests.suites anyio --loop cloop       on one loop, with what fails there
    python -m tests.suites anyio -k '*to_thread*'   some tests

`packages.toml` describes the packages: the version, where its tests come from, what they need, how they
are run. Each gets a virtualenv of its own with a wheel of cloop, made by `places`, in the folder of
`--work`. `runs` has one suite run on one loop, in a process into which `inside/cloop_suite.py` is loaded:
it makes the loop the default, writes down the outcome of each test, and counts the loops that were made,
of which class. `verdicts` compares: a test that ends otherwise on cloop than on asyncio is run again, alone,
on both, which tells a flaky one from a difference. `explained.toml` has the differences that are right, and
why.
"""
