"""Measurements of cloop beside the other event loops; README.md in this folder says how to run each."""
