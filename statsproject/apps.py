from django.apps import AppConfig


class StatsprojectConfig(AppConfig):
    name = "statsproject"

    def ready(self) -> None:
        from statsproject import checks  # noqa: F401 (registers itself)
