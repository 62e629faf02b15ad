"""Children: started by the loop, with their pipes and their exits."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest


def test_communicate(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; data = sys.stdin.read(); print(data.upper()); print(len(data), file=sys.stderr)",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate(b"hello" * 50_000)
        return out, err, process.returncode

    out, err, code = run(main())
    assert out == b"HELLO" * 50_000 + b"\n"
    assert err == b"250000\n"
    assert code == 0


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -signal.SIGKILL)])
def test_exit_codes(run, command, code):
    async def main():
        process = await asyncio.create_subprocess_shell(command)
        assert await process.wait() == code
        return process.returncode

    assert run(main()) == code


def test_signals_are_sent(run):
    async def main():
        codes = []
        for send in ("terminate", "kill"):
            process = await asyncio.create_subprocess_exec("sleep", "60")
            getattr(process, send)()
            codes.append(await process.wait())
        return codes

    assert run(main()) == [-signal.SIGTERM, -signal.SIGKILL]


def test_many_at_once(run):
    async def main():
        async def child(code):
            process = await asyncio.create_subprocess_shell(
                f"echo {code}; exit {code}", stdout=subprocess.PIPE
            )
            out, _ = await process.communicate()
            return int(out), process.returncode

        return await asyncio.gather(*(child(code) for code in range(50)))

    assert run(main()) == [(code, code) for code in range(50)]


def test_what_can_not_be_started(run):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program")

    run(main())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"universal_newlines": True}, "universal_newlines must be False"),
        ({"bufsize": 1}, "bufsize must be 0"),
        ({"text": True}, "text must be False"),
        ({"encoding": "utf-8"}, "encoding must be None"),
        ({"errors": "strict"}, "errors must be None"),
    ],
)
def test_pipes_are_of_bytes(run, options, text):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=f"^{text}$"):
            await loop.subprocess_exec(asyncio.SubprocessProtocol, "true", **options)
        with pytest.raises(ValueError, match=f"^{text}$"):
            await loop.subprocess_shell(asyncio.SubprocessProtocol, "true", **options)
        with pytest.raises(ValueError, match=r"^shell must be False$"):
            await loop.subprocess_exec(asyncio.SubprocessProtocol, "true", shell=True)
        with pytest.raises(ValueError, match=r"^shell must be True$"):
            await loop.subprocess_shell(asyncio.SubprocessProtocol, "true", shell=False)
        with pytest.raises(ValueError, match=r"^cmd must be a string$"):
            await loop.subprocess_shell(asyncio.SubprocessProtocol, 1)

    run(main())


def test_the_order_of_callbacks(run):
    async def main():
        loop = asyncio.get_running_loop()
        calls = []
        over = loop.create_future()

        class Protocol(asyncio.SubprocessProtocol):
            def connection_made(self, transport):
                calls.append("made")

            def pipe_data_received(self, fd, data):
                calls.append((fd, data))

            def pipe_connection_lost(self, fd, exc):
                calls.append(("lost", fd, exc))

            def process_exited(self):
                calls.append("exited")

            def connection_lost(self, exc):
                calls.append(("lost", exc))
                over.set_result(None)

        transport, _ = await loop.subprocess_exec(Protocol, "echo", "x", stdin=None, stderr=None)
        await over
        info = transport.get_extra_info("subprocess")
        transport.close()
        return calls, info

    calls, info = run(main())
    assert calls[0] == "made" and calls[-1] == ("lost", None)
    assert sorted(map(str, calls[1:-1])) == sorted(map(str, [(1, b"x\n"), ("lost", 1, None), "exited"]))
    assert isinstance(info, subprocess.Popen)


def test_popen_options_reach_the_child(run, tmp_path):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            "pwd; echo $WORD",
            cwd=tmp_path,
            env={**os.environ, "WORD": "word"},
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return out.decode().split()

    assert run(main()) == [os.path.realpath(tmp_path), "word"]
