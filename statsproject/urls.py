"""URLs of the project. `/api/events` is answered by the collector, before Django."""

from django.contrib import admin
from django.urls import include, path

from events.tracker.script import script, types
from statsproject.health import healthz
from statsproject.metrics import metrics
from statsproject.staff import URLS as STAFF_URLS

urlpatterns = [
    path("healthz", healthz),
    path("tracker.js", script),
    path("tracker.d.ts", types),
    path("metrics", metrics),
    path("admin/", include(STAFF_URLS)),
    path("admin/", admin.site.urls),
    path("demo/", include("events.demo.reader.urls")),
    path("embed/", include("views_layer.embed.urls")),
    path("api/", include("views_layer.api.urls")),
    path("", include("views_layer.pages.urls")),
]

handler500 = "statsproject.requests.answer_error"
