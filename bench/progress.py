"""A bar on a terminal's last line that tells how far a measurement has come."""

from __future__ import annotations

import shutil
import sys
import time

BAR = 24
# No faster than an eye can follow: drawing costs time that the measured would lose.
INTERVAL_S = 0.1


class Progress:
    """So many steps, of which some are done. Shows nothing where standard error is not a terminal.

    Used as a context; when it is left, its line is cleared.
    """

    def __init__(self, steps: int) -> None:
        self.steps = max(steps, 1)
        self.done = 0
        self.began = time.monotonic()
        self.drawn = 0.0
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """One more is done, and `text` is what comes next."""
        self.done += 1
        self.show(text)

    def show(self, text: str) -> None:
        """Draw the bar, with how long the rest will take, and what is being done."""
        now = time.monotonic()
        if not self.shown or now - self.drawn < INTERVAL_S:
            return
        self.drawn = now
        share = min(self.done / self.steps, 1.0)
        bar = "#" * round(share * BAR)
        left = f"{(now - self.began) * (1 - share) / share:4.0f} s left" if share > 0 else " " * 11
        line = f"[{bar:<{BAR}}] {share:4.0%} {left}  {text}"
        print(
            f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True
        )
