"""Who asked for cloop is told when another loop runs instead: once, on standard error.

Programs choose other loops all the same: uvicorn takes uvloop where that is installed, another calls
uvloop.install(). Nothing keeps them from it. Whatever loop begins to run says so by a call of
asyncio._set_running_loop; where cloop was asked for, that is `watched`, until something has been told. A
compiled loop that was imported before may have got hold of asyncio's own function, and is not seen then.
"""

import asyncio
import contextlib
import sys
from asyncio import events
from collections.abc import Callable, Iterator
from types import FrameType

from cloop.loop import Loop

SetRunningLoop = Callable[[asyncio.AbstractEventLoop | None], None]

# How to choose cloop, by a package that is at work; the one that has the say comes first.
ADVICE = {
    "gunicorn": "-k cloop.gunicorn.ASGIWorker, or another worker of cloop.gunicorn",
    "hypercorn": "--worker-class asyncio",
    "granian": "--loop asyncio",
    "sanic": "SANIC_USE_UVLOOP=false in the environment",
    "fastapi_cli": "uvicorn --loop cloop:new_event_loop in the place of fastapi",
    "uvicorn": "uvicorn's --loop cloop:new_event_loop",
    "anyio": 'backend_options={"loop_factory": cloop.new_event_loop}, without use_uvloop',
    "uvloop": "cloop.run() in the place of uvloop.run()",
}
FOR_ANOTHER_POLICY = "leave out what sets {}, such as uvloop.install()"
FOR_ANYBODY = "loop_factory=cloop.new_event_loop, or no loop factory"

# What stands between asyncio's function and whoever runs a loop.
BETWEEN = ("asyncio", "cloop")

# Each says whether cloop is still asked for, in its own way.
askers: list[Callable[[], bool]] = []
# Empty once it has been told, here or in the process that this one was forked from.
to_be_told = [True]
asyncios: SetRunningLoop = events._set_running_loop


def watch(asked: Callable[[], bool]) -> None:
    """Tell of a loop that is none of cloop's if one runs, now or later, while `asked()` is true."""
    global asyncios
    if not to_be_told:
        return
    if asked not in askers:
        askers.append(asked)
    if events._set_running_loop is not watched:
        asyncios = events._set_running_loop
        replace(asyncios, watched)
    look(asyncio._get_running_loop())


def watched(loop: asyncio.AbstractEventLoop | None) -> None:
    """asyncio._set_running_loop, with a look at the loop."""
    asyncios(loop)
    look(loop)


def replace(old: SetRunningLoop, new: SetRunningLoop) -> None:
    """Put one function in the place of the other, where that is."""
    for module in (asyncio, events):
        if module._set_running_loop is old:
            module._set_running_loop = new  # type: ignore[attr-defined]


def look(loop: asyncio.AbstractEventLoop | None) -> None:
    """Tell, if there is something to tell."""
    if loop is None or isinstance(loop, Loop) or not any(asked() for asked in askers):
        return
    try:
        to_be_told.pop()
    except IndexError:  # another thread was faster
        return
    be_silent()
    if sys.stderr is not None:
        # A program runs also where nobody can be told.
        with contextlib.suppress(OSError, ValueError):
            print(what_runs(loop), file=sys.stderr, flush=True)


def be_silent() -> None:
    """Tell nothing from now on."""
    to_be_told.clear()
    askers.clear()
    replace(watched, asyncios)


def was_told() -> bool:
    """Whether there is nothing more to tell."""
    return not to_be_told


def what_runs(loop: asyncio.AbstractEventLoop) -> str:
    """Which loop runs, where it was run, and how to choose cloop, in one line."""
    name = name_of(type(loop))
    frames = [*frames_from(sys._getframe())]
    packages = [package_of(frame.f_globals.get("__name__", "")) for frame in frames]
    others = (*BETWEEN, package_of(name))
    callers = [frame for frame, package in zip(frames, packages, strict=True) if package not in others]
    where = f" ({callers[0].f_code.co_filename}, line {callers[0].f_lineno})" if callers else ""
    advice = next((ADVICE[package] for package in ADVICE if package in packages), None)
    advice = advice or about_the_policy() or FOR_ANYBODY
    return f"cloop: {name} runs here{where}, although cloop was asked for. To choose cloop: {advice}."


def about_the_policy() -> str | None:
    """What to do about a policy that is neither asyncio's nor cloop's."""
    kind = type(getattr(events, "_event_loop_policy", None))
    if package_of(kind.__module__) in (*BETWEEN, "builtins"):
        return None
    return FOR_ANOTHER_POLICY.format(name_of(kind))


def frames_from(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, its caller and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def name_of(kind: type) -> str:
    """A class and its module."""
    return f"{kind.__module__}.{kind.__name__}"


def package_of(name: str) -> str:
    """The top package of a dotted name."""
    return name.partition(".")[0]
