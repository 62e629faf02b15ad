"""What suites need beside Python: a Redis, or to be another user than root."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 20
# Some tests do not ask for the URL that they are given.
REDIS_PORT = 6379


@contextlib.contextmanager
def serving(service: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run a service while the block runs; gives what the package's description may name, as {redis}."""
    if service == "redis":
        with redis(folder) as url:
            yield {"redis": url}
    elif service == "postgresql":
        # The suite starts its own.
        yield {"postgresql": str(postgresql())}
    else:
        yield {}


def postgresql() -> Path:
    """The folder with the newest PostgreSQL's programs; not all of Debian's are on PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("pg_ctl")
    if not folders and found is None:
        raise RuntimeError("PostgreSQL is needed")
    return folders[-1] if folders else Path(found or "").parent


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis of its own; gives its URL."""
    port = free_port(REDIS_PORT)
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--enable-debug-command", "yes"], stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def free_port(wanted: int) -> int:
    """The wanted TCP port if nobody has it; otherwise one that nobody has at the moment."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as server:
            return server.getsockname()[1]
    raise OSError("no port is free")


def wait_for(port: int) -> None:
    """Until something listens; raises TimeoutError if nothing does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


def as_user(user: str) -> list[str]:
    """The beginning of a command line that has root become a user, who may still read what root can.

    Empty where the user is nobody in particular, or this process is not root's.
    """
    if not user or os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise RuntimeError(f"setpriv (of util-linux) is needed to run a suite as {user}")
    group = str(pwd.getpwnam(user).pw_gid)
    # The interpreter and the virtualenv may be in a home that only root can enter.
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *reads]


def give(folder: Path, user: str) -> None:
    """Let a folder, with what is in it, belong to the user that a suite runs as."""
    if user and os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
