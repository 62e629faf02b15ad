"""python -m cloop bench: what a user runs to see whether cloop is worth it on the own machine."""

import importlib.util
import json
import os
import sys

import pytest

from tests.support import DEBUG_PYTHON

from .processes import environment, read_until, run_python, running_python

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("cloop_bench"), reason="cloop is run from its sources, not installed"
)

BENCH = ("-m", "cloop", "bench", "--loops", "cloop,asyncio")
QUICK = (*BENCH, "--quick")


@pytest.mark.skipif(DEBUG_PYTHON, reason="it takes minutes where every reference is counted")
@pytest.mark.parametrize("section", ["scheduling", "echo", "streams", "tls"])
def test_what_is_measured(tmp_path, section):
    # On a busy machine no server may answer within the tenth of a second that is a quick run's.
    how = ("--quick",) if section == "scheduling" else ("--rounds", "1", "--seconds", "0.5")
    done = run_python(*BENCH, *how, "--only", section, "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cloop is the fastest in" in done.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    assert set(written["versions"]) == {"cloop", "asyncio"}
    assert {row["section"] for row in written["results"]} == {section}
    for row in written["results"]:
        ours, theirs = row["runs"]["cloop"], row["runs"]["asyncio"]
        assert ours and theirs and min(ours + theirs) >= 0, row["title"]
        # A server on a busy machine may echo nothing in the tenth of a second that a quick run gives it.
        if row["section"] == "scheduling" or min(ours + theirs):
            assert min(ours + theirs) > 0 and row["ratios"]["asyncio"] > 0, row["title"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the programs in C are made for epoll")
@pytest.mark.parametrize("section", ["echo", "tls"])
def test_load_in_c(tmp_path, section):
    # Python's own is outrun by a fast server, and then the rates say nothing of the servers.
    if section == "tls" and not libraries_of_openssl():
        pytest.skip("this Python has OpenSSL inside of itself")
    done = run_python(*BENCH, "--rounds", "1", "--only", section, "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "C is a bare server in C" in done.stdout
    assert "load is Python's" not in done.stdout
    rows = json.loads((tmp_path / "out.json").read_text())["results"]
    assert len(rows) == 2 and all(row["runs"]["C"] for row in rows)


def libraries_of_openssl():
    from cloop_bench.echo.openssl import LIBRARIES, loaded

    pytest.importorskip("ssl")
    return all(loaded(name) for name in LIBRARIES)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_load_in_python(tmp_path, tls):
    import cloop_bench.echo

    pem = os.path.join(os.path.dirname(cloop_bench.echo.__file__), "certificate.pem")
    over = ("--tls", pem) if tls else ()
    server = ("-m", "cloop_bench.echo.server", "--loop", "cloop", "--mode", "protocol", *over, "0")
    with running_python(*server, cwd=tmp_path) as process:
        port = json.loads(read_until(process, "port"))["port"]
        options = ("-m", "cloop_bench.echo.load", "-d", "0.5", "-s", "102400", *over[:1], port)
        done = run_python(*options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["measured"] > 0


def test_one_section(tmp_path):
    done = run_python(*QUICK, "--only", "echo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Protocol, 1 KB" in done.stdout
    assert "call_soon" not in done.stdout


def test_unknown_section(tmp_path):
    done = run_python(*QUICK, "--only", "nonsense", cwd=tmp_path)
    assert done.returncode != 0
    assert "unknown: nonsense" in done.stderr


@pytest.mark.parametrize("loops", ["cloop,asyncio", "cloop"])
def test_chart(tmp_path, loops):
    matplotlib = importlib.util.find_spec("matplotlib")
    options = ("--only", "echo", "--loops", loops, "--chart", "chart.svg")
    done = run_python(*QUICK, *options, cwd=tmp_path)
    if matplotlib:
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "chart.svg").read_text().startswith("<?xml")
    else:
        assert done.returncode == 2
        assert "pip install matplotlib" in done.stderr


# What a peer's module may be, and what is said of it then.
FAILING = {
    "as it is imported": (
        "raise ImportError('libpeer.so')",
        "left out: blazio: ImportError: libpeer.so",
    ),
    "as it is made": (
        "import os\n\nnew_event_loop = os.abort",
        "left out: blazio: ends its process with SIGABRT",
    ),
    "as it runs": (
        "import asyncio, os\n\n"
        "class new_event_loop(asyncio.SelectorEventLoop):\n    run_forever = lambda self: os.abort()",
        "note: blazio: the server did not start",
    ),
}


@pytest.mark.parametrize("when", FAILING)
def test_a_peer_that_fails(tmp_path, when):
    module, said = FAILING[when]
    peers = tmp_path / "peers"
    peers.mkdir()
    (peers / "blazio.py").write_text(module)
    path = os.pathsep.join(filter(None, [str(peers), environment().get("PYTHONPATH")]))
    options = ("--quick", "--only", "echo", "--loops", "cloop,asyncio,blazio", "--json", "out.json")
    done = run_python("-m", "cloop", "bench", *options, cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["results"]
    assert len(rows) == 2
    for row in rows:
        assert row["runs"]["cloop"] and row["runs"]["asyncio"]
        assert not row["runs"].get("blazio") and "blazio" not in row["ratios"]


def test_usage(tmp_path):
    done = run_python("-m", "cloop", "bench", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "cloop bench" in done.stdout
