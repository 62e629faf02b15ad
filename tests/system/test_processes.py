"""Whole processes on either loop: Ctrl-C, the end of the interpreter, fork."""

import signal

import pytest

from .processes import read_until, rest_of, run_python, running_python


def interrupted(path, tmp_path, number=signal.SIGINT, times=1):
    """Start a program, send it a signal once it says ready; its exit code and output."""
    with running_python(path, cwd=tmp_path) as process:
        read_until(process, "ready")
        for _ in range(times):
            process.send_signal(number)
        return rest_of(process)


@pytest.mark.parametrize("state", ["asleep", "busy", "reading"])
def test_ctrl_c_cancels_the_main_task(program, tmp_path, state):
    path = program(
        f"""
        async def main():
            loop = asyncio.get_running_loop()
            if {state == "busy"}:
                async def spin():
                    while True:
                        await asyncio.sleep(0)
                task = asyncio.create_task(spin())
            if {state == "reading"}:
                # Bare numbers: a socket that is not closed would warn at the end.
                left, right = (sock.detach() for sock in socket.socketpair())
                loop.add_reader(left, print, "never")
            loop.call_later(0.01, print, "ready")
            try:
                await forever()
            except asyncio.CancelledError:
                print("cancelled")
                raise
            finally:
                await asyncio.sleep(0.001)
                print("cleaned up")

        impl.run(main())
        """
    )
    code, output = interrupted(path, tmp_path)
    assert code == -signal.SIGINT
    assert output.startswith("cancelled\ncleaned up\n")
    assert output.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_in_run_forever(program, tmp_path):
    path = program(
        """
        loop = impl.new_event_loop()
        loop.call_later(0.01, print, "ready")
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted")
            print(loop.run_until_complete(asyncio.sleep(0, "runs again")))
        finally:
            loop.close()
        """
    )
    assert interrupted(path, tmp_path) == (0, "interrupted\nruns again\n")


def test_a_second_ctrl_c_interrupts_at_once(program, tmp_path):
    """The first was caught by the main task; the second does not ask it."""
    path = program(
        """
        async def main():
            asyncio.get_running_loop().call_later(0.01, print, "ready")
            try:
                await forever()
            except asyncio.CancelledError:
                asyncio.get_running_loop().call_later(0.01, print, "again")
                await asyncio.sleep(60)

        impl.run(main())
        """
    )
    with running_python(path, cwd=tmp_path) as process:
        read_until(process, "ready")
        process.send_signal(signal.SIGINT)
        read_until(process, "again")
        process.send_signal(signal.SIGINT)
        code, output = rest_of(process)
    assert code == -signal.SIGINT
    assert output.rstrip().endswith("KeyboardInterrupt")


def test_a_handler_of_sigterm(program, tmp_path):
    path = program(
        """
        async def main():
            loop, stopped = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, stopped.set)
            loop.call_later(0.01, print, "ready")
            await stopped.wait()
            print("stopped")

        impl.run(main())
        """
    )
    assert interrupted(path, tmp_path, signal.SIGTERM) == (0, "stopped\n")


