"""What is done once, by whichever process comes first: this one, or one that it forks or spawns.

They share a pipe with one byte in it, and who reads the byte may do it. There is none until a child starts.
"""

import contextlib
import os
import sys
from typing import Any

# Empty once it has been done, or somebody else has come first.
to_be_done = [True]
# The end of the pipe that is read, and its inode number; or nothing.
pipe: list[tuple[int, int]] = []


def share() -> None:
    """Make the pipe, before a child starts."""
    if pipe or not to_be_done:
        return
    with contextlib.suppress(OSError):  # none is left
        end, other = os.pipe()
        # A child that another thread forks here may have the other end for as long as it lives.
        os.set_blocking(end, False)
        os.write(other, b"1")
        os.close(other)
        adopt(end)


def adopt(end: int) -> None:
    """Go by this pipe, of the parent perhaps."""
    os.set_inheritable(end, False)
    pipe.append((end, os.fstat(end).st_ino))


def described() -> Any:
    """The pipe for a child that multiprocessing spawns, as it can be pickled now; or None."""
    share()
    context = sys.modules.get("multiprocessing.context")
    reduction = sys.modules.get("multiprocessing.reduction")
    if not pipe or context is None or reduction is None or context.get_spawning_popen() is None:
        return None
    return reduction.DupFd(pipe[0][0])


def claim() -> bool:
    """Whether it is to be done here, now. Another time it is not."""
    try:
        to_be_done.pop()
    except IndexError:  # another thread was faster
        return False
    if not pipe:
        return True
    end, inode = pipe.pop()
    try:
        # Who makes a daemon of itself closes all descriptors, and may have opened something else by then.
        if os.fstat(end).st_ino != inode:
            return True
    except OSError:
        return True
    try:
        return bool(os.read(end, 1))
    except BlockingIOError:
        return False
    finally:
        os.close(end)


def give_up() -> None:
    """Leave it to nobody here."""
    to_be_done.clear()
