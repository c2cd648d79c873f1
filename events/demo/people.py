"""The people and the ingest key of the demo, and where their secrets are kept."""

import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

from events.models import ApiKey, Hub, Membership


def _secret_file(name: str) -> Path:
    return settings.DATA_DIR / "secrets" / name


def remembered(name: str) -> str:
    """A secret of the demo kept in DATA_DIR; "" where there is none."""
    path = _secret_file(name)
    return path.read_text().strip() if path.exists() else ""


def remember(name: str, value: str) -> None:
    """Keep a secret of the demo in DATA_DIR, readable by its owner only. It is there whole or not at all."""
    path = _secret_file(name)
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(value)
    draft.replace(path)


def ingest_key(hub: Hub) -> str:
    """The ingest key of the demo traffic; a new one where there is none or it was revoked."""
    key = remembered("demo_ingest_key")
    if not key or not ApiKey.objects.filter(digest=ApiKey.digest_of(key), revoked_at=None).exists():
        key = ApiKey.issue(hub, ApiKey.INGEST, "demo traffic")
        remember("demo_ingest_key", key)
    return key


def demo_people(hub: Hub) -> None:
    """A customer of the demo hub, and a member of staff. People who are there keep their passwords."""
    people = get_user_model().objects
    for name, is_staff in (("demo", False), ("admin", True)):
        person, is_new = people.get_or_create(username=name, defaults={"is_staff": is_staff, "is_superuser": is_staff})
        if is_new or not person.has_usable_password():
            password = secrets.token_urlsafe(12)
            remember(f"{name}_password", password)
            person.set_password(password)
            person.save()
        if not is_staff:
            Membership.objects.get_or_create(user=person, hub=hub)


def logins() -> list[tuple[str, str, str]]:
    """Who may sign in: role, name and the password given at first start."""
    roles = (("customer", "demo"), ("staff", "admin"))
    return [(role, name, remembered(f"{name}_password")) for role, name in roles if remembered(f"{name}_password")]
