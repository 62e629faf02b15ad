"""System calls per message of a server, as strace counts them.

A server runs twice under ``strace -c -f`` with the same connections, once without a message and once with
many; the difference is what the messages cost. So neither start-up nor connecting counts, and there is no
attaching to a process, which many systems forbid.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter

from ..servers import Failed
from ..table import number, render
from .setting import Setting

PerMessage = dict[str, float]

SHOWN = 0.005  # calls per message: what is rarer is accident
LIMIT_S = 120  # under strace everything is many times slower
SETTLE_S = 0.3  # for the server to see the connections close, in both runs alike
# "% time  seconds  usecs/call  calls  [errors]  syscall"
ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)


def parse_summary(text: str) -> Counter[str]:
    """The calls by name in the table that ``strace -c`` prints."""
    return Counter({name: int(calls) for calls, name in ROW.findall(text) if name != "total"})


def count_calls(setting: Setting, name: str, messages: int) -> Counter[str]:
    """All the calls of a server from its start until `messages` have been echoed."""

    def use(address: str, _pid: int) -> None:
        setting.load(address, "-n", str(messages), time_limit_s=LIMIT_S)
        time.sleep(SETTLE_S)

    with tempfile.NamedTemporaryFile("r", prefix="strace-") as summary:
        setting.with_server(name, use, wrap=("strace", "-c", "-f", "-o", summary.name))
        calls = parse_summary(summary.read())
    if not calls:
        raise Failed("strace counted nothing")
    return calls


def count_per_message(setting: Setting, name: str, messages: int) -> PerMessage:
    """System calls per message by name, the most frequent first."""
    idle = count_calls(setting, name, 0)
    busy = count_calls(setting, name, messages)
    rates = {call: (calls - idle[call]) / messages for call, calls in busy.most_common()}
    return {call: rate for call, rate in rates.items() if rate >= SHOWN}


def syscall_table(counts: dict[str, PerMessage]) -> str:
    """A row a server, a column a system call, the total last."""
    calls = sorted({call for rates in counts.values() for call in rates})
    rows = []
    for name, rates in counts.items():
        rows.append([name, *[number(rates.get(call), 2) for call in calls], number(sum(rates.values()), 2)])
    return render(["calls per message", *calls, "total"], rows)
