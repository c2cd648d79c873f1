from django.apps import AppConfig


class StatsprojectConfig(AppConfig):
    name = "statsproject"
