"""The documents: what they point to is there, and what they promise is what CI runs."""

import importlib.util
import re
import subprocess
import sys

import pytest

from cloop import _settings, info
from tests.support import ROOT

from .tree import needs_source

pytestmark = needs_source

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "bench/README.md",
    "tests/README.md",
)
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = ROOT / document
    broken = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not broken


def test_the_documentation_is_built_without_a_warning(tmp_path):
    """mkdocs.yml has it strict: a page outside of the navigation, or a link that leads nowhere, fails it."""
    if importlib.util.find_spec("material") is None:
        pytest.skip("not installed: mkdocs-material")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site" / "servers" / "uvicorn" / "index.html").exists()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_includes_is_there(page):
    lines = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("--8")]
    included = [re.fullmatch(r'--8<-- "([^"]+)"', line) for line in lines]
    assert all(line and (ROOT / line[1]).exists() for line in included), lines


def test_the_changes_of_this_version_are_told():
    version = re.fullmatch(r'__version__ = "(.+)"\n', (ROOT / "src/cloop/_version.py").read_text())[1]
    sections = re.findall(r"^## (\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == version


def test_the_table_of_variables_is_that_of_the_code():
    page = (ROOT / "docs/install.md").read_text()
    rows = re.findall(r"^\| (\S*) ?\| `(\w+)`( \(default\))? \| (.*) \|$", page, re.MULTILINE)
    expected = []
    for name, values in _settings.VARIABLES.items():
        for number, (value, meaning) in enumerate(values.items()):
            expected.append(("" if number else f"`{name}`", value, "" if number else " (default)", meaning))
    assert rows == expected


def test_every_fact_of_the_info_is_explained():
    page = (ROOT / "docs/debugging.md").read_text().partition("## What the info says")[2]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", page, re.MULTILINE))))
    assert named == info.facts().keys() - {"variables"}


def test_readme_and_ci_have_the_same_commands():
    readme = (ROOT / "README.md").read_text()
    assert "    pip install . && python -m cloop examples/tour.py\n" in readme
    assert "    pip install '.[test]' && python -m pytest\n" in readme
    assert "pip install '.[test]' && python -m pytest" in (ROOT / ".ci" / "run").read_text()
