"""Which database holds which table."""

from django.db.models import Model

STORE_OF_MODEL = {
    ("events", "chunk"): "log",
    ("events", "logbirth"): "log",
    ("events", "eventid"): "log",
    ("events", "visitor"): "log",
    ("events", "visit"): "log",
    ("events", "frequentvisitor"): "log",
    ("events", "rejectedevent"): "log",
    ("events", "rejectedcount"): "log",
    ("events", "account"): "log",
    ("events", "projection"): "log",
    ("views_layer", "viewrow"): "views",
    ("views_layer", "seal"): "views",
}


class StoreRouter:
    """Log tables live in `log`, view rows in `views`, everything else in `default`."""

    def db_for_read(self, model: type[Model], **hints: object) -> str:
        return STORE_OF_MODEL.get((model._meta.app_label, model._meta.model_name or ""), "default")

    db_for_write = db_for_read

    def allow_relation(self, first: Model, second: Model, **hints: object) -> bool:
        return self.db_for_read(type(first)) == self.db_for_read(type(second))

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: object) -> bool:
        return STORE_OF_MODEL.get((app_label, model_name or ""), "default") == db
