from django.apps import AppConfig


class ViewsLayerConfig(AppConfig):
    name = "views_layer"
