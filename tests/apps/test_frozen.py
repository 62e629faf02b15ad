"""A program frozen by PyInstaller: it runs without Python and without cloop, away from where it was made."""

import importlib.metadata
import os
import pkgutil
import shutil
import subprocess
import sys
import textwrap
import tomllib

import pytest

import cloop
from tests.net.tls import PEM
from tests.support import ROOT

from .servers import needs

pytestmark = [needs("PyInstaller"), pytest.mark.timeout(900)]

PROGRAM = """
    import asyncio
    import importlib
    import ssl
    import sys

    import cloop

    PEM, *MODULES = sys.argv[1:]

    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async def tls():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(PEM)
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            address = server.sockets[0].getsockname()
            trusting = ssl.create_default_context(cafile=PEM)
            trusting.check_hostname = False
            reader, writer = await asyncio.open_connection(*address, ssl=trusting)
            writer.write(b"over tls\\n")
            print(await reader.readline(), writer.get_extra_info("peername") == address)
            writer.close()
            await writer.wait_closed()

    async def main():
        print(type(asyncio.get_running_loop()))
        await tls()
        child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        print(await child.communicate(b"through a child"), child.returncode)
        print(await asyncio.to_thread(sum, [1, 2, 3]))
        for module in MODULES:
            importlib.import_module(module)
        print("all modules are there")

    cloop.run(main())
"""
EXPECTED = """\
<class 'cloop.loop.Loop'>
b'OVER TLS\\n' True
(b'through a child', None) 0
6
all modules are there
"""
# The command, and what serves PyInstaller itself.
LEFT_OUT = ("cloop._pyinstaller", "cloop.__main__")


def modules():
    """What a program can import of cloop."""
    found = pkgutil.walk_packages(cloop.__path__, "cloop.")
    return [module.name for module in found if not module.name.startswith(LEFT_OUT)]


def distribution(folder):
    """What tells PyInstaller of the hook: in a checkout that is not installed, a copy of what would be."""
    try:
        importlib.metadata.distribution("cloop-asyncio")
    except importlib.metadata.PackageNotFoundError:
        groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
        information = folder / "cloop_asyncio-0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: cloop-asyncio\nVersion: 0\n")
        lines = []
        for group, entries in groups.items():
            lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
        (information / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """The executable."""
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
    distribution(folder)
    paths = [str(folder), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    made = subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, paths)), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    elsewhere = shutil.move(folder / "dist/program", tmp_path_factory.mktemp("elsewhere"))
    return f"{elsewhere}/program"


def run(command, cwd, **variables):
    """What a frozen program prints, with nothing of this interpreter's environment."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CLOOP"))
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_it_runs(frozen, tmp_path):
    done = run([frozen, PEM, *modules()], tmp_path)
    assert (done.stderr, done.stdout) == ("", EXPECTED)
    assert done.returncode == 0


def test_the_environment_is_heeded(frozen, tmp_path):
    done = run([frozen, PEM], tmp_path, CLOOP_STREAMS="foo")
    assert done.returncode == 1
    assert "ValueError: CLOOP_STREAMS=foo: the values are cloop and asyncio" in done.stderr
