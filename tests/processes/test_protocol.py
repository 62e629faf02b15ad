"""The order of a protocol's calls, and what may be done in them."""

import asyncio
import logging
import os
import signal
import subprocess
import threading

import pytest

from tests.support import collect_garbage

from .recorder import Recorder


async def started(command, protocol=None, **options) -> Recorder:
    """The recorder of a shell's command."""
    _, recorder = await asyncio.get_running_loop().subprocess_shell(
        (lambda: protocol) if protocol else Recorder, command, **options
    )
    return recorder


def test_calls_of_a_whole_life(run):
    async def main():
        recorder = await started("echo out; echo err >&2; read x; exit 3")
        assert recorder.calls[0] == ("connection_made",)
        transport = recorder.transport
        assert transport.get_returncode() is None
        assert isinstance(transport.get_pid(), int)
        assert isinstance(transport.get_extra_info("subprocess"), subprocess.Popen)
        assert type(transport.get_extra_info("subprocess")) is subprocess.Popen
        assert transport.get_extra_info("nothing", 1) == 1
        assert not transport.is_closing()
        assert transport.get_protocol() is recorder
        for fd, kind in ((0, asyncio.WriteTransport), (1, asyncio.ReadTransport), (2, asyncio.ReadTransport)):
            assert isinstance(transport.get_pipe_transport(fd), kind)
        assert transport.get_pipe_transport(3) is None
        transport.get_pipe_transport(0).write(b"x\n")
        await recorder.over
        transport.close()
        assert transport.is_closing()
        return recorder

    recorder = run(main())
    assert (recorder.data(1), recorder.data(2)) == (b"out\n", b"err\n")
    assert recorder.calls[-1] == ("connection_lost", None)
    assert recorder.calls.count(("process_exited", 3)) == 1
    lost = [args for name, *args in recorder.calls if name == "pipe_connection_lost"]
    assert sorted(fd for fd, _ in lost) == [0, 1, 2]
    assert {exc for fd, exc in lost if fd} == {None}
    for fd in (1, 2):
        names = [call[:2] for call in recorder.calls]
        assert names.index(("pipe_data_received", fd)) < names.index(("pipe_connection_lost", fd))


def test_the_end_waits_for_pipes_that_others_hold(run):
    """A grandchild keeps the output; the exit is told at once, the end only when all is closed."""

    async def main():
        recorder = await started("exec 3<&0; (read x; echo late) <&3 & exit 5", stderr=None)
        while "process_exited" not in recorder.names():
            await asyncio.sleep(0.001)
        assert "connection_lost" not in recorder.names()
        assert recorder.transport.get_returncode() == 5
        recorder.transport.kill()  # there is nobody any more
        recorder.transport.get_pipe_transport(0).write(b"go\n")
        await recorder.over
        recorder.transport.close()
        return recorder

    recorder = run(main())
    assert recorder.data(1) == b"late\n"
    assert recorder.names().index("process_exited") < recorder.names().index("connection_lost")


def test_a_child_that_closes_its_pipes_early(run):
    async def main():
        recorder = await started("exec <&- >&- 2>&-; kill -STOP $$; exit 4")
        while recorder.names().count("pipe_connection_lost") < 3:
            await asyncio.sleep(0.001)
        assert "process_exited" not in recorder.names()
        assert recorder.transport.get_returncode() is None
        while recorder.transport.get_returncode() is None:
            recorder.transport.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.001)
        await recorder.over
        recorder.transport.close()
        return recorder

    assert run(main()).calls[-2:] == [("process_exited", 4), ("connection_lost", None)]


@pytest.mark.parametrize(
    "call",
    ["connection_made", "pipe_data_received", "pipe_connection_lost", "process_exited", "connection_lost"],
)
def test_closed_in_a_callback(run, call):
    async def main():
        recorder = Recorder(**{call: lambda transport: transport.close()})
        await started("echo x; echo y >&2", recorder)
        await recorder.over
        return recorder

    names = run(main()).names()
    assert names[0] == "connection_made" and names[-1] == "connection_lost"
    assert names.count("connection_lost") == names.count("process_exited") == 1


