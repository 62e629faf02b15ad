"""The current directory, where `python -m cloop` looks for modules first, out of cloop's own way.

A program has neighbours there, which may be called as modules of the standard library are. It imports these
as it does by plain Python; cloop must not, and imports its own before the program is put on sys.path.
"""

import os
import sys


def current_directory() -> str | None:
    """Its path; None if it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def runs_the_command() -> bool:
    """Whether this is the import at the beginning of `python -m cloop`."""
    # While -m looks for its module, that is what stands in sys.argv for it.
    if getattr(sys, "argv", [])[:1] != ["-m"]:
        return False
    module = sys.orig_argv[-len(sys.argv)]
    return module == __package__ or (module.startswith("-") and module.endswith(f"m{__package__}"))


def is_looked_for() -> bool:
    """Whether -m looks for its module. Before that, in sitecustomize, it has put no directory there."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals.get("__name__") == "runpy"


def hide() -> None:
    """Take away what `-m` has put at the head of sys.path."""
    global hidden
    if hidden is None and not sys.flags.safe_path and current_directory() is not None:
        hidden = sys.path.pop(0)


def put(directory: str) -> None:
    """Have modules looked for first where the program has its own."""
    programs.append(directory)
    sys.path.insert(0, directory)


# What was taken away, and what the program has instead.
hidden: str | None = None
programs: list[str] = []

if runs_the_command() and is_looked_for():
    hide()
