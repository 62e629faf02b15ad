"""cloop's tests; tests/README.md says how they are laid out and run."""
