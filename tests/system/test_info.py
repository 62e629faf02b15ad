"""python -m cloop --info: what this build uses, for people and as JSON."""

import importlib.metadata
import json
import sys

import pytest

from cloop import _settings
from tests.support import PY313, debug_counts

from .processes import run_python

DISTRIBUTION = """Metadata-Version: 2.1
Name: {name}
Version: {version}
"""


@pytest.fixture
def info(tmp_path):
    """The facts as JSON and as text, which say the same."""

    def ask(*options, **variables):
        told = run_python(*options, "-m", "cloop", "--info", "--json", cwd=tmp_path, **variables)
        assert (told.stderr, told.returncode) == ("", 0)
        text = run_python(*options, "-m", "cloop", "--info", cwd=tmp_path, **variables)
        assert (text.stderr, text.returncode) == ("", 0)
        return json.loads(told.stdout), dict(line.split(None, 1) for line in text.stdout.splitlines())

    return ask


def test_what_is_told(info):
    facts, text = info()
    assert facts["cloop"] == text["cloop"] and facts["cloop"][0].isdigit()
    assert facts["python"] == text["python"] and facts["python"].endswith(sys.version.split()[0])
    assert facts["poller"] == text["poller"] and facts["poller"] in ("epoll", "kqueue")
    assert facts["build"] == text["build"] == ("release" if debug_counts() is None else "debug")
    assert facts["tls"] == text["tls"]
    gil = sys._is_gil_enabled() if PY313 else True
    assert (facts["gil"], text["gil"]) == (gil, "on" if gil else "off")


def test_the_text_says_what_the_json_says(info):
    facts, text = info()
    variables, loops = facts.pop("variables"), facts.pop("loops")
    assert facts.keys() | variables.keys() | {"loops"} == text.keys()
    assert all(f"{name} {version}" in text["loops"] for name, version in loops.items())
    assert variables.keys() == _settings.VARIABLES.keys()


@pytest.mark.parametrize("streams", ["cloop", "asyncio"])
@pytest.mark.parametrize("engine", ["auto", "object"])
def test_variables_in_effect(info, streams, engine):
    facts, text = info(CLOOP_STREAMS=streams, CLOOP_TLS_ENGINE=engine)
    variables = {"CLOOP_STREAMS": streams, "CLOOP_TASKS": "cloop", "CLOOP_TLS_ENGINE": engine}
    assert facts["variables"] == variables
    assert (text["CLOOP_STREAMS"], text["CLOOP_TLS_ENGINE"]) == (streams, engine)
    assert facts["streams"] == text["streams"] == streams
    assert facts["tls"].endswith("by the ssl module (CLOOP_TLS_ENGINE)") is (engine == "object")


def test_other_loops_are_told_without_being_imported(info, tmp_path):
    """Here they are nothing but metadata, so an import would fail."""
    for name, version in (("uvloop", "99.1"), ("rloop", "98.2")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(DISTRIBUTION.format(name=name, version=version))
    # The current directory is where -m looks first.
    facts, text = info()
    assert facts["loops"].items() >= {"uvloop": "99.1", "rloop": "98.2"}.items()
    assert "rloop 98.2" in text["loops"] and "uvloop 99.1" in text["loops"]


def test_where_no_other_loop_is_installed(info):
    facts, text = info()
    installed = {
        distribution.name: distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.name in ("blazio", "rloop", "rsloop", "uvloop", "zloop", "zuvloop")
    }
    assert facts["loops"] == installed
    assert installed or text["loops"] == "no others"


def test_json_alone_makes_no_sense(tmp_path):
    (tmp_path / "program.py").write_text("print('has run')")
    result = run_python("-m", "cloop", "--json", "program.py", cwd=tmp_path)
    assert (result.stdout, result.returncode) == ("", 2)
    assert result.stderr.endswith("--json goes with --info\n")