@pytest.mark.parametrize(
    "call", ["connection_made", "pipe_data_received", "process_exited", "connection_lost"]
)
def test_killed_in_a_callback(run, call):
    async def main():
        recorder = Recorder(**{call: lambda transport: transport.kill()})
        await started("echo x; read x", recorder, stderr=None)
        recorder.transport.get_pipe_transport(0).write(b"x\n")
        await recorder.over
        recorder.transport.close()
        return recorder

    assert run(main()).names()[-1] == "connection_lost"


def test_signals_once_it_is_over(run):
    async def main():
        recorder = await started("exit 0")
        await recorder.over
        transport = recorder.transport
        for send in (transport.kill, transport.terminate, lambda: transport.send_signal(signal.SIGHUP)):
            with pytest.raises(ProcessLookupError):
                send()
        transport.close()
        transport.close()

    run(main())


def test_wrong_signals(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60")
        with pytest.raises(OSError, match="Invalid argument"):
            process.send_signal(1000)
        with pytest.raises(TypeError):
            process.send_signal("SIGTERM")
        process.send_signal(0)
        process.kill()
        return await process.wait()

    assert run(main()) == -signal.SIGKILL


def test_callbacks_that_raise(run, reports):
    class Error(Exception):
        pass

    def fail(transport):
        raise Error

    async def main():
        recorder = Recorder(pipe_data_received=fail, process_exited=fail)
        await started("echo x", recorder)
        await recorder.over
        recorder.transport.close()

    run(main())
    assert [type(each["exception"]) for each in reports.take()] == [Error, Error]


def test_unclosed_transports_warn(run):
    async def main():
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            asyncio.SubprocessProtocol, "true", stdin=None, stdout=None, stderr=None
        )
        await transport._wait()
        return transport

    transport = run(main())
    # A thread of asyncio's that has told of the exit holds the transport until it ends.
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid-"):
            thread.join()
    with pytest.warns(ResourceWarning, match="unclosed transport <.*pid="):
        del transport
        collect_garbage()


def test_close_kills(run):
    async def main():
        transport, recorder = await asyncio.get_running_loop().subprocess_exec(Recorder, "sleep", "60")
        transport.close()
        await recorder.over
        return recorder

    assert ("process_exited", -signal.SIGKILL) in run(main()).calls


def test_close_leaves_the_exit_code_of_who_was_over_already(impl, run, caplog):
    if not impl.is_cloop:
        pytest.skip("asyncio's close() polls, and its watcher then finds no exit code")

    async def main():
        transport, recorder = await asyncio.get_running_loop().subprocess_exec(
            Recorder, "sh", "-c", "read x; exit 7"
        )
        transport.get_pipe_transport(0).write(b"\n")
        os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
        transport.close()
        await recorder.over
        return recorder

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        assert ("process_exited", 7) in run(main()).calls
    assert not caplog.records


def test_debug_mode_tells(run, loop, caplog):
    async def main():
        process = await asyncio.create_subprocess_exec("true", "secret", stdout=subprocess.PIPE)
        await process.communicate()
        shell = await asyncio.create_subprocess_shell(
            "exit 0", stderr=subprocess.STDOUT, stdout=subprocess.DEVNULL
        )
        await shell.wait()

    loop.set_debug(True)
    loop.slow_callback_duration = 100
    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        run(main())
    assert "execute program 'true' stdout=<pipe>" in caplog.text
    assert "run shell command 'exit 0' stdout=stderr=" in caplog.text
    assert "process 'true' created: pid" in caplog.text
    assert "exited with return code 0" in caplog.text
    assert "secret" not in caplog.text
    caplog.clear()


def test_repr(run):
    async def main():
        transport, recorder = await asyncio.get_running_loop().subprocess_exec(
            Recorder, "sleep", "60", stderr=None
        )
        running = repr(transport)
        transport.close()
        await recorder.over
        return transport.get_pid(), running, repr(transport)

    pid, running, closed = run(main())
    assert f" pid={pid} running stdin=<" in running and " stdout=<" in running
    assert f" closed pid={pid} returncode=-9" in closed


def test_wait_of_several(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60")
        waits = [asyncio.ensure_future(process.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waits[1].cancel()
        process.terminate()
        return await asyncio.gather(*waits, return_exceptions=True), await process.wait()

    (first, second, third), after = run(main())
    assert first == third == after == -signal.SIGTERM
    assert isinstance(second, asyncio.CancelledError)
