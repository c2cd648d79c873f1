"""The roles of staff: three groups whose permissions are written here and kept as they are written.

Support reads, an operator also runs the pipeline, an owner may do everything. Who has no role sees an empty admin.
"""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q, QuerySet

from events.roles import OPERATOR, OWNER, ROLES, SUPPORT

READ = {
    "events": (
        "account", "apikey", "cut", "hub", "media", "membership", "rejectedcount", "rejectedevent", "removal",
    ),
    "batch": ("archivefile", "audit", "errand", "mismatch", "restatement", "run"),
    "statsproject": ("alert", "telling"),
    "views_layer": ("attribution", "mail", "note", "rate", "sharelink", "statement", "subscription"),
    "django_celery_beat": ("clockedschedule", "crontabschedule", "intervalschedule", "periodictask", "solarschedule"),
    "auth": ("user",),
    "axes": ("accessattempt",),
}  # fmt: skip
"""What support may see, by app: models."""
RUN = (
    "batch.add_errand",
    "batch.change_mismatch",
    "events.change_rejectedevent",
    "django_celery_beat.change_periodictask",
    "axes.delete_accessattempt",
)
"""What an operator may do besides: ask for runs, acknowledge, mend and replay, pause schedules, unlock logins."""

_READ_BY_NAME = tuple(f"{app}.view_{model}" for app, models in READ.items() for model in models)
NAMED = {SUPPORT: _READ_BY_NAME, OPERATOR: (*_READ_BY_NAME, *RUN)}


def permissions_of(role: str) -> QuerySet[Permission]:
    """The permissions of a role. Raises LookupError where one is named that no model has."""
    if role == OWNER:
        return Permission.objects.all()
    found = _named(NAMED[role])
    if len(found) != len(NAMED[role]):
        known = {f"{app}.{name}" for app, name in found.values_list("content_type__app_label", "codename")}
        raise LookupError(f"The role {role} names permissions that there are not: {sorted({*NAMED[role]} - known)}.")
    return found


def _named(names: Iterable[str]) -> QuerySet[Permission]:
    wanted = Q()
    for name in names:
        app, codename = name.split(".")
        wanted |= Q(content_type__app_label=app, codename=codename)
    return Permission.objects.filter(wanted)


def keep_roles(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Make the groups of the roles what they are written to be (a receiver of post_migrate of the last app). Idempotent."""
    if using != DEFAULT_DB_ALIAS:
        return
    for role in ROLES:
        Group.objects.get_or_create(name=role)[0].permissions.set(permissions_of(role))


def last_app() -> Any:
    """The app that is migrated last: when it is, the permissions of all apps are there."""
    return [config for config in apps.get_app_configs() if config.models_module is not None][-1]
