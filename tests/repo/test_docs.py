"""The documents: what they point to is there, and what they promise is what CI runs."""

import re

import pytest

from tests.support import ROOT

from .tree import needs_source

pytestmark = needs_source

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md", "tests/README.md")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = ROOT / document
    broken = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not broken


def test_readme_and_ci_have_the_same_commands():
    readme = (ROOT / "README.md").read_text()
    assert "    pip install . && python -m cloop examples/tour.py\n" in readme
    assert "    pip install '.[test]' && python -m pytest\n" in readme
    assert "pip install '.[test]' && python -m pytest" in (ROOT / ".ci" / "run").read_text()
