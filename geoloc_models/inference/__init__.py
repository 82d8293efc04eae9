"""A bundle in, answers out."""
