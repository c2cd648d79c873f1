"""URLs of the project. `/api/events` is answered by the collector, before Django."""

from django.contrib import admin
from django.urls import include, path

from statsproject.health import healthz
from statsproject.metrics import metrics

urlpatterns = [
    path("healthz", healthz),
    path("metrics", metrics),
    path("admin/", admin.site.urls),
    path("api/", include("views_layer.api.urls")),
    path("", include("views_layer.pages.urls")),
]

handler500 = "statsproject.requests.answer_error"
