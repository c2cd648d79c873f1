"""Real servers for tests: found or installed, started on loopback in a directory of their own, stopped by their pid."""
