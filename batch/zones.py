"""What a hub's change of time zone means for its rows."""

import logging

from batch.view_store import StoreAway, view_store
from events.models import Hub

logger = logging.getLogger(__name__)


def forget_days_of_old_zone(instance: Hub, **_: object) -> None:
    """Delete the day and month rows of a hub whose time zone changes: they are days of the old zone.

    Readers fall back to hours at once; daily runs write the days that they touch, a rebuild all of them. With a view
    store that is away they stay, and count as little: readers tell them by their ends.
    """
    before = Hub.objects.filter(pk=instance.pk).values_list("timezone", flat=True).first()
    if before is not None and before != instance.timezone:
        try:
            view_store().forget_days(instance.slug)
        except StoreAway as away:
            logger.warning("%s The days of the old zone of %s stay there, unread.", away, instance.slug)
