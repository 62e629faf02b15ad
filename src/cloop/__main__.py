"""python -m cloop [-m module | script] [args...]: run an unmodified asyncio program on cloop.

python -m cloop bench [options]: compare cloop with the other loops on this machine.
"""

import argparse
import builtins
import errno
import importlib
import io
import os
import platform
import runpy
import sys
import types
import zipfile
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader

from cloop import __version__, children, runner
from cloop.transports.tls_engine import describe_engine

DESCRIPTION = (
    "Run a program with cloop as the event loop of asyncio.run, asyncio.Runner, "
    "asyncio.new_event_loop and, where the version has policies, asyncio.get_event_loop."
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and the program with its arguments as they are."""
    parser = argparse.ArgumentParser(
        prog="python -m cloop",
        usage="%(prog)s [--info | --version] [-m module | script] [args ...]\n       %(prog)s bench [--help]",
        description=DESCRIPTION,
        epilog="`bench` compares cloop with the other event loops that are installed. (A script of that name "
        "is run as ./bench.)",
    )
    parser.add_argument("--info", action="store_true", help="print what this build uses, and exit")
    parser.add_argument("--version", action="version", version=f"cloop {__version__}")
    # argparse would take the program's own options for ours: what follows the program is its.
    parser.add_argument("-m", dest="module", metavar="module", nargs=argparse.REMAINDER)
    parser.add_argument("script", nargs="?", help="a script, a directory or a zip file")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="the program's arguments")
    options = parser.parse_args(arguments)
    if not options.info and options.module is None and options.script is None:
        parser.error("give a script, or -m and a module")
    if options.module == []:
        parser.error("-m wants a module")
    return options


def info() -> str:
    """What this build uses, as lines of text."""
    loop = runner.new_event_loop()
    try:
        features = loop.poller_features()
    finally:
        loop.close()
    facts = {
        "cloop": __version__,
        **features,
        "tls": describe_engine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def run_program(options: argparse.Namespace) -> None:
    """Run the program as Python itself would."""
    children.make_default_here_and_below()
    sys.excepthook = print_exception
    if options.module is not None:
        sys.argv[:] = options.module
        # As `python -m`: the current directory is where modules are looked for.
        sys.path[0] = os.getcwd()
        runpy.run_module(options.module[0], run_name="__main__", alter_sys=True)
        return
    sys.argv[:] = [options.script, *options.args]
    if os.path.isfile(options.script) and not zipfile.is_zipfile(options.script):
        run_script(options.script)
    elif os.path.exists(options.script):
        del sys.path[0]  # run_path puts the directory or the archive there
        runpy.run_path(options.script, run_name="__main__")
    else:
        reason = os.strerror(errno.ENOENT)
        print(
            f"{sys.executable}: can't open file {os.path.abspath(options.script)!r}: "
            f"[Errno {errno.ENOENT}] {reason}",
            file=sys.stderr,
        )
        sys.exit(2)


def run_script(path: str) -> None:
    """Run a file as the module __main__."""
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    path = os.path.abspath(path)
    module = types.ModuleType("__main__")
    loader = SourceFileLoader("__main__", path)
    vars(module).update(__file__=path, __cached__=None, __loader__=loader, __builtins__=builtins)
    sys.modules["__main__"] = module
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec")
    exec(code, module.__dict__)


def print_exception(
    kind: type[BaseException], exception: BaseException, traceback: types.TracebackType | None
) -> None:
    """Print a traceback from the program's first frame on, as if Python had run it."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    inner = traceback
    while inner is not None and inner.tb_frame.f_code.co_filename in ours:
        inner = inner.tb_next
    # A syntax error of the script has no frame of its own.
    exception.__traceback__ = inner
    sys.__excepthook__(kind, exception, inner)


def bench(arguments: list[str]) -> None:
    """Compare the loops; what measures comes with cloop, as a package of its own."""
    # Whoever measures another loop must not have cloop imported, so cloop doesn't contain it.
    try:
        importlib.import_module("cloop_bench.summary").main(arguments)
    except ModuleNotFoundError as exc:
        if exc.name != "cloop_bench":
            raise
        sys.exit("python -m cloop bench: this build has come without its package cloop_bench")


def main() -> None:
    if sys.argv[1:2] == ["bench"]:
        bench(sys.argv[2:])
        return
    options = parse(sys.argv[1:])
    if options.info:
        print(info())
        return
    run_program(options)


if __name__ == "__main__":
    main()
