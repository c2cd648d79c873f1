"""URLs below /api/. `POST /api/events` never comes here: the collector answers it before Django."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView

from views_layer.api.views import LiveView, MediaView, MetricsView, NothingHere, RestatementsView, StatsView

urlpatterns = [
    path("metrics", MetricsView.as_view()),
    path("schema", SpectacularAPIView.as_view()),
    path("hubs/<slug:hub>/stats", StatsView.as_view()),
    path("hubs/<slug:hub>/live", LiveView.as_view()),
    path("hubs/<slug:hub>/media", MediaView.as_view()),
    path("hubs/<slug:hub>/restatements", RestatementsView.as_view()),
    re_path("", NothingHere.as_view()),
]
