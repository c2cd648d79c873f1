"""The REST API: thin edges over views_layer.ask."""
