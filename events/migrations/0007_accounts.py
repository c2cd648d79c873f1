from django.db import migrations, models

# The events that were there before accounts were kept: all accepted, of hubs that only their chunks know.
ACCOUNT_OF_CHUNKS = (
    "INSERT INTO events_account (hour, hub, received, accepted, duplicates, rejected, removed)"
    " SELECT received_at / 3600000, '', SUM(event_count), SUM(event_count), 0, 0, 0"
    " FROM events_chunk GROUP BY received_at / 3600000"
)


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0006_rejected_counts"),
    ]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.BigIntegerField()),
                ("hub", models.CharField(blank=True, max_length=64)),
                ("received", models.BigIntegerField(default=0)),
                ("accepted", models.BigIntegerField(default=0)),
                ("duplicates", models.BigIntegerField(default=0)),
                ("rejected", models.BigIntegerField(default=0)),
                ("removed", models.BigIntegerField(default=0)),
            ],
            options={
                "ordering": ["-hour", "hub"],
            },
        ),
        migrations.AddIndex(
            model_name="chunk",
            index=models.Index(fields=["received_at"], name="chunks_by_time"),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.UniqueConstraint(fields=("hour", "hub"), name="one_account_per_hour_and_hub"),
        ),
        migrations.RunSQL(ACCOUNT_OF_CHUNKS, migrations.RunSQL.noop, hints={"model_name": "account"}),
    ]
