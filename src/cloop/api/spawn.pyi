from typing import final

CAN_SPAWN: bool

@final
class Start:
    pid: int
    def execed(self) -> None: ...

def start(
    args: list[bytes],
    executables: list[bytes],
    close_fds: bool,
    keep: tuple[int, ...],
    cwd: bytes | None,
    environment: list[bytes] | None,
    to_stdin: int,
    to_stdout: int,
    to_stderr: int,
    report: int,
    restore_signals: bool,
    new_session: bool,
    process_group: int,
    umask: int,
) -> Start: ...
