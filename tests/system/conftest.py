"""Fixtures: whole programs on either loop."""

import textwrap

import pytest

from .processes import run_python

# Each program is given the loop as `impl`, asyncio or cloop.
PRELUDE = """
import asyncio, gc, os, signal, socket, sys, threading, time
import {name} as impl

async def forever():
    await asyncio.get_running_loop().create_future()
"""

TROUBLE = ("Fatal Python error", "Segmentation fault", "Exception ignored", "Traceback", "AssertionError")


@pytest.fixture
def program(impl, tmp_path):
    """The path of a program made of the prelude and a text."""

    def write(text):
        path = tmp_path / "program.py"
        path.write_text(PRELUDE.format(name=impl.name) + textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def run_program(program, tmp_path):
    """Run a program to its end, which must be clean; returns what it printed."""

    def run(text, *options, code=0):
        result = run_python(*options, program(text), cwd=tmp_path)
        assert result.returncode == code, result.stderr
        assert not any(trouble in result.stderr for trouble in TROUBLE), result.stderr
        return result.stdout, result.stderr

    return run
