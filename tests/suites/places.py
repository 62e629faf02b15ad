"""Where things are: sources of the suites, virtualenvs, the wheel of cloop. All is kept in one folder."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from .packages import Package

ROOT = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).with_name("inside")
VERSION = "{}.{}".format(*sys.version_info)


def default_folder() -> Path:
    """A folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "cloop-suites"


class Places:
    """The folder, and what is made in it when it is first asked for."""

    def __init__(self, folder: Path, wheel: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.given_wheel = wheel and wheel.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)

    def sources(self, package: Package) -> Path:
        """The unpacked sources with the tests, without what would hide the installed package."""
        folder = self.folder / "sources" / f"{package.name}-{package.version}"
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as directory:
                unpacked = unpack(fetch(package, Path(directory)), Path(directory, "unpacked"))
                for each in package.shadows:
                    shutil.rmtree(unpacked / each)
                unpacked.rename(folder)
        return folder

    def interpreter(self, package: Package) -> Path:
        """The interpreter of the package's virtualenv, which `prepare` makes."""
        return self.folder / "venvs" / VERSION / package.name / "bin" / "python"

    def results(self, package: Package, loop: str) -> Path:
        """The file for the results of a run, each with its detail."""
        folder = self.folder / "results" / VERSION
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{package.name}-{loop}.json"

    def prepare(self, package: Package) -> None:
        """Make the virtualenv, if need be, with what the suite needs; and install this cloop in it."""
        python = self.interpreter(package)
        folder = python.parent.parent
        needs = ["pip", "setuptools", f"{package.name}=={package.version}", *package.requires]
        state = hashlib.sha256("\n".join([sys.version, *needs]).encode()).hexdigest()
        stamp = folder / "cloop-suite"
        if not stamp.exists() or stamp.read_text() != state:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            pip(python, "install", "-qq", *needs)
            stamp.write_text(state)
        pip(python, "install", "-qq", "--force-reinstall", "--no-deps", str(self.wheel()))
        self.install_inside(python)
        return python

    def wheel(self) -> Path:
        """The wheel of cloop: the one that was given, or one of this checkout, built once a run."""
        if self.given_wheel is None:
            folder = self.folder / "wheels" / VERSION
            shutil.rmtree(folder, ignore_errors=True)
            isolated = ["--no-build-isolation"] if can_build() else []
            pip(Path(sys.executable), "wheel", "-qq", "--no-deps", *isolated, "-w", str(folder), str(ROOT))
            [self.given_wheel] = folder.glob("*.whl")
        return self.given_wheel

    def install_inside(self, python: Path) -> None:
        """Copy what is loaded into the suite's process."""
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        asked = subprocess.run([python, "-c", ask], stdout=subprocess.PIPE, text=True, check=True)
        for file in INSIDE.glob("cloop_suite*.py"):
            shutil.copy(file, asked.stdout.strip())


def can_build() -> bool:
    """Whether this interpreter has what a build needs; otherwise pip has to fetch it."""
    asked = subprocess.run([sys.executable, "-c", "import Cython, setuptools"], stderr=subprocess.DEVNULL)
    return asked.returncode == 0


def pip(python: Path, *arguments: str) -> None:
    """Have pip do something; the user's configuration says which index."""
    subprocess.run([str(python), "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def fetch(package: Package, folder: Path) -> Path:
    """Download the archive with the package's tests into a folder."""
    if package.debian:
        fetch_from_debian(package, folder)
    else:
        options = ["-qq", "--no-deps", "--no-binary", package.name, "--dest", str(folder)]
        pip(Path(sys.executable), "download", *options, f"{package.name}=={package.version}")
    [archive] = folder.glob("*.tar.*")
    return archive


def fetch_from_debian(package: Package, folder: Path) -> None:
    """Have apt-get download upstream's archive, which Debian keeps, by a list of sources of our own."""
    release, source = package.debian.split("/")
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    line = f"deb-src [signed-by={keys}] http://deb.debian.org/debian {release} main\n"
    (folder / "sources.list").write_text(line)
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": lists,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "",
    }
    command = [
        "apt-get",
        "-qq",
        *(part for pair in settings.items() for part in ("-o", "{}={}".format(*pair))),
    ]
    subprocess.run([*command, "update"], cwd=folder, check=True)
    subprocess.run([*command, "source", "--download-only", "--tar-only", source], cwd=folder, check=True)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive; returns the one folder in it."""
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    [found] = folder.iterdir()
    return found
