"""URLs of the panel. The pages of a hub stand below its own address and below that of each of its share links."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from views_layer.pages import dissemination, notes, recommendations, reports, retribution, sharing, views
from views_layer.pages.panels import DISSEMINATION, PANELS, RECOMMENDATIONS, RETRIBUTION

PAGES = [
    path("live", views.live),
    path("restatements", views.restatements),
    path("media/<path:key>", views.media),
    path("media-tables/<slug:name>/<path:key>", views.media_table),
    *(path(panel.name, views.panel, {"panel": panel}) for panel in PANELS),
    *(path(f"{panel.name}/<slug:name>", views.table, {"panel": panel}) for panel in PANELS),
    path(DISSEMINATION.name, dissemination.dissemination),
    path(RETRIBUTION.name, retribution.retribution),
    path(RECOMMENDATIONS.name, recommendations.recommendations),
]

urlpatterns = [
    path("", views.home, name="home"),
    path("login", LoginView.as_view(template_name="pages/login.html", redirect_authenticated_user=True), name="login"),
    path("logout", LogoutView.as_view(next_page="login"), name="logout"),
    path("hubs/<slug:slug>/", views.hub, name="hub"),
    path("hubs/<slug:slug>/links", sharing.links, name="links"),
    path("hubs/<slug:slug>/reports", reports.reports, name="reports"),
    path("hubs/<slug:slug>/notes", notes.notes, name="notes"),
    path("hubs/<slug:slug>/", include(PAGES)),
    path("confirm/<str:asked>", reports.confirm, name="confirm"),
    path("unsubscribe/<str:leaving>", reports.unsubscribe, name="unsubscribe"),
    path("s/<str:token>", views.hub),
    path("s/<str:token>/", views.hub, name="share"),
    path("s/<str:token>/unlock", sharing.unlock),
    path("s/<str:token>/", include(PAGES)),
]
