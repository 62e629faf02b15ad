"""python -m cloop [-m module | -c code | script | -] [args...]: run an unmodified asyncio program on cloop.

python -m cloop bench [options]: compare cloop with the other loops on this machine.

What a program may have for itself under the name of a module of the standard library (argparse, random) is
not imported before the program runs.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import os
import runpy
import sys
import types
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader
from typing import TYPE_CHECKING, Any, NoReturn

from cloop import __version__, _beside, children

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

DESCRIPTION = (
    "Run a program with cloop as the event loop of asyncio.run, asyncio.Runner, "
    "asyncio.new_event_loop and, where the version has policies, asyncio.get_event_loop."
)
WANTED = {"-m": "a module", "-c": "code"}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, where no program is to be run; what makes no sense ends with an explanation."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m cloop",
        usage="%(prog)s [-m module | -c code | script | -] [args ...]\n"
        "       %(prog)s --info [--json] | --version\n"
        "       %(prog)s bench [--help]",
        description=DESCRIPTION,
        epilog="`bench` compares cloop with the other event loops that are installed. (A script of that name "
        "is run as ./bench.)",
    )
    parser.add_argument("--info", action="store_true", help="print what this build uses, and exit")
    parser.add_argument("--json", action="store_true", help="with --info: as JSON")
    parser.add_argument("--version", action="version", version=f"cloop {__version__}")
    parser.add_argument("-m", dest="module", metavar="module", nargs=argparse.REMAINDER)
    parser.add_argument("-c", dest="code", metavar="code", nargs=argparse.REMAINDER)
    parser.add_argument("script", nargs="?", help="a script, a directory or a zip file; - is standard input")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="the program's arguments")
    options = parser.parse_args(arguments)
    if options.json and not options.info:
        parser.error("--json goes with --info")
    if not options.info and program_of(arguments) is None:
        for option, argument in WANTED.items():
            if option in arguments:
                parser.error(f"{option} wants {argument}")
        parser.error("give a script, -c and code, or -m and a module")
    return options


def program_of(arguments: Sequence[str]) -> tuple[str, list[str]] | None:
    """What kind of a program is to be run, and its arguments, the program itself first; or None."""
    first, *rest = arguments or [""]
    if first == "--":
        first, *rest = rest or [""]
    elif first[:2] in WANTED:
        rest = [first[2:], *rest] if first[2:] else rest
        return (first[:2], rest) if rest else None
    if not first or (first.startswith("-") and first != "-"):
        return None
    return "script", [first, *rest]


def run_program(kind: str, arguments: list[str]) -> None:
    """Run the program as Python itself would."""
    children.make_default_here_and_below()
    sys.excepthook = print_exception
    directory = _beside.current_directory()
    looks_beside = not sys.flags.safe_path
    program = arguments[0]
    sys.argv[:] = arguments
    if kind == "-m":
        if looks_beside and directory is not None:
            _beside.put(directory)
        runpy.run_module(program, init_globals=globals_of_main(), run_name="__main__", alter_sys=True)
        return
    if kind == "-c" or program == "-":
        if looks_beside:
            _beside.put("")
        if kind == "-c":
            sys.argv[0] = "-c"
            run_code(program)
        else:
            run_input()
        return
    path = program if directory is None else os.path.join(directory, program)
    if not os.path.exists(path):
        give_up(2, f"can't open file {path!r}: [Errno {errno.ENOENT}] {os.strerror(errno.ENOENT)}")
    finder = finder_for(path)
    if finder is not None:
        run_folder(path, finder)
        return
    if looks_beside:
        _beside.put(os.path.dirname(os.path.realpath(path)))
    run_script(path)


def finder_for(path: str) -> Any:
    """What finds modules in a directory or a zip file; None for another file."""
    # As pkgutil.get_importer(), of which a program may have its own.
    for hook in sys.path_hooks:
        try:
            return hook(path)
        except ImportError:
            continue
    return None


def give_up(code: int, problem: str) -> NoReturn:
    """End as Python does when it can't run a program."""
    print(f"{sys.executable}: {problem}", file=sys.stderr)
    sys.exit(code)


def run_script(path: str) -> None:
    """Run a file as the module __main__."""
    module = new_main()
    place(module, path, SourceFileLoader("__main__", path))
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    exec(code, module.__dict__)


def run_code(text: str) -> None:
    """Run the argument of -c as the module __main__."""
    if sys.version_info >= (3, 14):
        import textwrap

        text = textwrap.dedent(text)
    module = new_main()
    vars(module).update(__loader__=BuiltinImporter)
    code = compile(text, "<string>", "exec", dont_inherit=True)
    if sys.version_info >= (3, 13):
        import linecache

        # So a traceback shows the lines. Early releases of 3.13 find them by the file's name.
        key = code if hasattr(linecache, "_interactive_cache") else "<string>"
        linecache._register_code(key, text, "<string>")  # type: ignore[attr-defined]
    exec(code, module.__dict__)


def run_input() -> None:
    """Run what is on standard input as the module __main__."""
    module = new_main()
    place(module, "<stdin>", BuiltinImporter)
    exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True), module.__dict__)


def run_folder(path: str, finder: Any) -> None:
    """Run the module __main__ that is in a directory or a zip file."""
    # There it is looked for first, also where Python is told not to look beside a script.
    _beside.put(path)
    spec: ModuleSpec | None = finder.find_spec("__main__")
    if spec is None or spec.loader is None:
        give_up(1, f"can't find '__main__' module in {path!r}")
    module = new_main()
    place(module, spec.origin, spec.loader, spec.cached)
    vars(module).update(__package__="", __spec__=spec)
    exec(spec.loader.get_code("__main__"), module.__dict__)  # type: ignore[attr-defined]


def globals_of_main() -> dict[str, Any]:
    """What the interpreter gives to the module __main__, and to no other."""
    # This one has it, unless somebody has imported it. No module has it from 3.14 on.
    given = getattr(sys.modules["__main__"], "__dict__", {})
    return {"__annotations__": {}} if "__annotations__" in given else {}


def new_main() -> types.ModuleType:
    """An empty module __main__ in the place of this one."""
    module = types.ModuleType("__main__")
    vars(module).update(globals_of_main(), __builtins__=builtins)
    sys.modules["__main__"] = module
    return module


def place(module: types.ModuleType, file: str | None, loader: Any, cached: str | None = None) -> None:
    """Set what tells of a module's file: `__file__`, `__loader__` and, before 3.15, `__cached__`."""
    vars(module).update(__file__=file, __loader__=loader)
    if sys.version_info < (3, 15):
        vars(module)["__cached__"] = cached


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
    if _beside.hidden is not None:
        # cloop itself may come from there, and its packages with it.
        sys.path.append(_beside.hidden)
    try:
        importlib.import_module("cloop_bench.summary").main(arguments)
    except ModuleNotFoundError as exc:
        if exc.name != "cloop_bench":
            raise
        sys.exit("python -m cloop bench: this build has come without its package cloop_bench")


def main() -> None:
    # Where cloop was imported before -m began, nothing has been hidden yet.
    _beside.hide()
    arguments = sys.argv[1:]
    if arguments[:1] == ["bench"]:
        bench(arguments[1:])
        return
    program = program_of(arguments)
    if program is not None:
        run_program(*program)
        return
    options = parse(arguments)
    from cloop import info

    if _beside.hidden is not None:
        sys.path.insert(0, _beside.hidden)  # what -m finds there counts
    print(info.as_json() if options.json else info.as_text())


if __name__ == "__main__":
    main()
