"""What Affluence keeps in an Elasticsearch of version 8.

Only what every distribution of the server has is used: no scripts, no delete-by-query.
"""
