"""What a customer's own pages load from here: a list of recommendations. Guide: docs/recommendations.md."""
