"""Subscriptions are confirmed by their address. Those of before stay as they were: confirmed when they were made."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import F


def confirm_those_of_before(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    subscriptions = apps.get_model("views_layer", "Subscription").objects.using(editor.connection.alias)
    subscriptions.filter(confirmed_at=None).update(confirmed_at=F("created_at"))


class Migration(migrations.Migration):
    dependencies = [("views_layer", "0005_rates_and_statements")]

    operations = [
        migrations.AddField(
            model_name="subscription",
            name="confirmed_at",
            field=models.DateTimeField(
                editable=False,
                help_text="When its address said that it wants the mails; empty: it has none but the question.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="subscription",
            name="asked_at",
            field=models.DateTimeField(
                editable=False, help_text="When the address was last asked to confirm.", null=True
            ),
        ),
        migrations.AddField(
            model_name="mail",
            name="asks",
            field=models.BooleanField(
                default=False, help_text="Whether it asks its address to confirm the subscription."
            ),
        ),
        migrations.RunPython(confirm_those_of_before, migrations.RunPython.noop),
    ]
