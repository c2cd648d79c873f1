from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("batch", "0001_initial")]

    operations = [
        migrations.AlterModelOptions("mismatch", {"verbose_name_plural": "mismatches"}),
        migrations.RenameField("mismatch", "buffer_state", "stored_state"),
        migrations.AddField(
            "mismatch",
            "kind",
            models.CharField(choices=[("buffer", "buffer"), ("rows", "rows")], default="buffer", max_length=10),
        ),
        migrations.AddField(
            "mismatch",
            "hour_at",
            models.DateTimeField(help_text="The hour of a row; a buffer is compared as a whole", null=True),
        ),
        migrations.AddField("mismatch", "acknowledged_at", models.DateTimeField(null=True)),
        migrations.AddField("mismatch", "acknowledged_by", models.CharField(blank=True, max_length=150)),
        migrations.AddConstraint(
            "mismatch",
            models.UniqueConstraint(
                fields=["audit", "kind", "hub", "rollup", "hour_at"], name="one_mismatch_per_state"
            ),
        ),
    ]
