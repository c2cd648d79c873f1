from django.apps import AppConfig


class ViewsLayerConfig(AppConfig):
    name = "views_layer"
    verbose_name = "Views layer"
