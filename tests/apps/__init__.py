"""Real applications on the loop."""
