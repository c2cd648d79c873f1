from django.db import migrations, models
from django.db.models import Case, F, Q, When


def take_over(apps, schema_editor):
    """One time for three fields becomes the time of each field that has a value."""
    media = apps.get_model("events", "Media").objects.using(schema_editor.connection.alias)
    for name, is_said in (("kind", ~Q(kind="")), ("title", ~Q(title="")), ("pages", Q(pages__isnull=False))):
        media.update(**{f"{name}_at": Case(When(is_said, then=F("learnt_at")))})


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0004_key_last_use"),
    ]

    operations = [
        migrations.AddField(
            model_name="media",
            name="kind_at",
            field=models.DateTimeField(blank=True, help_text="When an event that says the kind occurred.", null=True),
        ),
        migrations.AddField(
            model_name="media",
            name="pages_at",
            field=models.DateTimeField(blank=True, help_text="When an event that says the pages occurred.", null=True),
        ),
        migrations.AddField(
            model_name="media",
            name="title_at",
            field=models.DateTimeField(blank=True, help_text="When an event that says the title occurred.", null=True),
        ),
        migrations.RunPython(take_over, migrations.RunPython.noop, hints={"model_name": "media"}),
        migrations.RemoveField(
            model_name="media",
            name="learnt_at",
        ),
    ]
