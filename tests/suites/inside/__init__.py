"""What is copied into the virtualenv of a suite, and loaded there; these files import nothing of the project."""
