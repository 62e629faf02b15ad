"""What can't be started is refused in Popen's words, and nothing is left of it."""

import asyncio
import os
import subprocess
import sys
from errno import ENOENT, ETXTBSY
from pathlib import Path

import pytest

from tests.support import EARLY_311, no_more_descriptors, open_fds

NUMBER_TOO_LARGE = 1 << 40


@pytest.fixture
def files(tmp_path):
    """A folder with a text, a program that is none, and one that nobody may execute."""
    (tmp_path / "text").write_text("no program")
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x00\x01\x02")
    broken.chmod(0o755)
    return tmp_path


REFUSED = {
    "no such program": (["no-such-program"], {}),
    "no such path": (["/no/such/program"], {}),
    "no such Path": ([Path("/no/such/program")], {}),
    "no such Path, which needs a search": ([Path("no-such-program")], {}),
    "no such Path, of a child with a umask": ([Path("/no/such/program")], {"umask": 0}),
    "no such Path, of a child that inherits": ([Path("/no/such/program")], {"close_fds": False}),
    "no such Path, of a child that gets more": ([Path("/no/such/program")], {"pass_fds": (2,)}),
    "no such Path, elsewhere": ([Path("/no/such/program")], {"cwd": "/"}),
    "no such Path, with a name": (["true"], {"executable": Path("/no/such/program")}),
    "not executable": (["{}/text"], {}),
    "not executable, in the path": (["text"], {"env": {"PATH": "/no:{}:/no/such"}}),
    "no program": (["{}/broken"], {}),
    "a folder": (["{}"], {}),
    "below a file": (["{}/text/program"], {}),
    "empty name": ([""], {}),
    "empty path": (["true"], {"env": {"PATH": ""}}),
    "no such cwd": (["true"], {"cwd": "/no/such"}),
    "cwd is a file": (["true"], {"cwd": "{}/text"}),
    "NUL in the program": (["tr\0ue"], {}),
    "NUL in an argument": (["true", "a\0b"], {}),
    "NUL in bytes": (["true", b"a\0b"], {}),
    "NUL in cwd": (["true"], {"cwd": "a\0b"}),
    "NUL in a value": (["true"], {"env": {"A": "a\0b"}}),
    "NUL in a name": (["true"], {"env": {"A\0": "b"}}),
    "NUL in executable": (["true"], {"executable": "/bin/tr\0ue"}),
    "= in a name": (["true"], {"env": {"A=B": "c"}}),
    "a number as argument": (["true", 1], {}),
    "a number as program": ([1], {}),
    "a number as value": (["true"], {"env": {"A": 1}}),
    "a number as cwd": (["true"], {"cwd": 1.5}),
    "too many arguments": (["true", "x" * (1 << 22)], {}),
    "no descriptor": (["true"], {"pass_fds": (-1,)}),
    "a closed descriptor": (["true"], {"pass_fds": (9999,)}),
    "a word as descriptor": (["true"], {"pass_fds": ("x",)}),
    "umask of a word": (["true"], {"umask": "x"}),
    "umask of a fraction": (["true"], {"umask": 1.5}),
    "umask too large": (["true"], {"umask": NUMBER_TOO_LARGE}),
    "no such process group": (["true"], {"process_group": 1 << 21}),
    "process group of a fraction": (["true"], {"process_group": 1.5}),
    "process group of a word": (["true"], {"process_group": "x"}),
    "no such user": (["true"], {"user": "no-such-user"}),
    "user -1": (["true"], {"user": -1}),
    "group of the wrong type": (["true"], {"group": 1.5}),
    "groups in a word": (["true"], {"extra_groups": "root"}),
    "pipesize of a word": (["true"], {"pipesize": "x"}),
    "startupinfo": (["true"], {"startupinfo": 1}),
    "creationflags": (["true"], {"creationflags": 1}),
    "unknown keyword": (["true"], {"no_such_keyword": 1}),
    "stdout is STDOUT": (["true"], {"stdout": subprocess.STDOUT}),
    "stdin of the wrong type": (["true"], {"stdin": "x"}),
    "stdin that is closed": (["true"], {"stdin": 9999}),
}


def fill_in(value, folder):
    """The folder's name where a {} stands for it."""
    if isinstance(value, dict):
        return {name: fill_in(each, folder) for name, each in value.items()}
    return value.replace("{}", str(folder)) if isinstance(value, str) else value


def words_of(exc: BaseException) -> tuple[type, str, object]:
    return type(exc), str(exc), getattr(exc, "filename", None)


