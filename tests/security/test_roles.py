"""The roles of staff: what each may read, add, change and run in the admin, and nothing more."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.management.sql import emit_post_migrate_signal
from django.db import DEFAULT_DB_ALIAS
from django.test import Client
from django.utils import timezone

from batch.models import Audit, Mismatch
from events.models import ApiKey, Hub, RejectedEvent
from events.roles import OPERATOR, OWNER, ROLES, SUPPORT
from statsproject.celery import store_schedule
from tests.security.test_matrix import admin_path, routes
from views_layer.models import ShareLink, Subscription

pytestmark = pytest.mark.django_db(databases="__all__")


PAGES_OF_STAFF = {
    "admin/pipeline/": ROLES,
    "admin/pipeline/charts/": ROLES,
    "admin/features/": ROLES,
    "admin/journeys/": ROLES,
    "admin/errands/<slug:kind>/": (OPERATOR, OWNER),
}
READ_BY_SUPPORT = {
    "events/account", "events/apikey", "events/cut", "events/hub", "events/media", "events/membership",
    "events/rejectedcount", "events/rejectedevent", "events/removal", "batch/archivefile", "batch/audit", "batch/errand",
    "batch/mismatch", "batch/restatement", "batch/run", "statsproject/alert", "auth/user", "axes/accessattempt",
    "views_layer/attribution", "views_layer/mail", "views_layer/note", "views_layer/rate", "views_layer/sharelink",
    "views_layer/statement", "views_layer/subscription",
    "django_celery_beat/clockedschedule", "django_celery_beat/crontabschedule", "django_celery_beat/intervalschedule",
    "django_celery_beat/periodictask", "django_celery_beat/solarschedule",
}  # fmt: skip
ADDED_BY_OWNERS = {
    "events/apikey", "events/hub", "events/membership", "events/removal", "auth/user", "auth/group", "views_layer/note",
    "views_layer/attribution", "views_layer/rate",
    "django_celery_beat/clockedschedule", "django_celery_beat/crontabschedule", "django_celery_beat/intervalschedule",
    "django_celery_beat/periodictask", "django_celery_beat/solarschedule",
}  # fmt: skip
ACTIONS = {
    "admin/events/apikey/": "revoke",
    "admin/events/rejectedevent/": "replay",
    "admin/batch/mismatch/": "acknowledge",
    "admin/django_celery_beat/periodictask/": "disable_tasks",
    "admin/views_layer/sharelink/": "revoke",
    "admin/views_layer/subscription/": "end",
}
LISTS = re.compile("admin/([a-z_]+/[a-z]+)/$")


@pytest.fixture
def roles() -> dict[str, Client]:
    """A member of staff of each role, and a row of what support might want to change."""
    hub = Hub.objects.create(slug="acme")
    User.objects.create_user("user")
    ApiKey.issue(hub, ApiKey.READ)
    ShareLink.objects.create(hub=hub, name="For the printer")
    Subscription.objects.create(hub=hub, address="ann@example.org", kind="weekly")
    now = timezone.now()
    RejectedEvent.objects.create(hub="acme", code="x", detail="", payload=b"{}", received_at=now)
    audit = Audit.objects.create(epoch=1, audited_at=now, compared=1, mismatch_count=1, digest="")
    Mismatch.objects.create(audit=audit, hub="acme", rollup="hub", stored_state=b"", batch_state=b"x")
    store_schedule()
    return {role: signed_in(role) for role in ROLES}


def signed_in(role: str) -> Client:
    user = User.objects.create_user(f"of {role}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def models() -> set[str]:
    """The models of the admin, by app and name."""
    found = {match[1] for route in routes() if (match := LISTS.fullmatch(route))}
    return {name for name in found if f"admin/{name}/add/" in set(routes())}


def test_each_role_reads_and_adds_what_it_may(roles: dict[str, Client]) -> None:
    found = {
        (role, address): client.get(f"/admin/{address}").status_code == 200
        for role, client in roles.items()
        for name in models()
        for address in (f"{name}/", f"{name}/add/")
    }
    expected = {(role, f"{name}/"): role == OWNER or name in READ_BY_SUPPORT for role in ROLES for name in models()}
    expected |= {
        (role, f"{name}/add/"): role == OWNER and name in ADDED_BY_OWNERS for role in ROLES for name in models()
    }
    assert {key: may for key, may in found.items() if may != expected[key]} == {}
    assert found.keys() == expected.keys()


def test_each_role_opens_the_pages_of_staff_that_it_may(roles: dict[str, Client]) -> None:
    found = {
        route: tuple(role for role, client in roles.items() if client.get(admin_path(route)).status_code == 200)
        for route in routes()
        if route in PAGES_OF_STAFF
    }
    assert found == PAGES_OF_STAFF


def test_support_changes_nothing(roles: dict[str, Client]) -> None:
    """Whatever it posts, every table is afterwards as it was."""
    before = rows_of_everything()
    for route in routes():
        if route.startswith("admin/") and "password" not in route and "log" not in route:
            listed = LISTS.fullmatch(route)
            rows = [*model(listed[1]).objects.values_list("pk", flat=True)] if listed and listed[1] in before else []
            form = {"action": ACTIONS.get(route, "delete_selected"), "_selected_action": rows, "post": "yes"}
            roles[SUPPORT].post(admin_path(route), form)
    assert rows_of_everything() == before


def model(name: str) -> Any:
    return apps.get_model(*name.split("/"))


def rows_of_everything() -> dict[str, list[dict]]:
    """The rows of all models of the admin; when a login or a key was last used is left out."""
    return {
        name: [
            {key: value for key, value in row.items() if not key.startswith("last_")}
            for row in model(name).objects.order_by("pk").values()
        ]
        for name in models()
    }


@pytest.mark.parametrize(("role", "status"), [(SUPPORT, 403), (OPERATOR, 302), (OWNER, 302)])
def test_who_may_ask_for_a_run(roles: dict[str, Client], role: str, status: int) -> None:
    assert roles[role].post("/admin/errands/rebuild/", {"confirmed": "yes"}).status_code == status


def test_an_operator_makes_nobody_more_than_they_are(roles: dict[str, Client]) -> None:
    user = User.objects.get(username="user")
    answers = [
        roles[OPERATOR].post(f"/admin/auth/user/{user.pk}/change/", {"username": "user", "is_superuser": "on"}),
        roles[OPERATOR].get("/admin/auth/group/"),
        roles[OPERATOR].post("/admin/events/removal/add/", {"hub": "acme", "name": "anote-visitor"}),
    ]
    user.refresh_from_db()
    assert ([answer.status_code for answer in answers], user.is_superuser) == ([403, 403, 403], False)


def test_the_roles_are_put_right_at_each_migration() -> None:
    support = Group.objects.get(name=SUPPORT)
    permissions = {*support.permissions.values_list("codename", flat=True)}
    support.permissions.clear()
    Group.objects.get(name=OPERATOR).delete()
    emit_post_migrate_signal(0, False, DEFAULT_DB_ALIAS)
    assert {*support.permissions.values_list("codename", flat=True)} == permissions
    assert Group.objects.get(name=OPERATOR).permissions.filter(codename="add_errand").exists()
