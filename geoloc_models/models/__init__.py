"""Encoders, heads, losses and tasks: torch alone."""
