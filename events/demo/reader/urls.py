"""URLs of the demo reader."""

from django.urls import path

from events.demo.reader import views

urlpatterns = [
    path("", views.shelf, name="demo"),
    path("<slug:key>", views.medium, name="demo-media"),
    path("<slug:key>/download", views.download, name="demo-download"),
]
