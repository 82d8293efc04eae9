"""Breaks the core one place at a time and sees whether tests notice; see ``python -m tests.mutation --help``."""
