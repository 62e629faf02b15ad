"""What is copied into the virtualenv of a suite, and loaded there: nothing here imports the project."""
