"""What the documentation shows: its programs and its command lines, for tests that run them."""

import re
from pathlib import Path

from tests.support import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
INCLUDED = re.compile(r'^--8<-- "([^"]+)"$', re.MULTILINE)


def lines(page: str) -> list[str]:
    """The command lines of a page, without those that install something."""
    found = [
        line
        for block in BLOCK.finditer((DOCS / page).read_text())
        if block["language"] == "sh"
        for line in block["text"].splitlines()
    ]
    return [line for line in found if line and not line.startswith(("pip ", "#"))]


def programs(page: str) -> dict[str, str]:
    """The programs of a page by the names of their files."""
    return {
        title[1]: INCLUDED.sub(lambda match: (ROOT / match[1]).read_text(), block["text"])
        for block in BLOCK.finditer((DOCS / page).read_text())
        if block["language"] == "python" and (title := TITLE.search(block["options"]))
    }


def write_programs(page: str, folder: Path, changes: dict[str, str]) -> None:
    """Write a page's programs into a folder, with some of their text changed."""
    for name, text in programs(page).items():
        for old, new in changes.items():
            text = text.replace(old, new)
        (folder / name).write_text(text)


def outputs(page: str) -> dict[str, str]:
    """What a page says that its programs print, by the names of their files: the text that follows each."""
    found, name = {}, ""
    for block in BLOCK.finditer((DOCS / page).read_text()):
        if title := TITLE.search(block["options"]):
            name = title[1]
        elif block["language"] == "text":
            found[name] = block["text"]
    return found
