"""URLs below /api/. `POST /api/events` never comes here: the collector answers it before Django."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView

from views_layer.api.views import (
    DisseminationView,
    FeaturesView,
    JourneysView,
    LiveView,
    MediaView,
    MetricsView,
    NothingHere,
    RecommendationsView,
    RestatementsView,
    RetributionView,
    StatsView,
)

VIEWS = {
    "metrics": MetricsView,
    "features": FeaturesView,
    "journeys": JourneysView,
    "schema": SpectacularAPIView,
    "hubs/<slug:hub>/stats": StatsView,
    "hubs/<slug:hub>/live": LiveView,
    "hubs/<slug:hub>/media": MediaView,
    "hubs/<slug:hub>/restatements": RestatementsView,
    "hubs/<slug:hub>/dissemination": DisseminationView,
    "hubs/<slug:hub>/retribution": RetributionView,
    "hubs/<slug:hub>/recommendations": RecommendationsView,
}

urlpatterns = [
    *(path(route, view.as_view()) for route, view in VIEWS.items()),
    # With a slash too, as the collector; the schema names each address once.
    *(path(f"{route}/", view.as_view(schema=None)) for route, view in VIEWS.items()),
    re_path("", NothingHere.as_view()),
]
