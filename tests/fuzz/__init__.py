"""Fuzzers: what no test thought of must not crash or hang, and must do what asyncio does.

    python -m tests.fuzz calls      # arbitrary calls on arbitrary objects of the package
    python -m tests.fuzz programs   # random programs on asyncio and on cloop: the traces must be equal
    python -m tests.fuzz memory     # each allocation of a scenario fails once
    python -m tests.fuzz faults     # each system call of a scenario fails once, with strace(1)

Each runs for `--seconds` and begins with another seed each time, or with that of `--from`. What is found is
printed at once, with the seed and what was done last; the exit code is 1 if anything was. `--seed` runs one
case again.
"""
