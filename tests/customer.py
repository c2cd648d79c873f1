"""Who looks at the pages of a hub, for tests that do not care how one logs in."""

from django.contrib.auth.models import User
from django.test import Client

from events.models import Hub, Membership


def customer_of(hub: Hub) -> Client:
    """A client with the session of a new customer of the hub, anna."""
    user = User.objects.create_user("anna")
    Membership.objects.create(user=user, hub=hub)
    client = Client()
    client.force_login(user)
    return client
