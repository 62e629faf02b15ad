"""What arbitrary calls must not do: harm others, block for ever, or end the process on purpose."""

import os
import resource
import signal
import socket
import time

# Names that are not called, each with its reason.
DENIED = {
    "run_forever": "has no end; the fuzzer's turns call it with one",
}

# Signals that faulthandler, the watchdog and the system need; a handler in Python would hide a crash.
KEPT_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGALRM,
    signal.SIGTRAP,
}
# Seconds that one action may take before it is interrupted, and between further interrupts.
PATIENCE = 0.5
AGAIN = 0.2
MEMORY = 8 << 30


class Overtime(KeyboardInterrupt):
    """The action takes too long. A loop doesn't report this one, it ends with it."""


def interrupt(signum: int, frame: object) -> None:
    """SIGALRM's handler."""
    raise Overtime


real_setitimer, real_signal = signal.setitimer, signal.signal


def arm() -> None:
    """Have what is done next interrupted when it takes too long."""
    real_signal(signal.SIGALRM, interrupt)
    real_setitimer(signal.ITIMER_REAL, PATIENCE, AGAIN)


def disarm() -> None:
    """It is done. An interrupt that came meanwhile is let go of."""
    while True:
        try:
            real_setitimer(signal.ITIMER_REAL, 0)
            return
        except Overtime:
            continue


def allow_only(function, allowed):
    """The function, for arguments that `allowed` says yes to; PermissionError for others."""

    def guarded(*args, **kwargs):
        if not allowed(*args, **kwargs):
            raise PermissionError("not the fuzzer's")
        return function(*args, **kwargs)

    return guarded


def state_and_parent(pid: object) -> tuple[str, int]:
    """The state of a process, and its parent; "" where there is none."""
    try:
        with open(f"/proc/{int(pid)}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (OSError, ValueError, TypeError, OverflowError):
        return "", 0
    return fields[0], int(fields[1])


def is_own_child(pid: object, *rest: object) -> bool:
    """Whether a process is a child of this one."""
    state, parent = state_and_parent(pid)
    return state != "" and int(pid) > 1 and parent == os.getpid()


def is_over(pid: object) -> bool:
    """Whether a process is a child of this one that has ended, and waits to be reaped."""
    return is_own_child(pid) and state_and_parent(pid)[0] == "Z"


def is_harmless_name(host: object, *rest: object, **options: object) -> bool:
    """Whether no name server is asked."""
    if host is None or isinstance(host, bytes):
        return host in (None, b"", b"localhost", b"127.0.0.1", b"::1")
    return isinstance(host, str) and str(host) in ("", "localhost", "127.0.0.1", "::1")


def is_free_signal(signum: object, *rest: object) -> bool:
    """Whether a handler may be set for it."""
    return isinstance(signum, int) and int(signum) not in KEPT_SIGNALS


def set_up(sanitized: bool) -> None:
    """Guard this process."""
    # A number that stands for a process may be any: -1 is all of them.
    os.kill = allow_only(os.kill, is_own_child)
    os.killpg = allow_only(os.killpg, lambda pgid, signum: False)
    # To wait for a child that does not end, or for any.
    os.waitpid = allow_only(os.waitpid, lambda pid, options: options & os.WNOHANG or is_over(pid))
    signal.pidfd_send_signal = allow_only(signal.pidfd_send_signal, lambda *args: False)
    signal.signal = allow_only(signal.signal, is_free_signal)
    signal.setitimer = allow_only(signal.setitimer, lambda *args: False)
    signal.alarm = allow_only(signal.alarm, lambda *args: False)
    socket.getaddrinfo = allow_only(socket.getaddrinfo, is_harmless_name)
    time.sleep = allow_only(time.sleep, lambda seconds: seconds < PATIENCE)
    if not sanitized:
        # Sizes are arbitrary, too.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
