"""What a hub's change of time zone means for its rows."""

from batch.view_store import view_store
from events.models import Hub


def forget_days_of_old_zone(instance: Hub, **_: object) -> None:
    """Delete the day and month rows of a hub whose time zone changes: they are days of the old zone.

    Readers fall back to hours at once; daily runs write the days that they touch, a rebuild all of them.
    """
    before = Hub.objects.filter(pk=instance.pk).values_list("timezone", flat=True).first()
    if before is not None and before != instance.timezone:
        view_store().forget_days(instance.slug)
