"""Who may see which hub."""

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.http import Http404

from events.models import Hub


def hubs_of(user: User | AnonymousUser) -> QuerySet[Hub]:
    """The hubs that `user` may see: every hub for staff, else those of its memberships, by slug."""
    if not user.is_authenticated or not user.is_active:
        return Hub.objects.none()
    if user.is_staff:
        return Hub.objects.all()
    return Hub.objects.filter(memberships__user=user)


def hub_for_user(user: User | AnonymousUser, slug: str) -> Hub:
    """The hub `slug`. Raises Http404 where there is none or `user` may not see it: the two look the same."""
    hub = hubs_of(user).filter(slug=slug).first()
    if hub is None:
        raise Http404(f"There is no hub {slug!r} here.")
    return hub
