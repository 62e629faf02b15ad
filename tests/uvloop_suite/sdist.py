"""uvloop's source distribution, from the package index, kept in build/uvloop."""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.23.0"
ROOT = Path(__file__).resolve().parents[2]


def fetch() -> Path:
    """The folder of the unpacked distribution; downloads it the first time.

    pip is configured by the user, so the index is whichever pip has. Raises CalledProcessError where
    pip can't get it.
    """
    kept = ROOT / "build" / "uvloop"
    folder = kept / f"uvloop-{VERSION}"
    if folder.exists():
        return folder
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as directory:
        download(Path(directory))
        with tarfile.open(Path(directory, f"uvloop-{VERSION}.tar.gz")) as archive:
            archive.extractall(directory, filter="data")
        unpacked = Path(directory, f"uvloop-{VERSION}")
        try:
            unpacked.rename(folder)
        except OSError:
            # Another process was there first.
            if not folder.exists():
                raise
    return folder


def download(directory: Path) -> None:
    """Have pip put the archive into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-binary", "uvloop", "--dest", str(directory)]
    subprocess.run([*command, *options, f"uvloop=={VERSION}"], check=True)
