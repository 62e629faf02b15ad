"""python -m cloop [-m module | script] [args...]: run an unmodified asyncio program on cloop.

python -m cloop bench [options]: compare cloop with the other loops on this machine.
"""

import argparse
import builtins
import errno
import importlib
import io
import os
import pkgutil
import runpy
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import NoReturn

from cloop import __version__, children, info

DESCRIPTION = (
    "Run a program with cloop as the event loop of asyncio.run, asyncio.Runner, "
    "asyncio.new_event_loop and, where the version has policies, asyncio.get_event_loop."
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and the program with its arguments as they are."""
    parser = argparse.ArgumentParser(
        prog="python -m cloop",
        usage="%(prog)s [-m module | script] [args ...]\n"
        "       %(prog)s --info [--json] | --version\n"
        "       %(prog)s bench [--help]",
        description=DESCRIPTION,
        epilog="`bench` compares cloop with the other event loops that are installed. (A script of that name "
        "is run as ./bench.)",
    )
    parser.add_argument("--info", action="store_true", help="print what this build uses, and exit")
    parser.add_argument("--json", action="store_true", help="with --info: as JSON")
    parser.add_argument("--version", action="version", version=f"cloop {__version__}")
    # argparse would take the program's own options for ours: what follows the program is its.
    parser.add_argument("-m", dest="module", metavar="module", nargs=argparse.REMAINDER)
    parser.add_argument("script", nargs="?", help="a script, a directory or a zip file")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="the program's arguments")
    options = parser.parse_args(arguments)
    if options.json and not options.info:
        parser.error("--json goes with --info")
    if not options.info and options.module is None and options.script is None:
        parser.error("give a script, or -m and a module")
    if options.module == []:
        parser.error("-m wants a module")
    return options


def run_program(options: argparse.Namespace) -> None:
    """Run the program as Python itself would."""
    children.make_default_here_and_below()
    sys.excepthook = print_exception
    directory = current_directory()
    looks_beside = not sys.flags.safe_path
    if looks_beside and directory is not None:
        del sys.path[0]  # `-m cloop` has put it there
    if options.module is not None:
        sys.argv[:] = options.module
        if looks_beside and directory is not None:
            sys.path.insert(0, directory)
        runpy.run_module(options.module[0], run_name="__main__", alter_sys=True)
        return
    sys.argv[:] = [options.script, *options.args]
    path = options.script if directory is None else os.path.join(directory, options.script)
    if not os.path.exists(path):
        give_up(2, f"can't open file {path!r}: [Errno {errno.ENOENT}] {os.strerror(errno.ENOENT)}")
    if pkgutil.get_importer(path) is not None:
        run_folder(path)
        return
    if looks_beside:
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    run_script(path)


def current_directory() -> str | None:
    """Its path; None if it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def give_up(code: int, problem: str) -> NoReturn:
    """End as Python does when it can't run a program."""
    print(f"{sys.executable}: {problem}", file=sys.stderr)
    sys.exit(code)


def run_script(path: str) -> None:
    """Run a file as the module __main__."""
    module = new_main()
    vars(module).update(__file__=path, __cached__=None, __loader__=SourceFileLoader("__main__", path))
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec")
    exec(code, module.__dict__)


def run_folder(path: str) -> None:
    """Run the module __main__ that is in a directory or a zip file."""
    # There it is looked for first, also where Python is told not to look beside a script.
    sys.path.insert(0, path)
    finder = pkgutil.get_importer(path)
    spec: ModuleSpec | None = finder.find_spec("__main__") if finder else None
    if spec is None or spec.loader is None:
        give_up(1, f"can't find '__main__' module in {path!r}")
    module = new_main()
    vars(module).update(__file__=spec.origin, __cached__=spec.cached, __loader__=spec.loader)
    vars(module).update(__package__="", __spec__=spec)
    exec(spec.loader.get_code("__main__"), module.__dict__)  # type: ignore[attr-defined]


def new_main() -> types.ModuleType:
    """An empty module __main__ in the place of this one."""
    module = types.ModuleType("__main__")
    vars(module).update(__builtins__=builtins)
    sys.modules["__main__"] = module
    return module


def print_exception(
    kind: type[BaseException], exception: BaseException, traceback: types.TracebackType | None
) -> None:
    """Print a traceback from the program's first frame on, as if Python had run it."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    inner = traceback
    while inner is not None and inner.tb_frame.f_code.co_filename in ours:
        inner = inner.tb_next
    if inner is None and isinstance(exception, ImportError):
        # Of runpy: it has found no module that it can run.
        print(f"{sys.executable}: {exception}", file=sys.stderr)
        return
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
        print(info.as_json() if options.json else info.as_text())
        return
    run_program(options)


if __name__ == "__main__":
    main()
