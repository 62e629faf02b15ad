"""Patterns over the names of tests."""

import re


def matches(pattern, test):
    """Whether a name is like a pattern, in which only * is special: names of tests have brackets."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), test, re.DOTALL) is not None