def test_a_server_under_ctrl_c(program, tmp_path):
    path = program(
        """
        async def echo(reader, writer):
            try:
                while data := await reader.read(100):
                    writer.write(data)
            except asyncio.CancelledError:
                # 3.11 would log it.
                pass
            finally:
                writer.close()

        async def main():
            async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"x")
                await reader.readexactly(1)
                print("ready")
                try:
                    await forever()
                finally:
                    writer.close()

        try:
            impl.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert interrupted(path, tmp_path) == (0, "interrupted\n")


def test_exit_with_pending_tasks(run_program):
    """At the interpreter's end tasks are reported, and nothing else happens."""
    _, errors = run_program(
        """
        loop = impl.new_event_loop()
        tasks = [loop.create_task(forever()) for _ in range(3)]
        loop.run_until_complete(asyncio.sleep(0.001))
        """
    )
    assert errors.replace("Task was destroyed but it is pending!", "").count("Error") == 0


@pytest.mark.parametrize(
    "state",
    [
        "pass",
        "loop.call_soon(print, loop)",
        "loop.call_later(100, print, loop)",
        "loop.add_reader(left, print, loop)",
        "future = loop.create_future(); future.add_done_callback(print)",
        "loop.run_until_complete(asyncio.sleep(0)); loop.set_exception_handler(lambda *args: None)",
        "handle = loop.call_soon(print); timer = loop.call_later(5, print); del loop",
        "impl.cycle = loop; loop.cycle = impl",
        "sys.modules['held'] = loop",
        "asyncio.set_event_loop(loop)",
        "loop.close()",
        "server = loop.run_until_complete(loop.create_server(asyncio.Protocol, '127.0.0.1', 0))",
        "link = connect(loop, left)",
        "link = connect(loop, left); link.write(bytes(10**7))",
        "generator = endless(); loop.run_until_complete(anext(generator))",
        "loop.run_until_complete(loop.run_in_executor(None, int))",
        "loop.add_signal_handler(signal.SIGUSR1, print)",
    ],
)
def test_exit_with_an_open_loop(run_program, state):
    run_program(
        f"""
        async def endless():
            while True:
                yield 1

        def connect(loop, sock):
            return loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=sock))[0]

        left, right = socket.socketpair()
        loop = impl.new_event_loop()
        {state}
        print("end")
        """
    )


def test_exit_in_development_mode_warns(program, tmp_path):
    result = run_python("-X", "dev", program("loop = impl.new_event_loop()"), cwd=tmp_path)
    assert result.returncode == 0
    assert "ResourceWarning: unclosed event loop" in result.stderr


@pytest.mark.parametrize("where", ["loop.call_soon", "loop.call_soon_threadsafe"])
def test_exit_code_out_of_a_callback(run_program, where):
    run_program(f"loop = impl.new_event_loop(); {where}(sys.exit, 9); loop.run_forever()", code=9)


def test_exit_while_a_daemon_thread_runs_a_loop(run_program):
    """The thread is stopped wherever it is when the interpreter goes away."""
    output, _ = run_program(
        """
        def work():
            loop = impl.new_event_loop()

            async def spin():
                while True:
                    await asyncio.sleep(0)
                    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.0001))

            loop.call_soon(started.set)
            loop.run_until_complete(spin())

        started = threading.Event()
        threading.Thread(target=work, daemon=True).start()
        started.wait()
        time.sleep(0.05)
        print("end")
        """
    )
    assert output == "end\n"


def test_exit_while_a_daemon_thread_posts(run_program):
    output, _ = run_program(
        """
        loop = impl.new_event_loop()

        def post():
            try:
                while True:
                    loop.call_soon_threadsafe(int)
            except RuntimeError:
                pass

        threading.Thread(target=post, daemon=True).start()
        loop.call_later(0.02, loop.stop)
        loop.run_forever()
        loop.close()
        print("end")
        """
    )
    assert output == "end\n"


def test_exit_while_a_daemon_thread_sleeps_in_a_loop(run_program):
    run_program(
        """
        def work():
            impl.new_event_loop().run_forever()

        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
        """
    )


def test_os_exit_in_a_callback(run_program):
    run_program("loop = impl.new_event_loop(); loop.call_soon(os._exit, 6); loop.run_forever()", code=6)


def test_many_loops_collected_at_the_end(run_program):
    run_program(
        """
        gc.disable()
        kept = []
        for _ in range(50):
            loop = impl.new_event_loop()
            loop.call_soon(print, loop)
            loop.task = loop.create_task(forever())
            loop.task._log_destroy_pending = False
            loop.run_until_complete(asyncio.sleep(0))
            loop.call_later(9, print, loop)
            kept.append(loop)
        kept.append(kept)
        """
    )


def test_fork_in_a_running_loop(run_program):
    """The child has no running loop, and may run one of its own; the parent's goes on."""
    output, _ = run_program(
        """
        async def child():
            await asyncio.sleep(0.001)
            left, right = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=left)
            right.send(b"in the child")
            data = await reader.readexactly(12)
            writer.close()
            return data.decode()

        async def main():
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    print(impl.run(child()))
                    sys.stdout.flush()
                    code = 0
                finally:
                    os._exit(code)
            await asyncio.sleep(0.01)
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
            return os.waitstatus_to_exitcode(status)

        print(impl.run(main()))
        """
    )
    assert output == "in the child\n0\n"


def test_import_without_use(run_program):
    run_program("assert impl.Future and impl.Task")


def test_a_loop_in_every_thread(run_program):
    output, _ = run_program(
        """
        def work():
            async def main():
                results = await asyncio.gather(*(asyncio.sleep(0.001, number) for number in range(50)))
                return sum(results)

            totals.append(impl.run(main()))

        totals = []
        threads = [threading.Thread(target=work) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(totals)
        """
    )
    assert output == f"{[1225] * 10}\n"


@pytest.mark.parametrize("held", [True, False])
def test_an_exit_that_nobody_fetched_is_told_once(program, tmp_path, held):
    """Also where the interpreter is too far gone to format a traceback."""
    path = program(
        f"""
        async def leave():
            sys.exit(3)

        async def main():
            global task
            made = asyncio.create_task(leave())
            if {held}:
                task = made
            await forever()

        loop = impl.new_event_loop()
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()
        """
    )
    result = run_python(path, cwd=tmp_path)
    assert result.returncode == 3
    assert result.stderr.count("Traceback (most recent call last)") <= 1
    assert result.stderr.count("Exception ignored") <= 1
