"""The Speed Layer: a double buffer in Redis for what batch has not covered yet."""
