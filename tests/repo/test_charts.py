"""python -m bench.charts draws what the measuring commands have written."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.support import ROOT

from .tree import needs_source

pytestmark = [
    needs_source,
    pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="not installed: matplotlib"),
]

HEAD = {
    "machine": {"python": "3.13.0", "system": "Linux 6.18", "machine": "x86_64"},
    "versions": {"cloop": "0.1.0", "asyncio": ""},
}
LOOPS = ("cloop", "asyncio")
RUNS = {"runs_ns": {"0": 100.0, "1": 120.0}}
FILES = {
    "scheduling": {"cases": {"switch": {"title": "task switch", "loops": dict.fromkeys(LOOPS, RUNS)}}},
    "echo": {
        "setting": {"mode": "protocol", "size": 1024, "connections": 10, "tls": True},
        "results": {name: [{"messages_per_s": 1000.0}] * 3 for name in ("C", *LOOPS)},
    },
    "http": {
        "setting": {"connections": 64, "seconds": 1},
        "results": {"uvicorn": {name: [{"requests_per_s": 1000.0}] * 3 for name in LOOPS}},
    },
    "scaling": {
        "setting": {"connections": 64, "rounds_of_hash": 1000},
        "results": {"uvicorn": {"1": [1000.0, 1100.0], "2": [1900.0]}},
    },
}
TEXTS = {
    "scheduling": ["task switch", "time, over cloop's"],
    "echo": ["protocol, tls: 1 KB, 10 connections"],
    "http": ["uvicorn", "requests a second"],
    "scaling": ["uvicorn", "2 processes"],
}


def draw(results, charts):
    command = [sys.executable, "-m", "bench.charts", str(results), str(charts)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_chart_of_each_kind(tmp_path):
    results, charts = tmp_path / "results", tmp_path / "charts"
    results.mkdir()
    for number, file in enumerate(FILES.values()):
        (results / f"{number}.json").write_text(json.dumps(HEAD | file))
    (results / "summary.json").write_text(json.dumps(HEAD | {"results": [{"title": "another program's"}]}))
    done = draw(results, charts)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in charts.iterdir()} == FILES.keys()
    for name, texts in TEXTS.items():
        svg = (charts / f"{name}.svg").read_text()
        assert all(text in svg for text in [*texts, "CPython 3.13.0, Linux 6.18, x86_64, cloop 0.1.0"])


def test_the_same_figures_make_the_same_file(tmp_path):
    (tmp_path / "echo.json").write_text(json.dumps(HEAD | FILES["echo"]))
    drawn = []
    for folder in ("one", "two"):
        assert draw(tmp_path, tmp_path / folder).returncode == 0
        drawn.append((tmp_path / folder / "echo.svg").read_bytes())
    assert drawn[0] == drawn[1]


def test_nothing_to_draw(tmp_path):
    done = draw(tmp_path, tmp_path / "charts")
    assert done.returncode == 1
    assert "nothing to draw" in done.stderr
