"""Who asked for cloop is told, once, when another loop runs instead. Loops of others are in tests/apps."""

import textwrap

import pytest

from .processes import run_python

PRELUDE = """
import asyncio, multiprocessing, subprocess, sys, threading, warnings
warnings.simplefilter("ignore")

async def main():
    sys.stdout.write(type(asyncio.get_running_loop()).__name__ + "\\n")

def run_selector_loop():
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())

class TheirPolicy(asyncio.DefaultEventLoopPolicy):
    pass

"""
SELECTOR = "_UnixSelectorEventLoop\n"


@pytest.fixture
def told(tmp_path):
    """Run a program; returns the lines on its standard error, and what it printed."""

    def run(text, *options):
        program = tmp_path / "program.py"
        program.write_text(PRELUDE + textwrap.dedent(text))
        result = run_python(*options, "program.py", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result.stderr.splitlines(), result.stdout

    return run


COMMAND = ("-m", "cloop")


def test_the_line(told, tmp_path):
    (line,), printed = told("run_selector_loop()", *COMMAND)
    assert printed == SELECTOR
    assert line == (
        f"cloop: asyncio.unix_events._UnixSelectorEventLoop runs here ({tmp_path}/program.py, line 10), "
        "although cloop was asked for. "
        "To choose cloop: loop_factory=cloop.new_event_loop, or no loop factory."
    )


def test_once(told):
    program = """
        run_selector_loop()
        threads = [threading.Thread(target=run_selector_loop) for _ in range(5)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        asyncio.run(main())
        loop = asyncio.SelectorEventLoop()
        loop.run_until_complete(main())
        loop.close()
    """
    lines, printed = told(program, *COMMAND)
    assert len(lines) == 1
    assert printed == 6 * SELECTOR + "Loop\n" + SELECTOR


@pytest.mark.parametrize(
    "program",
    [
        "asyncio.run(main()); asyncio.run(main(), debug=True)",
        "asyncio.SelectorEventLoop().close(); asyncio.run(main())",
        "old = asyncio.get_event_loop_policy(); asyncio.set_event_loop_policy(TheirPolicy())\n"
        "asyncio.set_event_loop_policy(old); asyncio.run(main())",
        "import cloop; cloop.run(main()); cloop.install(); asyncio.run(main())",
        "class Mine(__import__('cloop').Loop): pass\nMine().run_until_complete(main())",
        "print('no loop at all')",
    ],
)
def test_nothing_where_no_other_loop_runs(told, program):
    assert told(program, *COMMAND)[0] == []


def test_nothing_where_nobody_asked(told):
    assert told("run_selector_loop(); import cloop; run_selector_loop(); cloop.run(main())")[0] == []


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_children_by_multiprocessing(told, how):
    """They asked for cloop with their parent; if that one has told it, they say nothing."""
    program = f"""
        if __name__ == "__main__":
            if sys.argv[1:] == ["told"]:
                run_selector_loop()
            process = multiprocessing.get_context({how!r}).Process(target=run_selector_loop)
            process.start()
            process.join()
    """
    lines, printed = told(program, *COMMAND)
    assert (len(lines), printed) == (1, SELECTOR)
    lines, printed = told(program.replace('["told"]', "[]"), *COMMAND)
    assert (len(lines), printed) == (1, 2 * SELECTOR)


@pytest.mark.parametrize("first", ["parent", "child"])
def test_fork(told, first):
    """Whichever runs another loop first tells it."""
    program = f"""
        import os
        if os.fork() == 0:
            if {first == "parent"}: __import__("time").sleep(0.5)
            run_selector_loop()
            os._exit(0)
        if {first == "child"}: os.wait()
        run_selector_loop()
        if {first == "parent"}: os.wait()
        print("the end")
    """
    lines, printed = told(program, *COMMAND)
    assert (len(lines), printed) == (1, 2 * SELECTOR + "the end\n")


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_several_children(told, how):
    program = f"""
        if __name__ == "__main__":
            context = multiprocessing.get_context({how!r})
            processes = [context.Process(target=run_selector_loop) for _ in range(4)]
            for process in processes: process.start()
            for process in processes: process.join()
            print([process.exitcode for process in processes])
            run_selector_loop()
    """
    lines, printed = told(program, *COMMAND)
    assert (len(lines), sorted(printed.splitlines())) == (1, ["[0, 0, 0, 0]", *[SELECTOR.strip()] * 5])


def test_a_child_that_has_closed_all_descriptors(told):
    program = """
        import os
        if os.fork() == 0:
            os.closerange(3, 100)
            descriptor, _ = os.pipe()
            run_selector_loop()
            os._exit(0)
        os.wait()
    """
    lines, printed = told(program, *COMMAND)
    assert (len(lines), printed) == (1, SELECTOR)


def test_nothing_in_other_children(told):
    program = """
        text = "import asyncio; asyncio.SelectorEventLoop().run_until_complete(asyncio.sleep(0))"
        subprocess.run([sys.executable, "-W", "ignore", "-c", text], check=True)
        asyncio.run(main())
    """
    assert told(program, *COMMAND) == ([], "Loop\n")


# ---- Without the command


def test_after_install(told):
    (line,), printed = told("import cloop; cloop.install(); run_selector_loop(); run_selector_loop()")
    assert printed == 2 * SELECTOR
    assert "although cloop was asked for" in line


def test_after_install_by_another_policy(told):
    program = (
        "import cloop; cloop.install(); asyncio.set_event_loop_policy(TheirPolicy()); asyncio.run(main())"
    )
    (line,), printed = told(program)
    assert printed == SELECTOR
    assert line.endswith(
        "To choose cloop: leave out what sets __main__.TheirPolicy, such as uvloop.install()."
    )


@pytest.mark.parametrize("policy", ["None", "asyncio.DefaultEventLoopPolicy()"])
def test_asyncios_policy_is_what_to_leave_out(told, policy):
    (line,), printed = told(f"asyncio.set_event_loop_policy({policy}); asyncio.run(main())", *COMMAND)
    assert printed == SELECTOR
    assert line.endswith(
        "To choose cloop: leave out what goes back to asyncio's own policy, such as "
        "asyncio.set_event_loop_policy(None), or give loop_factory=cloop.new_event_loop."
    )


@pytest.mark.parametrize("policy", ["None", "asyncio.DefaultEventLoopPolicy()"])
def test_after_install_was_taken_back(told, policy):
    program = f"import cloop; cloop.install(); asyncio.set_event_loop_policy({policy}); run_selector_loop()"
    assert told(program) == ([], SELECTOR)


def test_installed_while_another_loop_runs(told, tmp_path):
    """As an application does that a server imports."""
    program = """
        async def late():
            import cloop
            cloop.install()
            await main()

        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(late())
    """
    (line,), printed = told(program)
    assert printed == SELECTOR
    assert f"runs here ({tmp_path}/program.py, line 18), although cloop was asked for" in line


def test_a_policy(told):
    program = """
        import cloop
        ours = cloop.EventLoopPolicy()
        run_selector_loop()
        asyncio.set_event_loop_policy(ours)
        asyncio.set_event_loop_policy(TheirPolicy())
        asyncio.run(main())
        print("so far", file=sys.stderr)
        asyncio.set_event_loop_policy(ours)
        asyncio.run(main())
        run_selector_loop()
    """
    lines, printed = told(program)
    assert printed == 2 * SELECTOR + "Loop\n" + SELECTOR
    assert lines[0] == "so far"
    (line,) = lines[1:]
    assert "although cloop was asked for" in line


# ---- It does no harm


@pytest.mark.parametrize("error", ["None", "open('/dev/full', 'w', buffering=1)", "open('/dev/null', 'w')"])
def test_where_nobody_can_be_told(told, error):
    program = f"""
        sys.stderr = {error}
        if sys.stderr and sys.stderr.name == "/dev/null":
            sys.stderr.close()
        run_selector_loop()
        sys.stderr = None
    """
    assert told(program, *COMMAND) == ([], SELECTOR)


def test_asyncios_function_is_back_when_it_was_told(told):
    program = """
        functions = lambda: {asyncio._set_running_loop, asyncio.events._set_running_loop}
        others = lambda: [
            asyncio.set_event_loop, asyncio.events.set_event_loop, asyncio.new_event_loop,
            asyncio.events.new_event_loop, asyncio.Runner._lazy_init
        ]
        during, before = functions(), others()
        run_selector_loop()
        (after,) = functions()
        print(after in during, type(after).__name__)
        print(*(old is new for old, new in zip(before, others())))
        print({function.__code__.co_filename.split("/")[-2] for function in others()})
    """
    printed = SELECTOR + "False builtin_function_or_method\n" + "False " * 4 + "False\n{'asyncio'}\n"
    assert told(program, *COMMAND)[1] == printed


def test_a_function_that_somebody_else_put_there_stays(told):
    program = """
        plain = asyncio.events._set_running_loop
        def theirs(loop):
            plain(loop)
        asyncio.events._set_running_loop = theirs
        run_selector_loop()
        print(asyncio.events._set_running_loop is theirs)
    """
    lines, printed = told(program, *COMMAND)
    assert (len(lines), printed) == (1, SELECTOR + "True\n")
