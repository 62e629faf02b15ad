"""What the measuring programs ask of the machine: cores to pin to, and what a process has used."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

CAN_PIN = hasattr(os, "sched_setaffinity")


def cores() -> list[int]:
    """The cores this process may use, the last first: the first one takes most of a machine's interrupts."""
    if CAN_PIN:
        return sorted(os.sched_getaffinity(0), reverse=True)
    return list(range(os.cpu_count() or 1))


def pin(core: int | None) -> None:
    """Keep this process, and the threads and children it then starts, on one core; None leaves it be."""
    if core is not None and CAN_PIN:
        os.sched_setaffinity(0, {core})


def two_cores() -> tuple[int | None, int | None]:
    """A core for the server and another for the load; both None, with a warning, where there is only one."""
    try:
        server, load, *_ = cores() if CAN_PIN else []
    except ValueError:
        print("one core only, or no pinning: server and load are in each other's way", file=sys.stderr)
        return None, None
    return server, load


@dataclass(frozen=True)
class Usage:
    """What a process and all its threads have used so far: CPU time in us, and page faults.

    The whole CPU time is exact; its parts are counted in ticks of 10 ms.
    """

    cpu_us: float
    user_us: float
    system_us: float
    faults: int

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.cpu_us - earlier.cpu_us,
            self.user_us - earlier.user_us,
            self.system_us - earlier.system_us,
            self.faults - earlier.faults,
        )


def cpu_us(pid: int) -> float:
    """The CPU time of the process `pid` and all its threads (Linux), by the kernel's clock of it."""
    # clock_getcpuclockid(3), which the standard library has for threads only: ~pid << 3 | CPUCLOCK_SCHED.
    return time.clock_gettime_ns(~pid << 3 | 2) / 1000


def usage_of(pid: int) -> Usage:
    """The usage of the process `pid` (Linux)."""
    # The second field is the program's name in brackets, and may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(
        cpu_us(pid),
        int(fields[11]) * TICK_US,
        int(fields[12]) * TICK_US,
        int(fields[7]) + int(fields[9]),
    )


def rss_bytes(pid: int) -> int:
    """The resident memory of a process now."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except FileNotFoundError:  # macOS and the BSDs
        return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) * 1024


def open_fds() -> int:
    """How many file descriptors this process has open; the one that reads the folder counts each time."""
    return len(os.listdir("/dev/fd"))


def description() -> dict[str, str]:
    """The facts without which a figure means nothing."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
    }
