"""The engine: scheduling, descriptors, the life of a loop."""
