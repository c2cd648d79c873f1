"""URLs below /embed/: what pages of other sites load."""

from django.urls import path

from views_layer.embed import views

urlpatterns = [
    path("recommendations.js", views.script),
    path("recommendations", views.RecommendationsView.as_view()),
]
