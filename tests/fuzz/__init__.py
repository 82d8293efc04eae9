"""Fuzzing of the readers; see ``python -m tests.fuzz --help``. The tests run a few inputs."""
