"""Fuzzing of the readers; see ``python -m tests.fuzz --help``. Not a part of the test run."""