# Told by Popen after it has opened the pipes.
REFUSED_LATE = {"no such user", "user -1", "group of the wrong type", "groups in a word"}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(run, files, case):
    if EARLY_311 and case in REFUSED_LATE:
        pytest.skip("Popen of early Pythons 3.11 leaves its pipes open")
    args, options = REFUSED[case]
    args, options = [fill_in(each, files) for each in args], fill_in(options, files)
    with pytest.raises(Exception) as expected:
        subprocess.Popen(args, **options)

    async def main(**more):
        with pytest.raises(Exception) as refused:
            await asyncio.create_subprocess_exec(*args, **options | more)
        return words_of(refused.value)

    assert run(main()) == words_of(expected.value)
    if "stdin" not in options and "stdout" not in options:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        assert run(main(**pipes)) == words_of(expected.value)


@pytest.mark.parametrize("value", [None, "x", [], 1.5, NUMBER_TOO_LARGE], ids=repr)
@pytest.mark.parametrize("flag", ["close_fds", "restore_signals", "start_new_session"])
def test_flags_of_any_type(run, flag, value):
    """Python 3.11 takes numbers only, for the last two."""

    def of_popen():
        with subprocess.Popen(["true"], **{flag: value}) as process:
            return process.wait()

    async def of_loop():
        process = await asyncio.create_subprocess_exec("true", **{flag: value})
        return await process.wait()

    try:
        expected = of_popen()
    except (TypeError, OverflowError) as exc:
        with pytest.raises(type(exc)) as refused:
            run(of_loop())
        assert words_of(refused.value) == words_of(exc)
    else:
        assert run(of_loop()) == expected == 0


def test_nothing_is_open_while_the_error_is_there(run):
    """Whose traceback has all frames, which somebody may keep for long."""

    async def main():
        before = open_fds()
        with pytest.raises(FileNotFoundError) as refused:
            await asyncio.create_subprocess_exec("/no/such", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert open_fds() == before
        assert refused.value.errno == ENOENT

    run(main())


def test_descriptors_that_are_told_once(run):
    async def main():
        with pytest.raises(ValueError, match=r"^bad value\(s\) in fds_to_keep$"):
            await asyncio.create_subprocess_exec("true", pass_fds=iter([-1]))

    run(main())


def test_a_program_that_is_open_for_writing(run, files):
    async def main():
        with (files / "broken").open("w"):
            starts = [asyncio.create_subprocess_exec(name) for name in ("true", program, "true")]
            first, refused, last = await asyncio.gather(*starts, return_exceptions=True)
        assert await first.wait() == await last.wait() == 0
        return refused

    program = str(files / "broken")
    assert words_of(run(main())) == words_of(OSError(ETXTBSY, os.strerror(ETXTBSY), program))


def test_a_shell_refuses(run):
    async def main():
        loop = asyncio.get_running_loop()
        for command in (["true"], None):
            with pytest.raises(ValueError, match=r"^cmd must be a string$"):
                await loop.subprocess_shell(asyncio.SubprocessProtocol, command)
        with pytest.raises(ValueError, match="null"):
            await loop.subprocess_shell(asyncio.SubprocessProtocol, "tr\0ue")
        process = await asyncio.create_subprocess_shell("no-such-program", stderr=subprocess.PIPE)
        _, err = await process.communicate()
        return process.returncode, err

    code, err = run(main())
    assert code == 127 and b"no-such-program" in err


def test_no_descriptors_left(run):
    async def main():
        with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
            await asyncio.create_subprocess_exec("true", stdin=subprocess.PIPE)
        process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    assert run(main()) == 0


def test_two_descriptors_are_enough(run):
    """For the report of the exec: that of the child itself can come when those are free again."""

    async def main():
        with no_more_descriptors(but=1), pytest.raises(OSError, match="Too many open files"):
            await asyncio.create_subprocess_exec("true")
        with no_more_descriptors(but=2):
            process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    assert run(main()) == 0


def test_an_audit_hook_may_refuse(impl, tmp_path):
    program = f"""
import asyncio, sys
import {impl.name} as impl
seen = []
def hook(event, args):
    if event == "subprocess.Popen":
        seen.append(args)
        if args[0] == "false":
            raise RuntimeError("refused")
sys.addaudithook(hook)
async def main():
    process = await asyncio.create_subprocess_exec("true", "x", cwd="/", env=dict(PATH="/bin:/usr/bin"))
    assert await process.wait() == 0
    try:
        await asyncio.create_subprocess_exec("false")
    except RuntimeError as exc:
        print(exc, seen)
loop = impl.new_event_loop()
loop.run_until_complete(main())
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == (
        "refused [('true', ['true', 'x'], '/', {'PATH': '/bin:/usr/bin'}), "
        "('false', ['false'], None, None)]\n"
    )


def test_the_first_error_counts(run, files):
    """One that is found but may not be executed, before one that is not there."""

    async def main(path):
        with pytest.raises(OSError, match="text") as refused:
            await asyncio.create_subprocess_exec("text", env={"PATH": path})
        return type(refused.value)

    assert run(main(f"{files}:/no/such")) is PermissionError
    assert run(main("/no/such:/neither")) is FileNotFoundError
