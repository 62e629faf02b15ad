"""Real servers of databases, each started once for the tests that need it."""

import contextlib
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.net.tls import PEM
from tests.support import unused_port

START_SECONDS = 30


@dataclass(frozen=True)
class Database:
    """A server that runs: a TCP port of 127.0.0.1, and a folder with its unix socket."""

    port: int
    folder: Path


def program(name: str) -> str:
    """The path of a program; skips the test where there is none. Debian keeps PostgreSQL's to itself."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ["PATH"]]))
    return found or pytest.skip(f"not installed: {name}")


def unprivileged() -> str:
    """A user that a server may run as: PostgreSQL refuses root."""
    if os.getuid():
        return getpass.getuser()
    users = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


@contextlib.contextmanager
def folder_of(user: str) -> Iterator[Path]:
    """An empty folder that belongs to a user. A socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="cloop") as name:
        shutil.chown(name, user)
        yield Path(name)


def wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise AssertionError(f"the server does not listen: {log.read_text()}")


@contextlib.contextmanager
def serving(command: list[str], port: int, folder: Path, user: str | None) -> Iterator[Database]:
    """A server process that listens on its port, until the block is left."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, user=user, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_for_port(process, port, log)
        yield Database(port, folder)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Database]:
    """A cluster of its own: user and database `cloop`, no password, TLS with the tests' certificate."""
    initdb, postgres = program("initdb"), program("postgres")
    user = unprivileged()
    switch = user if user != getpass.getuser() else None
    port = unused_port()
    with folder_of(user) as folder:
        data = folder / "data"
        command = [initdb, "-D", data, "-A", "trust", "-U", "cloop", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, cwd=folder, user=switch, capture_output=True, check=True)
        pem = folder / "server.pem"
        shutil.copy(PEM, pem)
        pem.chmod(0o600)
        shutil.chown(pem, user)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "port": port,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": pem,
            "ssl_key_file": pem,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with serving([postgres, "-D", str(data), *options], port, folder, switch) as database:
            environment = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "cloop"}
            wait_until_ready(environment)
            subprocess.run(
                [program("createdb"), "cloop"], env=os.environ | environment, check=True, capture_output=True
            )
            yield database


def wait_until_ready(environment: dict[str, str]) -> None:
    """It listens before it lets anybody in."""
    deadline = time.monotonic() + START_SECONDS
    command = [program("pg_isready"), "-q"]
    while subprocess.run(command, env=os.environ | environment, check=False).returncode:
        assert time.monotonic() < deadline, "PostgreSQL does not get ready"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Database]:
    """A Redis that keeps nothing."""
    redis = program("redis-server")
    port = unused_port()
    user = unprivileged() if os.getuid() == 0 else getpass.getuser()
    with folder_of(user) as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        options += ["--unixsocket", str(folder / "socket"), "--unixsocketperm", "777"]
        switch = user if user != getpass.getuser() else None
        with serving([redis, *options], port, folder, switch) as database:
            yield database
