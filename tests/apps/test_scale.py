"""Dask and Ray compute something on workers whose loop is cloop; several processes listen on one port."""

import collections
import shlex
import signal
import sys
import time

import pytest

from tests.support import PATIENCE, ROOT, unused_port
from tests.system.processes import rest_of, run_python, running_python

from .documents import lines
from .servers import get, load, needs, wait_until_it_listens

# The primes below 50,000 by the sieve, and the best known start of a Collatz sequence below 20,000.
PRIMES = 5133
COLLATZ = "17647 takes 278 steps"


def report(output: str) -> dict[str, str]:
    """The lines of an example, each a name and what it says; of a name that comes twice the last."""
    return dict(line.split(maxsplit=1) for line in output.splitlines())


@needs("distributed", "cryptography")
@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_dask(impl, protocol):
    options = ["--limit", "50000", *(["--tls"] if protocol == "tls" else [])]
    command = [*(["-m", "cloop"] if impl.is_cloop else []), "examples/dask_primes.py", *options]
    result = run_python(*command, cwd=ROOT)
    loop = "cloop.loop" if impl.is_cloop else "asyncio.unix_events"
    assert report(result.stdout) == {
        "primes": str(PRIMES),
        "address": protocol,
        "client": loop,
        "scheduler": loop,
        "workers": f"2 on {loop}",
    }
    assert result.returncode == 0
    assert "Traceback" not in result.stderr


ASK = """
import operator, sys
from distributed import Client

with Client(sys.argv[1]) as client:
    client.wait_for_workers(2, timeout=30)
    print(client.submit(operator.mul, 6, 7).result(timeout=30))
    loops = client.run(lambda dask_worker: type(dask_worker.loop.asyncio_loop).__module__)
    print(*set(loops.values()))
"""


@needs("distributed")
def test_dask_lines(tmp_path):
    """The lines that start a scheduler and workers, with a port of their own."""
    scheduler, worker = (line for line in lines("scale/dask.md") if ".cli." in line)
    port = unused_port()
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    start = shlex.split(scheduler)[1:]
    with running_python(*start, "--port", port, *options, cwd=tmp_path):
        wait_until_it_listens(port)
        start = shlex.split(worker.replace("8786", str(port)))[1:]
        with running_python(*start, *options, cwd=tmp_path) as workers:
            (tmp_path / "ask.py").write_text(ASK)
            result = run_python("ask.py", f"tcp://127.0.0.1:{port}", cwd=tmp_path)
            workers.send_signal(signal.SIGTERM)
            _, output = rest_of(workers)
    assert result.stdout == "42\ncloop.loop\n", result.stderr + output


@needs("ray")
def test_ray():
    # No token of Ray's in the user's folder.
    result = run_python("examples/ray_collatz.py", "--limit", "20000", cwd=ROOT, RAY_AUTH_MODE="disabled")
    assert result.returncode == 0, result.stderr
    said = report(result.stdout)
    assert said["longest"] == COLLATZ
    assert said["driver"] == "cloop.loop"
    loop, calls = said["actor"].split(maxsplit=1)
    assert loop == "cloop.loop"
    assert int(calls.split()[0]) > 1


def wait_until_all_answer(url: str, processes: int) -> None:
    """The first that listens may be alone for some time: the others are still starting."""
    deadline = time.monotonic() + PATIENCE
    seen = {get(url)}
    while len(seen) < processes:
        assert time.monotonic() < deadline, f"only {seen} answered"
        time.sleep(0.01)
        seen.add(get(url))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections over the processes")
def test_many_processes_on_one_port():
    port = unused_port()
    url = f"http://127.0.0.1:{port}/"
    options = ["--port", port, "--processes", "2"]
    with running_python("examples/many_processes.py", *options, cwd=ROOT) as process:
        wait_until_it_listens(port)
        wait_until_all_answer(url, 2)
        assert load(url) > 100
        pids = collections.Counter(get(url) for _ in range(100))
        assert len(pids) == 2
        process.send_signal(signal.SIGTERM)
        code, output = rest_of(process)
    assert (code, output) == (0, "")
