"""cloop's tests; README.md beside this file says how they are laid out and run."""
