from django.apps import AppConfig


class StatsprojectConfig(AppConfig):
    name = "statsproject"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from statsproject import checks  # noqa: F401 (registers itself)
        from statsproject.roles import keep_roles, last_app

        post_migrate.connect(keep_roles, sender=last_app(), dispatch_uid="statsproject.roles")
