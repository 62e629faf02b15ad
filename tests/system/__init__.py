"""Whole processes: python -m cloop, Ctrl-C, interpreter exit."""
