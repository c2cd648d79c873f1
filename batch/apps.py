from django.apps import AppConfig


class BatchConfig(AppConfig):
    name = "batch"

    def ready(self) -> None:
        from django.db.models.signals import pre_save

        from batch.zones import forget_days_of_old_zone
        from events.models import Hub

        pre_save.connect(forget_days_of_old_zone, sender=Hub, dispatch_uid="batch.zones")
