"""The variables of the environment: a value that means nothing is an error that names those that do."""

import os
import subprocess
import sys

import pytest

from cloop import _settings
from tests.support import ROOT

from .processes import run_python

WRONG = [(name, value) for name in _settings.VARIABLES for value in ("foo", " ", "ASYNCIO")]
RIGHT = [(name, value) for name, values in _settings.VARIABLES.items() for value in ("", *values)]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_the_import_fails(tmp_path, name, value):
    """By a ValueError: who tries to import cloop and goes on without it should not overlook it."""
    program = "try: import cloop\nexcept ImportError: pass"
    result = run_python("-c", program, cwd=tmp_path, **{name: value})
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    assert error.startswith(f"ValueError: {name}={value}: the values are ")
    assert all(each in error for each in _settings.VARIABLES[name])


@pytest.mark.parametrize(("name", "value"), WRONG)
@pytest.mark.parametrize("command", ["-m cloop --info", "-mcloop program.py", "-Bm cloop -m program -m x"])
def test_the_command_says_so_in_one_line(tmp_path, name, value, command):
    (tmp_path / "program.py").write_text("print('has run')")
    result = run_python(*command.split(), cwd=tmp_path, **{name: value})
    assert (result.stdout, result.returncode) == ("", 2)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"python -m cloop: error: {name}={value}: the values are ")


def test_another_module_that_imports_cloop_gets_the_exception(tmp_path):
    (tmp_path / "cloop_user.py").write_text("import cloop")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import cloop")
    for module in ("cloop_user", "package"):
        result = run_python("-m", module, "cloop", cwd=tmp_path, CLOOP_STREAMS="foo")
        assert result.returncode == 1
        assert "Traceback" in result.stderr and "ValueError: CLOOP_STREAMS=foo" in result.stderr


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_what_is_in_effect(tmp_path, name, value):
    program = "from cloop import _settings; print(_settings.IN_EFFECT)"
    result = run_python("-c", program, cwd=tmp_path, **{name: value})
    if value == "openssl" and result.returncode:
        # Such an interpreter has OpenSSL inside, or no GIL.
        assert "ValueError: CLOOP_TLS_ENGINE=openssl: " in result.stderr
        return
    assert result.stderr == ""
    default = next(iter(_settings.VARIABLES[name]))
    assert repr(name) + ": " + repr(value or default) in result.stdout


def test_the_environment_is_read_when_cloop_is_imported(tmp_path):
    program = """
import os
import cloop
os.environ["CLOOP_STREAMS"] = "asyncio"
print(cloop.new_event_loop().equips_streams)
"""
    assert run_python("-c", program, cwd=tmp_path).stdout == "True\n"


@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="setup.py is not beside the tests")
@pytest.mark.parametrize("name", ["CLOOP_DEBUG", "CLOOP_WERROR", "CLOOP_ANNOTATE", "CLOOP_POLLER"])
def test_variables_of_the_build(name):
    pytest.importorskip("Cython")
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        env={**os.environ, name: "yes"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} must be ") and done.stderr.endswith("not 'yes'\n")
