"""uvloop's own tests, run on cloop.

    python -m tests.uvloop_suite                     every module, on cloop
    python -m tests.uvloop_suite test_tcp            one module
    python -m tests.uvloop_suite --loop asyncio      on asyncio's loop: what fails there is uvloop's own way

`sdist` fetches uvloop's source distribution from the package index, once; `stand_in` is a package of
the name `uvloop` that is cloop; `child` runs one module, by the runner of `tests.stdlib`.
"""
