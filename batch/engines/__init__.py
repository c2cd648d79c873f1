"""Backends of the batch engine."""
