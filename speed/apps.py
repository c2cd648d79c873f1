from django.apps import AppConfig


class SpeedConfig(AppConfig):
    name = "speed"
