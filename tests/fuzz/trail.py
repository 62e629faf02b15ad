"""What a child did last: lines in a file that is mapped, so that they outlive whatever happens to it."""

import mmap
from pathlib import Path

LINES = 400
WIDTH = 240


class Trail:
    """A ring of lines."""

    def __init__(self, path: str | Path) -> None:
        with open(path, "w+b") as file:
            file.truncate(LINES * WIDTH)
            self.map = mmap.mmap(file.fileno(), LINES * WIDTH)
        self.count = 0

    def note(self, text: str) -> None:
        """Add a line before what it says is done."""
        line = f"{self.count:08} {text}".encode(errors="backslashreplace")[: WIDTH - 1]
        start = self.count % LINES * WIDTH
        self.count += 1
        self.map[start : start + WIDTH] = line.ljust(WIDTH - 1) + b"\n"


def read_trail(path: Path, last: int) -> list[str]:
    """The last lines, the oldest first."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = [line.rstrip() for line in data.decode(errors="replace").split("\n")]
    return sorted(line for line in lines if line.strip("\0"))[-last:]
