"""Signals of the event log."""

from django.dispatch import Signal

appended = Signal()
"""Sent with `position` (of the appended chunk) after the commit. A receiver must be cheap: appends wait for it.
An exception in it is logged and fails nothing; a nudge that is lost costs nothing."""
