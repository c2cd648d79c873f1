"""The demo: a hub with a believable catalogue, three months of visits, and traffic while `make run` runs."""
