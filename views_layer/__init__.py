"""The View Layer: published rows, the merge with the buffers, the query, the REST API and the pages."""
