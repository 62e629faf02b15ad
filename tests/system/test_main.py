"""python -m cloop: a program runs on cloop and cannot otherwise tell the difference.

Each program is run by plain Python too, and must print the same and end in the same way.
"""

import signal
import subprocess
import sys
import textwrap
import zipapp
import zipfile

import pytest

from tests.support import PY314, PY315

from .processes import read_until, rest_of, run_python, running_python, without_locations


@pytest.fixture
def write(tmp_path):
    """Write a program into the test's directory."""

    def write_program(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write_program


@pytest.fixture
def both(tmp_path):
    """Run a command line with plain Python and with cloop; assert that they agree."""

    def run_both(*args, **kwargs):
        plain = run_python(*args, cwd=tmp_path, **kwargs)
        ours = run_python("-m", "cloop", *args, cwd=tmp_path, **kwargs)
        assert ours.stdout == plain.stdout
        assert without_locations(ours.stderr) == without_locations(plain.stderr)
        assert ours.returncode == plain.returncode
        return ours

    return run_both


LOOK_AROUND = """
    '''The program's docstring.'''
    import os, sys
    value = 1
    print(sys.argv)
    print(__name__, __doc__, os.path.basename(__file__))
    print(sys.modules["__main__"].__dict__ is globals(), sys.modules["__main__"].value)
    print(os.path.realpath(sys.path[0]) == os.path.realpath(os.getcwd()), "" in sys.path)
    print(__package__ or None, sorted(name for name in globals() if not name.startswith("__")))
"""


def test_script(write, both):
    write("program.py", LOOK_AROUND)
    result = both("program.py", "one", "--two", "-m", "three", "--info", "--", "")
    assert result.stdout.startswith("['program.py', 'one', '--two', '-m', 'three', '--info', '--', '']\n")
    assert result.returncode == 0


def test_module(write, both):
    write("module.py", LOOK_AROUND)
    result = both("-m", "module", "one", "--two", "-m", "three")
    assert "'one', '--two', '-m', 'three']" in result.stdout


def test_package(write, both):
    write("package/__init__.py", "print('imported', __name__)")
    write("package/__main__.py", "from . import other\nprint(__name__, __package__)")
    write("package/other.py", "print('imported', __name__)")
    assert both("-m", "package", "argument").returncode == 0
    assert both("-m", "package.other").returncode == 0


def test_directory_and_archive(write, both, tmp_path):
    write("program/__main__.py", "import helper, sys\nprint(helper.value, __name__, len(sys.argv))")
    write("program/helper.py", "value = 'helped'")
    assert both("program", "argument").stdout == "helped __main__ 2\n"
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        for name in ("__main__.py", "helper.py"):
            archive.write(tmp_path / "program" / name, name)
    assert both("program.zip").stdout == "helped __main__ 1\n"


SERVE = """
    '''The docstring.'''
    import asyncio, sys

    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    async def talk():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"there and back\\n")
        print(await reader.readline())
        writer.close()
        await writer.wait_closed()
        server.close()
        child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        print(await child.communicate(b"through a child"))

    def main():
        print(__doc__, __debug__, sys.flags.optimize)
        assert not sys.flags.optimize
        asyncio.run(talk())

    if __name__ == "__main__":
        main()
"""


@pytest.mark.parametrize("level", ["-O", "-OO"])
def test_without_assertions_and_docstrings(write, tmp_path, level):
    write("program.py", SERVE)
    plain = run_python(level, "program.py", cwd=tmp_path)
    ours = run_python(level, "-m", "cloop", "program.py", cwd=tmp_path)
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, "", 0)
    assert ours.stdout.endswith("(b'through a child', None)\n")


def test_zipapp(write, both, tmp_path):
    """As the standard library makes it: with a line for the shell before the archive."""
    write("app/app.py", SERVE)
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz", sys.executable, "app:main", compressed=True)
    assert both("app.pyz").stdout.endswith("(b'through a child', None)\n")
    write("app/app.py", SERVE.replace("asyncio.run(", "__import__('cloop').run("))
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz", sys.executable, "app:main")
    assert both("app.pyz").stdout.endswith("(b'through a child', None)\n")


