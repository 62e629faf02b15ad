"""The repository itself: rooms and arrows, sizes, the public surface, the package, the examples."""
