"""Who asked for cloop is told when another loop runs instead: once, on standard error.

Programs choose other loops all the same: uvicorn takes uvloop where that is installed, another calls
uvloop.install(). Nothing keeps them from it. Whatever loop begins to run says so by a call of
asyncio._set_running_loop; where cloop was asked for, that is `watched`, until something has been told.

A compiled loop that was imported before has got hold of asyncio's own function. It is seen where asyncio's
functions and asyncio.Runner have to do with it, and is looked at in its first turn. What stays unseen is such
a loop that a program makes by itself, runs by its own methods, and does not set as the current loop.
"""

import asyncio
import contextlib
import functools
import os
import sys
from asyncio import events
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from cloop import once
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
FOR_ASYNCIOS_POLICY = (
    "leave out what goes back to asyncio's own policy, such as asyncio.set_event_loop_policy(None), "
    "or give loop_factory=cloop.new_event_loop"
)
FOR_ANYBODY = "loop_factory=cloop.new_event_loop, or no loop factory"

# What stands between asyncio's function and whoever runs a loop.
BETWEEN = ("asyncio", "cloop")

# Each says whether cloop is still asked for, in its own way.
askers: list[Callable[[], bool]] = []
asyncios: SetRunningLoop = events._set_running_loop
# What was replaced: where, the name, what was there, and what is.
replaced: list[tuple[Any, str, Any, Any]] = []


def watch(asked: Callable[[], bool]) -> None:
    """Tell of a loop that is none of cloop's if one runs, now or later, while `asked()` is true."""
    global asyncios
    if not once.to_be_done:
        return
    if asked not in askers:
        askers.append(asked)
    if events._set_running_loop is not watched:
        asyncios = events._set_running_loop
        replace(asyncios, watched)
    if not replaced:
        watch_makers()
        os.register_at_fork(before=before_fork)
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


def watch_makers() -> None:
    """Look at the loops of what is given one or makes one, for loops that are unseen otherwise."""
    runner: Any = asyncio.Runner
    replace_maker(runner, "_lazy_init", lambda runner, *_: runner._loop)
    for module in (asyncio, events):
        replace_maker(module, "set_event_loop", lambda loop, *_: loop)
        if sys.version_info < (3, 16):  # there cloop's own function is in its place
            replace_maker(module, "new_event_loop", lambda loop: loop)


def replace_maker(place: Any, name: str, loop_of: Callable[..., Any]) -> None:
    """Replace a function; `loop_of` finds the loop among its arguments and its result."""
    plain = getattr(place, name, None)
    if plain is None:
        return

    @functools.wraps(plain)
    def maker(*args: Any, **kwargs: Any) -> Any:
        result = plain(*args, **kwargs)
        look_when_it_runs(loop_of(*args, *kwargs.values(), result))
        return result

    replaced.append((place, name, plain, maker))
    setattr(place, name, maker)


def look_when_it_runs(loop: Any) -> None:
    """Look at a loop in its first turn, if it would not be seen otherwise."""
    if isinstance(loop, (Loop, asyncio.BaseEventLoop)) or not isinstance(loop, asyncio.AbstractEventLoop):
        return
    if not any(asked() for asked in askers):
        return
    # It may be closed, or made for a test.
    with contextlib.suppress(Exception):
        if loop.is_running():
            look(loop)
        else:
            loop.call_soon(look, loop)


def look(loop: asyncio.AbstractEventLoop | None) -> None:
    """Tell, if there is something to tell."""
    if loop is None or isinstance(loop, Loop) or not any(asked() for asked in askers):
        return
    is_first = once.claim()
    be_silent()
    if is_first and sys.stderr is not None:
        # A program runs also where nobody can be told.
        with contextlib.suppress(OSError, ValueError):
            print(what_runs(loop), file=sys.stderr, flush=True)


def before_fork() -> None:
    """Have the child know what is told here, and the other way round."""
    if any(asked() for asked in askers):
        once.share()


def be_silent() -> None:
    """Tell nothing from now on."""
    once.give_up()
    askers.clear()
    replace(watched, asyncios)
    for place, name, plain, maker in replaced:
        if getattr(place, name) is maker:
            setattr(place, name, plain)


def was_told() -> bool:
    """Whether there is nothing more to tell."""
    return not once.to_be_done


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
    """What to do about a policy that is not cloop's."""
    if sys.version_info >= (3, 16):
        return None
    kind = type(events._event_loop_policy)  # type: ignore[attr-defined]
    package = package_of(kind.__module__)
    if package == "cloop":
        return None
    return (
        FOR_ASYNCIOS_POLICY
        if package in ("asyncio", "builtins")
        else FOR_ANOTHER_POLICY.format(name_of(kind))
    )


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