def test_script_in_another_directory(write, both):
    write("folder/program.py", "import neighbour\nprint(neighbour.value)")
    write("folder/neighbour.py", "value = 7")
    assert both("folder/program.py").stdout == "7\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit()", 0),
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('a message')", 1),
        ("raise SystemExit(5)", 5),
        ("os._exit(7)", 7),
        ("raise KeyError('raised')", 1),
        ("asyncio.run(fail())", 1),
        ("asyncio.run(leave(4))", 4),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
        ("raise ValueError from KeyError('cause')", 1),
        ("raise ExceptionGroup('group', [KeyError('inner')])", 1),
        ("1 +", 1),
    ],
)
def test_exit_codes_and_tracebacks(write, both, ending, code):
    write(
        "program.py",
        f"""
        import asyncio, atexit, os, signal, sys

        async def fail():
            await asyncio.sleep(0)
            raise KeyError("raised in a coroutine")

        async def leave(code):
            sys.exit(code)

        def main():
            {ending}

        atexit.register(print, "at exit")
        main()
        """,
    )
    # A loop's own frames are in the traceback of what leaves asyncio.run, and they differ.
    if "asyncio.run" in ending:
        result = run_python("-m", "cloop", "program.py", cwd=write("x", "").parent)
        assert result.returncode == code
        assert ("KeyError: 'raised in a coroutine'" in result.stderr) is (code == 1)
    else:
        assert both("program.py").returncode == code


def test_what_is_not_there(both, tmp_path):
    result = run_python("-m", "cloop", "missing.py", cwd=tmp_path)
    assert result.returncode == 2
    assert "can't open file" in result.stderr and "No such file or directory" in result.stderr
    result = run_python("-m", "cloop", "-m", "no_such_module", cwd=tmp_path)
    assert result.returncode == 1
    assert "No module named no_such_module" in result.stderr


def test_standard_input_and_output(write, both):
    write("program.py", "import sys\nprint(sys.stdin.read().upper(), file=sys.stderr)")
    assert both("program.py", stdin="typed").stderr == "TYPED\n"


def test_pickling_what_main_defines(write, both):
    write(
        "program.py",
        """
        import pickle

        class Thing:
            pass

        if __name__ == "__main__":
            print(type(pickle.loads(pickle.dumps(Thing()))) is Thing, Thing.__module__)
        """,
    )
    assert both("program.py").stdout == "True __main__\n"


def test_source_of_main_can_be_inspected(write, both):
    write("program.py", "import inspect\ndef function():\n    return 1\nprint(inspect.getsource(function))")
    assert both("program.py").returncode == 0


WHICH_LOOP = """
    import asyncio, sys, unittest, warnings
    warnings.simplefilter("ignore")

    async def which():
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        return type(loop).__module__.split(".")[0], type(task).__module__.split(".")[0]

    if sys.version_info < (3, 14):
        loop = asyncio.get_event_loop_policy().get_event_loop()
        print(loop.run_until_complete(which()))
        loop.close()
    print(asyncio.run(which()))
    with asyncio.Runner() as runner:
        print(runner.run(which()))
    loop = asyncio.new_event_loop()
    print(loop.run_until_complete(which()))
    loop.close()

    class Test(unittest.IsolatedAsyncioTestCase):
        async def test(self):
            print(await which())

    unittest.main(argv=["program"])
"""


