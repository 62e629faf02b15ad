"""What the application tests share: skipping, and requests from a plain client."""

import concurrent.futures
import importlib.util
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from tests.support import PATIENCE


def is_installed(module: str) -> bool:
    """Whether a module can be found; what it is a part of may be missing too."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test where one of the packages is not installed."""
    missing = [name for name in names if not is_installed(name)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def load(url: str, seconds: int = 1) -> int:
    """Put some load on a server, with wrk where there is one; returns how many requests it answered."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return load_by_threads(url)
    command = [wrk, "-t1", "-c16", f"-d{seconds}s", url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "Socket errors" not in result.stdout, result.stdout
    assert "Non-2xx" not in result.stdout, result.stdout
    (line,) = [line for line in result.stdout.splitlines() if "requests in" in line]
    return int(line.split()[0])


def load_by_threads(url: str, count: int = 300) -> int:
    """As load, with the standard library alone."""

    def get(_: int) -> int:
        with urllib.request.urlopen(url, timeout=10) as response:
            response.read()
            return response.status

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(get, range(count)))
    assert set(statuses) == {200}
    return count


def get(url: str) -> bytes:
    """The body that a server answers with."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return response.read()


def wait_until_it_listens(port: int, seconds: float = 30) -> None:
    """Return once connections to a port of 127.0.0.1 are accepted."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "nothing listens"
            time.sleep(0.05)
