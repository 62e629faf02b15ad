"""Futures, tasks and the functions that wait for them."""