def test_every_way_to_a_loop_gives_cloops(write, tmp_path):
    write("program.py", WHICH_LOOP)
    result = run_python("-m", "cloop", "program.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    expected = 4 if PY314 else 5
    assert result.stdout == "('cloop', 'cloop')\n" * expected


def test_install(write, tmp_path):
    program = textwrap.dedent(WHICH_LOOP)
    write(
        "program.py", "import cloop, warnings\nwarnings.simplefilter('ignore')\ncloop.install()\n" + program
    )
    result = run_python("program.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.splitlines()) == {"('cloop', 'cloop')"}


def test_a_loop_factory_of_the_program_wins(write, tmp_path):
    write(
        "program.py",
        """
        import asyncio

        async def main():
            print(type(asyncio.get_running_loop()).__module__)

        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(main())
        """,
    )
    assert run_python("-m", "cloop", "program.py", cwd=tmp_path).stdout == "asyncio.unix_events\n"


@pytest.mark.skipif(PY315 and sys.version_info >= (3, 16), reason="3.16 has no policies")
def test_policy(write, tmp_path):
    write(
        "program.py",
        """
        import asyncio, warnings
        warnings.simplefilter("ignore")
        import cloop

        policy = cloop.EventLoopPolicy()
        print(isinstance(policy, asyncio.AbstractEventLoopPolicy))
        asyncio.set_event_loop_policy(policy)
        loop = asyncio.new_event_loop()
        print(type(loop) is cloop.Loop)
        loop.close()
        """,
    )
    assert run_python("program.py", cwd=tmp_path).stdout == "True\nTrue\n"


# What 3.16 takes away, and what is there in its place.
WITHOUT_POLICIES = """
import asyncio, sys, warnings
from asyncio import events, unix_events

for module in (asyncio, events, unix_events):
    for name in [*vars(module)]:
        if "olicy" in name or "policies" in name or "ChildWatcher" in name or "child_watcher" in name:
            delattr(module, name)
current = []
events.set_event_loop = asyncio.set_event_loop = lambda loop: current.append(loop)
events.get_event_loop = asyncio.get_event_loop = lambda: current[-1]
sys.version_info = (3, 16, 0, "alpha", 0)

import cloop
from cloop import *
assert not hasattr(cloop, "EventLoopPolicy")

async def main():
    return type(asyncio.get_running_loop()).__module__

print(cloop.run(main()), asyncio.run(main(), loop_factory=cloop.new_event_loop))
with warnings.catch_warnings(action="ignore"):
    cloop.install()
print(asyncio.run(main()))
"""


@pytest.mark.skipif(not PY314, reason="up to 3.13 children are waited for by way of the policy")
def test_without_policies(tmp_path):
    """As 3.16 is announced to be: install() makes cloop's loops the default without one."""
    result = run_python("-c", WITHOUT_POLICIES, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("cloop.loop cloop.loop\ncloop.loop\n", "")


SHAPES = {
    "script": (["program.py"], ""),
    "module": (["-m", "program"], ""),
    "folder": (["folder"], ""),
    "code": (["-c", "import sys; print(sys.argv, sys.path[0])\n{}"], ""),
    "joined": (["-cimport sys; print(sys.argv, sys.path[0])\n{}"], ""),
    "input": (["-"], "import sys; print(sys.argv, sys.path[0])\n{}"),
}
GLOBALS = """
print(sorted(globals()), __name__, __spec__ and __spec__.name, __package__, __loader__.__class__.__name__)
print(globals().get("__file__"), globals().get("__cached__"), globals().get("__annotations__"))
value: int = 1
print(__import__("sys").version_info >= (3, 14) or __annotations__)
"""


ENDINGS = ["raise KeyError('raised')", "def f():\n  1/0\nf()", "1 +"]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_globals_of_main_and_its_tracebacks(write, both, shape):
    command, stdin = SHAPES[shape]
    # A traceback of the others begins with runpy's frames by plain Python.
    for ending in ["", *(ENDINGS if shape not in ("module", "folder") else [])]:
        text = f"{GLOBALS}{ending}\n"
        write("program.py", text)
        write("folder/__main__.py", text)
        words = [word.replace("{}", text) for word in command]
        result = both(*words, "one", "--two", "-c", stdin=stdin.replace("{}", text))
        assert result.returncode == (1 if ending else 0), result.stderr


def test_what_there_is_of_standard_input(both):
    """Nothing; and an error in its middle runs none of it."""
    assert both("-", stdin="").returncode == 0
    assert both("-", stdin="print(1)\n1 +\n").stdout == ""


def test_code_runs_on_cloop(tmp_path):
    code = "import asyncio\nasync def main(): print(type(asyncio.current_task()))\nasyncio.run(main())"
    for command, stdin in ((["-c", code], ""), (["-"], code)):
        assert run_python("-m", "cloop", *command, cwd=tmp_path, stdin=stdin).stdout.startswith(
            "<class 'cloop"
        )


def test_version(tmp_path):
    result = run_python("-m", "cloop", "--version", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("cloop ")


@pytest.mark.parametrize("args", [[], ["-m"], ["-c"], ["--"], [""], ["--no-such-option"]], ids=str)
def test_command_lines_that_make_no_sense(tmp_path, args):
    result = run_python("-m", "cloop", *args, cwd=tmp_path)
    assert result.returncode == 2
    assert "usage: python -m cloop" in result.stderr


def test_help(tmp_path):
    result = run_python("-m", "cloop", "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "-m module" in result.stdout


@pytest.mark.parametrize("way", ["plain", "cloop"])
def test_ctrl_c(write, tmp_path, way):
    write(
        "program.py",
        """
        import asyncio

        async def main():
            print("ready")
            try:
                await asyncio.sleep(60)
            finally:
                print("cleaned up")

        asyncio.run(main())
        """,
    )
    args = ["program.py"] if way == "plain" else ["-m", "cloop", "program.py"]
    with running_python(*args, cwd=tmp_path) as process:
        read_until(process, "ready")
        process.send_signal(signal.SIGINT)
        code, output = rest_of(process)
    assert code == -signal.SIGINT
    assert output.startswith("cleaned up\n")
    assert output.rstrip().endswith("KeyboardInterrupt")


def test_a_pipe_that_closes_early(write, tmp_path):
    """As `python program.py | head -1`: the exit code of plain Python."""
    path = write("program.py", "for number in range(200_000): print(number)")
    codes = []
    for prefix in ([], ["-m", "cloop"]):
        with subprocess.Popen(
            [sys.executable, *prefix, path], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            process.stdout.close()
            process.stderr.read()
        codes.append(process.returncode)
    assert codes[0] == codes[1] != 0
