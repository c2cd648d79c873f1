from django.db import migrations, models

COUNT = (
    "INSERT INTO events_frequentvisitor (hub, visitor, visits)"
    " SELECT hub, visitor, COUNT(*) FROM events_visit GROUP BY hub, visitor HAVING COUNT(*) > 100"
)
OUTLINE = """
UPDATE events_visit SET reach = last_at WHERE (hub, number) IN (
    SELECT hub, number FROM (
        SELECT v.hub, v.number, v.last_at, MAX(v.last_at) OVER (
            PARTITION BY v.hub, v.visitor ORDER BY v.first_at, v.number
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS earlier
        FROM events_visit v JOIN events_frequentvisitor f ON f.hub = v.hub AND f.visitor = v.visitor
    ) AS visits WHERE earlier IS NULL OR last_at > earlier
)"""


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0002_cut_published_at"),
    ]

    operations = [
        migrations.CreateModel(
            name="FrequentVisitor",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hub", "visitor", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hub", models.CharField(max_length=64)),
                ("visitor", models.BigIntegerField()),
                ("visits", models.BigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name="visit",
            name="reach",
            field=models.BigIntegerField(
                help_text="last_at, where it is in the outline of a frequent visitor.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="visit",
            index=models.Index(
                condition=models.Q(("reach__isnull", False)),
                fields=["hub", "visitor", "reach"],
                name="outline_of_visits",
            ),
        ),
        migrations.RunSQL([COUNT, OUTLINE], migrations.RunSQL.noop, hints={"model_name": "visit"}),
    ]
