import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import events.models

KEYED_TABLES = ("events_eventid", "events_visitor", "events_visit")


def store_by_key(apps, schema_editor):
    """On SQLite, keep the rows of the numbering in their primary key: half the size, half the writes."""
    if schema_editor.connection.alias != "log" or schema_editor.connection.vendor != "sqlite":
        return
    with schema_editor.connection.cursor() as cursor:
        for table in KEYED_TABLES:
            cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = %s", [table])
            (definition,) = cursor.fetchone()
            cursor.execute(f"DROP TABLE {table}")
            cursor.execute(f"{definition} WITHOUT ROWID")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Cut",
            fields=[
                ("epoch", models.BigIntegerField(primary_key=True, serialize=False)),
                ("position", models.JSONField()),
                ("cut_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["epoch"],
            },
        ),
        migrations.CreateModel(
            name="EventId",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hub", "event_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hub", models.CharField(max_length=64)),
                ("event_id", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="Hub",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slug",
                    models.CharField(
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,63}$", "Use a to z, 0 to 9, - and _, at most 64 characters."
                            )
                        ],
                    ),
                ),
                ("title", models.CharField(blank=True, max_length=200)),
                (
                    "timezone",
                    models.CharField(default="UTC", max_length=64, validators=[events.models.validate_timezone]),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["slug"],
            },
        ),
        migrations.CreateModel(
            name="RejectedEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hub", models.CharField(blank=True, db_index=True, max_length=128)),
                ("code", models.CharField(db_index=True, max_length=64)),
                ("detail", models.CharField(max_length=500)),
                ("payload", models.BinaryField()),
                ("received_at", models.DateTimeField()),
                ("replayed_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-received_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="Chunk",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("partition", models.CharField(max_length=64)),
                ("sequence", models.BigIntegerField()),
                ("received_at", models.BigIntegerField()),
                ("event_count", models.IntegerField()),
                ("payload", models.BinaryField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("partition", "sequence"), name="one_chunk_per_sequence")
                ],
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(
                        choices=[("ingest", "send events"), ("read", "ask for statistics")], max_length=10
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=100)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "hub",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="keys", to="events.hub"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Visit",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hub", "visitor", "key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hub", models.CharField(max_length=64)),
                ("visitor", models.BigIntegerField()),
                ("key", models.BinaryField(max_length=16)),
                ("number", models.BigIntegerField()),
                ("ordinal", models.IntegerField()),
                ("first_at", models.BigIntegerField()),
                ("last_at", models.BigIntegerField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("hub", "number"), name="one_visit_per_number")],
            },
        ),
        migrations.CreateModel(
            name="Visitor",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hub", "key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hub", models.CharField(max_length=64)),
                ("key", models.BinaryField(max_length=16)),
                ("number", models.BigIntegerField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("hub", "number"), name="one_visitor_per_number")],
            },
        ),
        migrations.CreateModel(
            name="Media",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=128)),
                ("kind", models.CharField(blank=True, max_length=16)),
                ("title", models.CharField(blank=True, max_length=2000)),
                ("pages", models.PositiveIntegerField(blank=True, null=True)),
                ("first_at", models.DateTimeField()),
                (
                    "learnt_at",
                    models.DateTimeField(
                        blank=True, help_text="When the newest event that changed it occurred.", null=True
                    ),
                ),
                (
                    "hub",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="media", to="events.hub"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "media",
                "ordering": ["key"],
                "constraints": [models.UniqueConstraint(fields=("hub", "key"), name="one_media_per_hub_and_key")],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "hub",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to="events.hub"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "hub"), name="one_membership_per_user_and_hub")
                ],
            },
        ),
        migrations.RunPython(store_by_key, migrations.RunPython.noop, hints={"model_name": "eventid"}),
    ]
