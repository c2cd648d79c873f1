from django.db import migrations, models

ROWS = {"model_name": "viewrow"}
"""Tells the router whose statements these are."""


class Migration(migrations.Migration):
    dependencies = [("views_layer", "0001_initial")]

    operations = [
        # Which zone a day or month row is of cannot be told any more; hours answer until a rebuild.
        migrations.RunSQL("DELETE FROM views_layer_viewrow WHERE grain <> 'hour'", "", hints=ROWS),
        migrations.RemoveConstraint("viewrow", "one_row_per_address"),
        migrations.AddField("viewrow", "end", models.BigIntegerField(default=0), preserve_default=False),
        migrations.RunSQL('UPDATE views_layer_viewrow SET "end" = start + 1', "", hints=ROWS),
        migrations.AddConstraint(
            "viewrow",
            models.UniqueConstraint(
                fields=["hub", "rollup", "grain", "start", "end", "version"], name="one_row_per_address"
            ),
        ),
    ]
