"""Create a user with a random password, which is shown only here."""

import json
import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from events.models import Hub, Membership
from events.roles import OWNER, ROLES


class Command(BaseCommand):
    help = "Create a customer of a hub, or a member of the staff; prints name and password as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--hub", help="slug of the hub that the customer may read")
        parser.add_argument("--staff", action="store_true", help="may use the admin pages and read every hub")
        parser.add_argument(
            "--role", help="of staff: support (reads), operator (runs too) or owner (everything; default)"
        )

    def handle(self, *, name: str, hub: str | None, staff: bool, role: str | None = None, **options) -> None:
        if not hub and not staff:
            raise CommandError("A user needs --hub SLUG (a customer) or --staff.")
        if role and not staff:
            raise CommandError(f"The role {role!r} is one of staff; add --staff.")
        users = get_user_model()
        if users.objects.filter(username=name).exists():
            raise CommandError(f"There is a user {name!r} already; choose another name.")
        membership = self._hub(hub) if hub else None
        group = self._role(role or OWNER) if staff else None
        password = secrets.token_urlsafe(15)
        user = users(username=name, is_staff=staff, is_superuser=bool(group and group.name == OWNER))
        user.set_password(password)
        try:
            user.full_clean()
        except ValidationError as error:
            raise CommandError(f"{name!r} cannot be a user name: {' '.join(error.messages)}") from error
        with transaction.atomic():
            user.save()
            if membership:
                Membership.objects.create(user=user, hub=membership)
            if group:
                user.groups.add(group)
        self.stdout.write(json.dumps({"username": name, "password": password}))

    def _role(self, name: str) -> Group:
        """The group of a role; they are made when the database is migrated."""
        if name not in ROLES:
            raise CommandError(f"There is no role {name!r}; use {', '.join(ROLES)}.")
        group = Group.objects.filter(name=name).first()
        if group is None:
            raise CommandError(f"The group {name!r} is missing; manage.py prepare makes it.")
        return group

    def _hub(self, slug: str) -> Hub:
        hub = Hub.objects.filter(slug=slug).first()
        if hub is None:
            raise CommandError(f"There is no hub {slug!r}; create it with create_hub {slug}.")
        return hub
