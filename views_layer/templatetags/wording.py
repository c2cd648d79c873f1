"""How pages write a date."""

from datetime import date

from django import template

from views_layer.pages import wording

register = template.Library()


@register.filter
def dated(at: date | None, pattern: str) -> str:
    """A date by a pattern of CLDR, in the language of the page; nothing for none."""
    return wording.dated(at, pattern) if at else ""
