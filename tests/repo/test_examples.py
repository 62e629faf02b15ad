"""The examples do what they say, on cloop and on asyncio."""

import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.support import PATIENCE, ROOT

TOUR = "examples/tour.py"
SLOW = re.compile(r"Executing <.*> took \d+\.\d+ seconds")


def run(*arguments: str) -> str:
    """The output of a Python program that must succeed, without a word on stderr."""
    command = [sys.executable, "-X", "dev", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as program:
        try:
            stdout, stderr = program.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            # Development mode writes every thread's stack then.
            program.send_signal(signal.SIGABRT)
            stdout, stderr = program.communicate()
            pytest.fail(f"hangs after:\n{stdout}\nin:\n{stderr}")
    # Development mode has callbacks reported that took long: on a loaded machine any may.
    assert [line for line in stderr.splitlines() if not SLOW.fullmatch(line)] == []
    assert program.returncode == 0
    return stdout


@pytest.mark.parametrize(("command", "loop"), [(["-m", "cloop"], "cloop.loop.Loop"), ([], "asyncio.")])
def test_tour(command, loop):
    report = dict(line.split(maxsplit=1) for line in run(*command, TOUR).splitlines())
    assert report["loop"].startswith(loop)
    assert "2000 right answers" in report["tcp"]
    assert "[10, 20, 30]" in report["timers"]
    assert "over after 20 ms" in report["timeout"]
    assert "4 digests agree" in report["threads"]


def test_echo():
    command = [sys.executable, "-u", "-X", "dev", "examples/echo.py", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rpartition(",")[2].strip(" )\n"))
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
        assert server.stdout.readline().startswith("hello, ('127.0.0.1'")
        assert server.stdout.readline().startswith("good-bye, ('127.0.0.1'")
        # It sleeps by then. A signal in the moment before the wait is seen at the next event only, as
        # in asyncio.
        time.sleep(0.3)
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0
