"""URLs of the project. `/api/events` is answered by the collector, before Django."""

from django.contrib import admin
from django.urls import include, path

from events.tracker.script import script, types
from statsproject.health import healthz

urlpatterns = [
    path("healthz", healthz),
    path("tracker.js", script),
    path("tracker.d.ts", types),
    path("admin/", admin.site.urls),
    path("api/", include("views_layer.api.urls")),
    path("", include("views_layer.pages.urls")),
]
