"""python -m cloop bench: what a user runs to see whether cloop is worth it on the own machine."""

import importlib.util
import json

import pytest

from tests.support import DEBUG_PYTHON

from .processes import run_python

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("cloop_bench"), reason="cloop is run from its sources, not installed"
)

QUICK = ("-m", "cloop", "bench", "--quick", "--loops", "cloop,asyncio")


@pytest.mark.skipif(DEBUG_PYTHON, reason="it takes minutes where every reference is counted")
def test_all_sections_are_measured(tmp_path):
    done = run_python(*QUICK, "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cloop is the fastest in" in done.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    assert set(written["versions"]) == {"cloop", "asyncio"}
    assert {row["section"] for row in written["results"]} == {"scheduling", "echo", "streams", "tls"}
    for row in written["results"]:
        for loop in ("cloop", "asyncio"):
            assert row["runs"][loop] and min(row["runs"][loop]) > 0, row["title"]
        assert row["ratios"]["asyncio"] > 0


def test_one_section(tmp_path):
    done = run_python(*QUICK, "--only", "echo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Protocol, 1 KB" in done.stdout
    assert "call_soon" not in done.stdout


def test_unknown_section(tmp_path):
    done = run_python(*QUICK, "--only", "nonsense", cwd=tmp_path)
    assert done.returncode != 0
    assert "unknown: nonsense" in done.stderr


def test_chart(tmp_path):
    matplotlib = importlib.util.find_spec("matplotlib")
    done = run_python(*QUICK, "--only", "echo", "--chart", "chart.svg", cwd=tmp_path)
    if matplotlib:
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "chart.svg").read_text().startswith("<?xml")
    else:
        assert done.returncode == 2
        assert "pip install matplotlib" in done.stderr


def test_usage(tmp_path):
    done = run_python("-m", "cloop", "bench", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "cloop bench" in done.stdout
