from django.apps import AppConfig


class SpeedConfig(AppConfig):
    name = "speed"

    def ready(self) -> None:
        from events.signals import appended
        from speed.nudge import Nudger

        self.nudger = Nudger()
        appended.connect(self.nudger.nudge, dispatch_uid="speed.nudge")
