"""Journeys of readers: the steps of their visits, what follows what, and what a reader will do next (DESIGN, section 8).

`visits` makes the steps of visits from event rows, `flow` counts them, `smoothing` predicts the next step from them,
`score` says how well, and `lesson` is what is kept of a hub.
"""
