"""URLs of the panel."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from views_layer.pages import views
from views_layer.pages.panels import PANELS

urlpatterns = [
    path("", views.home, name="home"),
    path("login", LoginView.as_view(template_name="pages/login.html", redirect_authenticated_user=True), name="login"),
    path("logout", LogoutView.as_view(next_page="login"), name="logout"),
    path("hubs/<slug:slug>/", views.hub, name="hub"),
    path("hubs/<slug:slug>/live", views.live, name="live"),
    path("hubs/<slug:slug>/restatements", views.restatements, name="restatements"),
]
for panel in PANELS:
    urlpatterns += [
        path(f"hubs/<slug:slug>/{panel.name}", views.panel, {"panel": panel}, name=panel.name),
        path(f"hubs/<slug:slug>/{panel.name}/<slug:name>", views.table, {"panel": panel}, name=f"{panel.name}-table"),
    ]
