"""For PyInstaller, which finds it by an entry point of the distribution: where the hooks are."""

import os


def get_hook_dirs() -> list[str]:
    """The directory of hook-cloop.py."""
    return [os.path.dirname(__file__)]
