"""Arguments that nobody should pass: wrong types, extreme numbers, and objects that lie about themselves."""

import asyncio
import contextvars
import random
import socket
from collections.abc import Callable


class Mischief:
    """What lying objects do when they are asked something: `act` is set by the fuzzer."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.act: Callable[[], object] = lambda: None
        self.any: Callable[[], object] = lambda: None

    def answer(self, *answers: object) -> object:
        """One of the answers, or an error, or anything; at times after an arbitrary action."""
        chance = self.random.random()
        if chance < 0.25:
            self.act()
        elif chance < 0.33:
            raise self.random.choice(
                [ValueError, BlockingIOError, OSError, MemoryError, asyncio.CancelledError]
            )
        elif chance < 0.4:
            return self.any()
        return self.random.choice(answers)


mischief = Mischief(0)


def lie(*answers: object) -> Callable[..., object]:
    """A method that answers so."""

    def method(self, *args: object, **kwargs: object) -> object:
        return mischief.answer(*answers)

    return method


def after_mischief(name: str, base: type) -> Callable[..., object]:
    """The base's own method, with an action before it at times."""
    method = getattr(base, name)

    def called(self, *args, **kwargs):
        if mischief.random.random() < 0.2:
            mischief.act()
        return method(self, *args, **kwargs)

    return called


# What is asked of objects, with the answers that they give.
LIES = {
    "__len__": lie(0, 1, 7, 1 << 31, -1, "x"),
    "__index__": lie(0, 1, -1, 3, 1 << 31, 1 << 63, "x"),
    "__int__": lie(0, 1, -1, 1 << 63, None),
    "__float__": lie(0.0, -1.0, float("nan"), float("inf"), 1),
    "__bool__": lie(True, False),
    "__eq__": lie(True, False, NotImplemented),
    "__lt__": lie(True, False, NotImplemented),
    "__hash__": lie(0, 1, -1, 1 << 40),
    "__repr__": lie("liar", "\ud800", 5),
    "__iter__": lie(iter(()), iter([1, None])),
    "__next__": lie(None, 1),
    "__call__": lie(None, 1, (), b"", (1, 2)),
    "__await__": lie(iter(()), iter([None]), None),
    "__enter__": lie(None),
    "__exit__": lie(True, False),
    "__getitem__": lie(None, 1),
    "__fspath__": lie("x", b"x", None),
    "__get__": lie(None),
    "__bytes__": lie(b"bytes", None),
    "__buffer__": lie(memoryview(b"buffer"), None),
    "send": lie(None, 1),
    "throw": lie(None),
    "close": lie(None),
    "fileno": lie(-1, 1 << 31, None, 250, 251),
    "set_result": lie(None),
    "done": lie(True, False),
    "cancelled": lie(True, False),
    "result": lie(None, 1),
    "exception": lie(None, ValueError("x")),
    "add_done_callback": lie(None),
    "get_loop": lie(None),
    "get_debug": lie(True, False),
    "call_soon": lie(None),
    "write": lie(None),
    "run": lie(None),
}


def about_to_go(self) -> None:
    """A finalizer that does something."""
    if mischief.random.random() < 0.3:
        mischief.act()


Liar = type("Liar", (), {**LIES, "__del__": about_to_go, "_asyncio_future_blocking": True})


def lying(base: type, *names: str) -> type:
    """A subclass that lies about that."""
    lies = {name: LIES[name] for name in names}
    return type(f"Lying{base.__name__.title()}", (base,), {**lies, "__del__": about_to_go})


LIARS = [
    lambda: Liar(),
    lambda: lying(int, "__index__", "__eq__", "__hash__", "__bool__")(5),
    lambda: lying(float, "__float__", "__eq__", "__lt__", "__hash__")(0.001),
    lambda: lying(bytes, "__len__", "__getitem__", "__iter__", "__eq__", "__bytes__", "__hash__")(b"lying"),
    lambda: lying(bytearray, "__len__", "__getitem__", "__iter__", "__eq__")(b"lying"),
    lambda: lying(str, "__len__", "__eq__", "__hash__")("127.0.0.1"),
    lambda: lying(tuple, "__len__", "__getitem__", "__iter__")((1, 2)),
    lambda: lying(list, "__len__", "__getitem__", "__iter__", "__bool__")([1, b"x"]),
    lambda: lying(dict, "__len__", "__getitem__", "__iter__")(a=1),
    lambda: lying(set, "__len__", "__iter__")([1]),
]


def called_protocol(base: type, *names: str) -> type:
    """A protocol whose callbacks do something."""
    methods = {name: lie(None) for name in names}
    return type(f"Called{base.__name__}", (base,), methods)


TOLD = (
    "connection_made",
    "connection_lost",
    "pause_writing",
    "resume_writing",
    "eof_received",
    "error_received",
)
CalledProtocol = called_protocol(asyncio.Protocol, *TOLD, "data_received")
CalledDatagrams = called_protocol(asyncio.DatagramProtocol, *TOLD, "datagram_received")
CalledSubprocess = called_protocol(
    asyncio.SubprocessProtocol, *TOLD, "pipe_data_received", "pipe_connection_lost", "process_exited"
)


class CalledBuffered(called_protocol(asyncio.BufferedProtocol, *TOLD, "buffer_updated")):
    """Gives buffers of all sorts."""

    def get_buffer(self, hint: object) -> object:
        """Something that data is received into, or not."""
        return mischief.answer(bytearray(10), bytearray(0), memoryview(bytearray(65536)), b"fixed", None, 5)


PROTOCOLS = [CalledProtocol, CalledBuffered, CalledDatagrams, CalledSubprocess]


class LyingSocket(socket.socket):
    """A socket that acts before it does what it is told."""

    for _name in (
        "fileno",
        "send",
        "recv",
        "accept",
        "connect",
        "close",
        "getpeername",
        "getsockname",
        "setsockopt",
    ):
        locals()[_name] = after_mischief(_name, socket.socket)


def plain_values() -> list[Callable[[], object]]:
    """Makers of values of every common type."""
    numbers = [0, 1, -1, 2, 3, 250, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 32, 1 << 63, -(1 << 63), 1 << 70]
    texts = ["", "x", "localhost", "127.0.0.1", "::1", "\0", "\ud800", "cat", "true", "r", "y" * 5000]
    simple = [
        None,
        True,
        False,
        0.0,
        -1.0,
        0.001,
        1e308,
        float("nan"),
        float("inf"),
        1j,
        ...,
        NotImplemented,
        b"",
        b"data",
        b"line\n",
        bytes(70_000),
        "FIRST_COMPLETED",
        int,
        object,
        BaseException,
        ValueError,
        asyncio.CancelledError,
        KeyError,
        StopIteration,
    ]
    made = [
        lambda: bytearray(b"data"),
        lambda: memoryview(bytearray(b"viewed")),
        lambda: memoryview(b"abcdefgh")[::2],
        list,
        dict,
        set,
        lambda: [None, 1],
        lambda: {"a": None},
        lambda: (None,) * 3,
        lambda: ("127.0.0.1", 0),
        lambda: ("127.0.0.1", 1 << 40),
        object,
        lambda: ValueError("x"),
        StopIteration,
        asyncio.CancelledError,
        SystemExit,
        KeyboardInterrupt,
        contextvars.copy_context,
        lambda: lambda *args, **kwargs: None,
        lambda: lambda *args, **kwargs: mischief.answer(None, 1),
        lambda: (x for x in (None, 1)),
    ]
    fixed = [*numbers, *texts, *simple]
    return [lambda value=value: value for value in fixed] + made
