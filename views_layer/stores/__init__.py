"""Backends of the view store."""
