"""The admin's sidebar: one literal list. Everybody sees what they may read."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

SECTIONS = (
    (
        "Customers",
        (
            ("Hubs", "library_books", "admin:events_hub_changelist", "events.view_hub"),
            ("Keys", "key", "admin:events_apikey_changelist", "events.view_apikey"),
            ("Media", "auto_stories", "admin:events_media_changelist", "events.view_media"),
            ("Share links", "share", "admin:views_layer_sharelink_changelist", "views_layer.view_sharelink"),
            ("Subscriptions", "mail", "admin:views_layer_subscription_changelist", "views_layer.view_subscription"),
            ("Mails", "outgoing_mail", "admin:views_layer_mail_changelist", "views_layer.view_mail"),
            ("Rates", "price_change", "admin:views_layer_rate_changelist", "views_layer.view_rate"),
            ("Attributions", "alt_route", "admin:views_layer_attribution_changelist", "views_layer.view_attribution"),
            ("Statements", "receipt_long", "admin:views_layer_statement_changelist", "views_layer.view_statement"),
            ("Notes", "sticky_note_2", "admin:views_layer_note_changelist", "views_layer.view_note"),
            ("Used features", "insights", "used_features", "events.view_hub"),
            ("Journeys", "route", "journeys", "events.view_hub"),
        ),
    ),
    (
        "Pipeline",
        (
            ("Rejected events", "inbox", "admin:events_rejectedevent_changelist", "events.view_rejectedevent"),
            ("Accounts", "balance", "admin:events_account_changelist", "events.view_account"),
            ("Rejected counts", "bar_chart", "admin:events_rejectedcount_changelist", "events.view_rejectedcount"),
            ("Removals", "delete", "admin:events_removal_changelist", "events.view_removal"),
            ("Runs", "play_circle", "admin:batch_run_changelist", "batch.view_run"),
            ("Errands", "assignment_ind", "admin:batch_errand_changelist", "batch.view_errand"),
            ("Audits", "fact_check", "admin:batch_audit_changelist", "batch.view_audit"),
            ("Mismatches", "difference", "admin:batch_mismatch_changelist", "batch.view_mismatch"),
            ("Restatements", "history", "admin:batch_restatement_changelist", "batch.view_restatement"),
            ("Alerts", "notifications", "admin:statsproject_alert_changelist", "statsproject.view_alert"),
            ("Cuts", "content_cut", "admin:events_cut_changelist", "events.view_cut"),
            (
                "Schedules",
                "schedule",
                "admin:django_celery_beat_periodictask_changelist",
                "django_celery_beat.view_periodictask",
            ),
        ),
    ),
    (
        "Access",
        (
            ("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
            ("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
            ("Failed logins", "lock_clock", "admin:axes_accessattempt_changelist", "axes.view_accessattempt"),
        ),
    ),
)
"""Sections, and in each the title, the icon, the name of the page and the permission to see it."""


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sections as unfold takes them, with what this person may see."""
    home = {"title": "Home", "icon": "home", "link": reverse("admin:index")}
    sections = [
        {
            "title": title,
            "items": [
                {"title": name, "icon": icon, "link": reverse(page)}
                for name, icon, page, permission in items
                if request.user.has_perm(permission)
            ],
        }
        for title, items in SECTIONS
    ]
    return [{"items": [home]}, *sections]
