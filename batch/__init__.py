"""The Batch Layer: recomputes view rows from the raw events, and publishes them."""
