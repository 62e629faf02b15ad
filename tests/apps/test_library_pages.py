"""The pages on libraries: each program prints what the page says, and settings of tools do what it says."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from tests.system.processes import run_python

from .documents import BLOCK, DOCS, outputs, write_programs

PAGES = sorted(path.name for path in (DOCS / "libraries").glob("*.md"))
PROGRAMS = [(page, name) for page in PAGES for name in outputs(f"libraries/{page}")]

PACKAGES = {
    "with_anyio.py": "anyio",
    "with_aiofiles.py": "aiofiles",
    "with_asyncpg.py": "asyncpg",
    "with_grpc.py": "grpc",
    "with_httpx.py": "httpx",
    "with_psycopg.py": "psycopg",
    "with_redis.py": "redis",
    "with_websockets.py": "websockets",
}


def skip_without(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def addresses(request):
    """The variables by which a program finds the server of its database, which runs."""
    name = request.node.callspec.params["name"]
    if name in ("with_asyncpg.py", "with_psycopg.py"):
        port = request.getfixturevalue("postgresql").port
        return {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "cloop", "PGDATABASE": "cloop"}
    if name == "with_redis.py":
        return {"REDIS_URL": f"redis://127.0.0.1:{request.getfixturevalue('redis_server').port}"}
    return {}


@pytest.mark.parametrize(("page", "name"), PROGRAMS)
def test_program(page, name, tmp_path, addresses):
    skip_without(PACKAGES[name])
    write_programs(f"libraries/{page}", tmp_path, {})
    result = run_python(name, cwd=tmp_path, **addresses)
    assert result.stderr == ""
    assert result.stdout == outputs(f"libraries/{page}")[name]
    assert result.returncode == 0


def run_pytest(page: str, folder: Path, *options: str) -> str:
    """What pytest says of the tests of a page."""
    write_programs(f"libraries/{page}", folder, {})
    result = run_python("-m", "pytest", "-v", "-p", "no:cacheprovider", *options, cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_anyio_plugin(tmp_path):
    skip_without("anyio")
    assert "test_loop PASSED" in run_pytest("anyio.md", tmp_path, "test_with_anyio.py", "-p", "no:asyncio")


def test_pytest_asyncio(tmp_path):
    skip_without("pytest_asyncio")
    options = ["-o", "asyncio_default_fixture_loop_scope=function", "test_with_pytest_asyncio.py"]
    output = run_pytest("pytest.md", tmp_path, *options)
    for test in ("test_on_both[asyncio]", "test_on_both[cloop]", "test_on_cloop_alone"):
        assert f"{test} PASSED" in output
    assert "3 passed" in output


@pytest.mark.skipif(sys.version_info < (3, 13), reason="loop_factory is new in 3.13")
def test_unittest(tmp_path):
    write_programs("libraries/pytest.md", tmp_path, {})
    result = run_python("-m", "unittest", "test_with_unittest", cwd=tmp_path)
    assert result.stderr.endswith("OK\n")


def test_ipython(tmp_path):
    skip_without("IPython")
    code = "import asyncio\nawait asyncio.sleep(0)\nprint(type(asyncio.get_running_loop()).__module__)"
    folder = {"IPYTHONDIR": str(tmp_path)}
    result = run_python("-m", "cloop", "-m", "IPython", "-c", code, cwd=tmp_path, **folder)
    assert result.stdout.strip() == "cloop.loop"


CELLS = """
from jupyter_client.manager import start_new_kernel

CELLS = [
    "import asyncio, sys\\nprint(type(asyncio.get_running_loop()).__module__)",
    "task = asyncio.create_task(asyncio.sleep(0.05, 'slept'))",
    "print(await task)",
    "child = await asyncio.create_subprocess_exec('echo', 'child', stdout=-1)",
    "print(await child.communicate())",
]
manager, client = start_new_kernel(kernel_name="cloop")


def show(message):
    if message["msg_type"] in ("stream", "error"):
        print(message["content"].get("text") or message["content"])


for cell in CELLS:
    client.execute_interactive(cell, output_hook=show, timeout=20)
client.stop_channels()
manager.shutdown_kernel()
"""


def test_jupyter_kernel(tmp_path):
    skip_without("ipykernel", "jupyter_client")
    kernel = tmp_path / "kernels" / "cloop" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    text = (DOCS / "libraries" / "jupyter.md").read_text()
    (shown,) = [block["text"] for block in BLOCK.finditer(text) if block["language"] == "json"]
    description = json.loads(shown)
    description["argv"][0] = sys.executable
    kernel.write_text(json.dumps(description))
    (tmp_path / "cells.py").write_text(CELLS)
    folders = {name: str(tmp_path) for name in ("JUPYTER_PATH", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    result = run_python("cells.py", cwd=tmp_path, PATH=os.environ["PATH"], **folders)
    assert result.stdout.split("\n") == ["cloop.loop", "", "slept", "", r"(b'child\n', None)", "", ""]
