"""The variables of the environment that cloop heeds: this table is the one place where they are read.

They are read when cloop is imported. `python -m cloop --info` and the errors go by the table, and so does
docs/install.md, which tests/repo compares with it. What is built goes by others: setup.py has them.
"""

import os
import sys
from typing import NoReturn

from cloop._beside import runs_the_command

# Each variable, with its values and what they mean. The first value is the default; an empty one is none.
VARIABLES = {
    "CLOOP_STREAMS": {
        "cloop": "asyncio's functions for streams make cloop's compiled streams on cloop's loops",
        "asyncio": "they make asyncio's own",
    },
    "CLOOP_TASKS": {
        "cloop": "a loop's tasks are cloop's",
        "asyncio": "they are asyncio's own, which costs time, for tools that know no others",
    },
    "CLOOP_TLS_ENGINE": {
        "auto": "OpenSSL moves the bytes of TLS where it can be called directly, else it is as by `object`",
        "openssl": "OpenSSL, called directly; an error where it can't be",
        "object": "the objects of the ssl module",
    },
}


def refuse(problem: str) -> NoReturn:
    """Raise ValueError; `python -m cloop` ends with one line, as for an option that makes no sense."""
    if runs_the_command():
        print(f"python -m cloop: error: {problem}", file=sys.stderr)
        sys.exit(2)
    raise ValueError(problem)


def read(name: str) -> str:
    """The value of a variable of the table, or its default."""
    values = [*VARIABLES[name]]
    text = os.environ.get(name) or values[0]
    if text not in values:
        refuse(f"{name}={text}: the values are {', '.join(values[:-1])} and {values[-1]}")
    return text


# What holds in this process, whatever becomes of its environment.
IN_EFFECT = {name: read(name) for name in VARIABLES}
