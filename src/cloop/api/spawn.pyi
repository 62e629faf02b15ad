from collections.abc import Iterable
from typing import Any, SupportsIndex, final

CAN_SPAWN: bool

@final
class Order:
    args: list[Any]
    executable: Any
    cwd: Any
    def __init__(self, args: Any, executable: Any, shell: bool, cwd: Any, env: Any) -> None: ...

@final
class Start:
    pid: int
    def fileno(self) -> int: ...
    def read(self) -> bytes: ...
    def ended(self) -> None: ...
    def take_pidfd(self) -> int: ...

def start(
    order: Order,
    close_fds: bool,
    pass_fds: Iterable[Any],
    to_stdin: SupportsIndex,
    to_stdout: SupportsIndex,
    to_stderr: SupportsIndex,
    restore_signals: object,
    new_session: object,
    process_group: SupportsIndex,
    umask: SupportsIndex,
    group: int | None,
    groups: Iterable[int] | None,
    user: int | None,
) -> Start: ...
def exit_status(pidfd: int) -> int: ...
