"""Where a program under python -m cloop finds its modules: where plain Python does with the same options."""

import json
import os
import subprocess
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

import cloop

from .processes import SECONDS, environment

# A file beside the script that has the name of a module of the standard library.
NEIGHBOUR = "origin = 'beside the program'"

PROGRAM = """
    import json, sys
    import colorsys

    def look(where):
        hidden = getattr(colorsys, "origin", "of the standard library")
        print(json.dumps([where, sys.path, hidden, sys.argv, __file__, sys.flags.safe_path]))

    if __name__ == "__main__":
        look("in the program")
        if sys.argv[-1] in ("fork", "spawn", "forkserver"):
            import multiprocessing
            child = multiprocessing.get_context(sys.argv[-1]).Process(target=look, args=("in a child",))
            child.start()
            child.join()
"""

SAFE = {"PYTHONSAFEPATH": "1"}
SETTINGS = [([], {}), (["-P"], {}), (["-I"], {}), ([], SAFE), (["-E"], SAFE)]
PROGRAMS = [
    ["program.py"],
    ["elsewhere/link.py"],
    ["elsewhere/../program.py"],
    ["-m", "program"],
    ["-m", "package"],
    ["-m", "package.inner"],
    ["folder"],
    ["./folder/"],
    ["program.zip"],
    ["missing"],
    ["elsewhere"],
]
# Where a module is to be found: with -I it is not.
IN_CHILDREN = [
    (["program.py"], [], {}),
    (["program.py"], ["-P"], {}),
    (["program.py"], ["-I"], {}),
    (["-m", "package.inner"], [], {}),
    (["-m", "package.inner"], [], SAFE),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that finds cloop also when it heeds no variable of the environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    (packages / "cloop.pth").write_text(str(Path(cloop.__file__).resolve().parents[1]))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A directory with the same program in every shape."""
    top = tmp_path_factory.mktemp("programs")
    text = textwrap.dedent(PROGRAM)
    files = {
        "program.py": text,
        "package/__init__.py": "",
        "package/__main__.py": text,
        "package/inner.py": text,
        "folder/__main__.py": text,
        "elsewhere/other.py": "",
    }
    for name, content in files.items():
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(content)
    (top / "elsewhere/link.py").symlink_to("../program.py")
    for folder in (".", "folder", "package", "elsewhere"):
        (top / folder / "colorsys.py").write_text(NEIGHBOUR)
    with zipfile.ZipFile(top / "program.zip", "w") as archive:
        archive.write(top / "folder/__main__.py", "__main__.py")
        archive.write(top / "colorsys.py", "colorsys.py")
    return top


def run(python, options, command, cwd, variables):
    """What a command prints, and its exit code."""
    env = {key: value for key, value in environment().items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), *options, *command],
        cwd=cwd,
        env=env | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_as_plain_python_has_it(python, programs, program):
    for options, variables in SETTINGS:
        plain = run(python, options, program, programs, variables)
        ours = run(python, options, ["-m", "cloop", *program], programs, variables)
        assert ours == plain, (options, variables)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(("program", "options", "variables"), IN_CHILDREN)
def test_children_as_well(python, programs, program, options, variables, method):
    command = [*program, method]
    variables = {"PYTHONPATH": str(programs), **variables}
    plain = run(python, options, command, programs, variables)
    assert run(python, options, ["-m", "cloop", *command], programs, variables) == plain
    assert [json.loads(line)[0] for line in plain[0].splitlines()] == ["in the program", "in a child"]


def test_a_file_beside_the_script_hides_nothing_then(python, programs):
    for options in (["-P"], ["-I"]):
        stdout, _, _ = run(python, options, ["-m", "cloop", "program.py"], programs, {})
        assert json.loads(stdout)[2] == "of the standard library"
    stdout, _, _ = run(python, [], ["-m", "cloop", "program.py"], programs, {})
    assert json.loads(stdout)[2] == "beside the program"


# Modules that cloop's command might need, or something that it imports.
USED = (
    "argparse",
    "pkgutil",
    "random",
    "tempfile",
    "gettext",
    "email",
    "json",
    "platform",
    "bisect",
    "shutil",
)
LOOK_BESIDE = """
    import asyncio, sys, {names}

    async def main():
        print(*(getattr(module, "origin", module.__name__) for module in [{names}]))

    if __name__ == "__main__":
        asyncio.run(main())
        if sys.argv[1:]:
            import multiprocessing
            multiprocessing.set_start_method("spawn")
            child = multiprocessing.Process(target=print, args=("child",))
            child.start()
            child.join()
"""


@pytest.fixture
def crowded(tmp_path):
    """A directory with a program, and with modules of its own that it imports."""
    for name in USED:
        (tmp_path / f"{name}.py").write_text(NEIGHBOUR)
    (tmp_path / "program.py").write_text(textwrap.dedent(LOOK_BESIDE).format(names=", ".join(USED)))
    return tmp_path


@pytest.mark.parametrize(
    "program", [["program.py"], ["-m", "program"], ["-c", "from program import *; asyncio.run(main())"]]
)
def test_neighbours_are_the_programs_alone(python, crowded, program):
    plain = run(python, [], program, crowded, {})
    assert run(python, [], ["-m", "cloop", *program], crowded, {}) == plain
    assert plain == (" ".join(["beside the program"] * len(USED)) + "\n", "", 0)


@pytest.mark.parametrize("options", [["--info"], ["--version"], ["--help"], ["--no-such-option"]], ids=str)
def test_neighbours_are_not_the_commands(python, crowded, options):
    code = 2 if options == ["--no-such-option"] else 0
    _, stderr, returncode = run(python, [], ["-m", "cloop", *options], crowded, {})
    assert returncode == code, stderr
    assert "Traceback" not in stderr


def test_neighbours_and_a_child(python, tmp_path):
    (tmp_path / "typing.py").write_text("raise ImportError('beside the program')")
    (tmp_path / "program.py").write_text(textwrap.dedent(LOOK_BESIDE).format(names="os"))
    for options in ([], ["-m"]):
        command = ["-m", "cloop", *options, "program" if options else "program.py", "spawn"]
        assert run(python, [], command, tmp_path, {}) == ("os\nchild\n", "", 0)


def test_cloop_itself_in_the_current_directory(python, crowded):
    """As of who works on it."""
    (crowded / "cloop").symlink_to(Path(cloop.__file__).resolve().parent)
    stdout, stderr, _ = run(python, [], ["-S", "-m", "cloop", "program.py"], crowded, {})
    assert stdout == " ".join(["beside the program"] * len(USED)) + "\n", stderr


@pytest.mark.parametrize("program", [["{}/program.py"], ["{}/folder"], ["-m", "program"]], ids=" ".join)
def test_in_a_directory_that_has_been_removed(python, programs, tmp_path, program):
    def enter_and_remove():
        tmp_path.joinpath("gone").mkdir()
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()

    env = environment() | {"PYTHONPATH": str(programs)}
    outcomes = []
    for prefix in ([], ["-m", "cloop"]):
        done = subprocess.run(
            [str(python), *prefix, *(word.format(programs) for word in program)],
            preexec_fn=enter_and_remove,
            env=env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        outcomes.append((done.stdout, done.stderr, done.returncode))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][2] == 0
