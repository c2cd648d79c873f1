"""Every route for every caller and every hub: a hub's user or key reads that hub and never another.

The routes come from the URL resolver, so that a new one without an entry here fails.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core import management
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone

from aggregations.rollups import DIMENSIONS
from batch.models import Restatement
from events.catalogue import forget
from events.collector import Collector
from events.models import ApiKey, Hub, Media, Membership, RejectedEvent
from speed.consumer import apply_new
from tests.caches import renew
from tests.security.wire import bearer, post
from views_layer.links import lock, token_of
from views_layer.mails import confirmation
from views_layer.mails.message import token_of as leaving_token
from views_layer.models import Note, ShareLink, Subscription
from views_layer.pages.panels import MEDIA, PANELS, TABS
from views_layer.question import TIME_DIMENSIONS

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.usefixtures("redis_url")]

MARKER = "zqbmarker"
HUBS = ("acme", "other", "unknown")

NOBODY = ("anonymous", "revoked key", "unknown key", "inactive user")
KEYS = ("read key", "ingest key", "link", "narrow link", "locked link")
USERS = ("user", "user of other", "user of none")
STAFF = ("staff", "superuser")
OF_ACME = ("anonymous", "revoked key", "unknown key", "inactive user", "read key", "ingest key", "link", "narrow link", "locked link",
          "user", "user of none")  # fmt: skip

API = {
    **dict.fromkeys(NOBODY, (401, 401, 401)),
    "read key": (200, 404, 404),
    "read key of other": (404, 200, 404),
    "read key in the session of other": (200, 404, 404),
    "ingest key": (403, 403, 403),
    "link": (200, 404, 404),
    "narrow link": (200, 404, 404),
    "locked link": (401, 401, 401),
    "user": (200, 404, 404),
    "user of other": (404, 200, 404),
    "user of none": (404, 404, 404),
    **dict.fromkeys(STAFF, (200, 200, 404)),
}
# What is about the whole hub, and not for a link that shows a part of it.
API_OF_ALL = API | {"narrow link": (403, 404, 404)}
OF_STAFF = {
    **dict.fromkeys(API, (403, 403, 403)),
    **dict.fromkeys((*NOBODY, "locked link"), (401, 401, 401)),
    **dict.fromkeys(STAFF, (200, 200, 200)),
}
PAGE = {
    **dict.fromkeys((*NOBODY, *KEYS, "read key of other"), (302, 302, 302)),
    "read key in the session of other": (404, 200, 404),
    "user": (200, 404, 404),
    "user of other": (404, 200, 404),
    "user of none": (404, 404, 404),
    **dict.fromkeys(STAFF, (200, 200, 404)),
}


def all_hubs(**statuses: int) -> dict[str, tuple[int, int, int]]:
    """The same status for each hub: `others` for every caller that is not named by its word."""
    named = {name: statuses.get(name, statuses["others"]) for name in API}
    return {name: (status, status, status) for name, status in named.items()}


def led(table: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, ...]]:
    """The table of a page that leads on to another instead of showing itself."""
    return {name: tuple(302 if status == 200 else status for status in row) for name, row in table.items()}


def shared(status: int) -> dict[str, tuple[int, int, int]]:
    """The table of a page below a share link: whoever has its address has it."""
    return dict.fromkeys(API, (status, status, 404))


ROUTES = {
    "healthz": all_hubs(others=503),
    # To METRICS_TOKEN alone, which none of these has.
    "metrics": all_hubs(others=401),
    "tracker.js": all_hubs(others=200),
    "tracker.d.ts": all_hubs(others=200),
    "embed/recommendations.js": all_hubs(others=200),
    # To everybody, of a hub that opted in: acme.
    "embed/recommendations": dict.fromkeys(API, (200, 404, 404)),
    # Open to everybody where there is the hub demo, which is none of these.
    "demo/": all_hubs(others=404),
    "demo/<slug:key>": all_hubs(others=404),
    "demo/<slug:key>/download": all_hubs(others=404),
    **{
        f"api/{route}{slash}": table
        for slash in ("", "/")
        for route, table in {
            "metrics": all_hubs(others=200),
            "features": OF_STAFF,
            "journeys": OF_STAFF,
            "schema": all_hubs(others=200),
            "hubs/<slug:hub>/stats": API,
            "hubs/<slug:hub>/live": API_OF_ALL,
            "hubs/<slug:hub>/media": API_OF_ALL,
            "hubs/<slug:hub>/restatements": API_OF_ALL,
            "hubs/<slug:hub>/dissemination": API_OF_ALL,
            "hubs/<slug:hub>/retribution": API_OF_ALL,
            "hubs/<slug:hub>/recommendations": API_OF_ALL,
        }.items()
    },
    "api/": all_hubs(others=404),
    "": {
        name: (row[0],) * 3
        for name, row in (
            dict.fromkeys(API, (302,)) | {"user of none": (200,), "staff": (200,), "superuser": (200,)}
        ).items()
    },
    "login": {
        name: (302 if name in (*USERS, *STAFF, "read key in the session of other") else 200,) * 3 for name in API
    },
    "logout": all_hubs(others=405),
    "hubs/<slug:slug>/": led(PAGE),
    "hubs/<slug:slug>/links": PAGE,
    "hubs/<slug:slug>/reports": PAGE,
    "hubs/<slug:slug>/notes": PAGE,
    "confirm/<str:asked>": dict.fromkeys(API, (200, 200, 404)),
    "unsubscribe/<str:leaving>": dict.fromkeys(API, (200, 200, 404)),
    "s/<str:token>": shared(302),
    "s/<str:token>/": shared(302),
    "s/<str:token>/unlock": shared(302),
    **{
        f"{home}{page}": table
        for home, table in (("hubs/<slug:slug>/", PAGE), ("s/<str:token>/", shared(200)))
        for page in (
            "live",
            "restatements",
            "media/<path:key>",
            "media-tables/<slug:name>/<path:key>",
            *(panel.name for panel in TABS),
            *(f"{panel.name}/<slug:name>" for panel in PANELS),
        )
    },
}
# Nobody but staff gets into the admin; these answer everybody otherwise than by leading to its login page.
ADMIN_OPEN = {"admin/login/": 200, "admin/logout/": 302}
# What staff without any permission may see of it.
ADMIN_OF_STAFF = {
    "admin/",
    "admin/search/",
    "admin/password_change/",
    "admin/password_change/done/",
    "admin/jsi18n/",
}
QUESTIONS = (
    *(f"metrics=events,visitors&by={name}" for name in (*DIMENSIONS, *TIME_DIMENSIONS, "properties.note")),
    "metrics=visits&period=all&interval=day&by=media,source",
    "metrics=visits&compare=previous&format=csv&by=target",
)


def routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[str]:
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, prefix + str(pattern.pattern))
        else:
            yield prefix + str(pattern.pattern)


def path_of(route: str, hub: str) -> str:
    """The route's address for a hub, with the question that it needs."""
    panel = next((panel for panel in PANELS if f"/{panel.name}/" in route), MEDIA)
    path = route.replace("<path:key>", "both/media").replace("<slug:key>", "winter-light")
    path = path.replace("<slug:hub>", hub).replace("<slug:slug>", hub)
    path = path.replace("<str:token>", token_of(ShareLink(public_id=hub)))
    in_a_week = timezone.now() + confirmation.LASTS
    path = path.replace("<str:asked>", confirmation.token_of(Subscription(public_id=hub), in_a_week))
    path = path.replace("<str:leaving>", leaving_token(Subscription(public_id=hub)))
    path = path.replace("<slug:name>", panel.tables[0].name)
    question = "?metrics=events" if path.rstrip("/").endswith("/stats") else ""
    return "/" + path + (f"?hub={hub}" if path == "embed/recommendations" else question)


def events(hub: str, note: str, start) -> Iterator[dict]:
    """A visit whose events carry `note` wherever a string may stand, of a media of both hubs too; one is rejected."""
    fields = ("media", "title", "source", "intermediary", "via", "previous", "visitor", "visit")
    common = {"hub": hub, "properties": {"note": note}, "occurred_at": start.isoformat()}
    common |= {field: f"{note}-{field}" for field in fields} | {"referrer": f"https://{note}.example/"}
    yield common | {"action": "view", "media_kind": "document"}
    yield common | {"action": "read", "media": "both/media", "page": 1}
    yield common | {"action": "share", "network": note, "share": f"{note}-share"}
    yield common | {"action": "click", "target": f"https://{note}.example/a"}
    yield common | {"action": "search", "target": note}
    yield common | {"action": "read", "page": 0}


@pytest.fixture
def callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Client]:
    """Who asks. Both hubs have events before and after the cut, media, rejected events and a restatement."""
    renew(monkeypatch)
    forget()
    acme, other = (Hub.objects.create(slug=slug, embeds_recommendations=slug == "acme") for slug in ("acme", "other"))
    for age in (timedelta(hours=30), timedelta(minutes=10)):
        file = tmp_path / "events.jsonl"
        lines = [*events("acme", "anote", timezone.now() - age), *events("other", MARKER, timezone.now() - age)]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        management.call_command("import_events", str(file))
        if age > timedelta(hours=1):
            management.call_command("run_batch")
    apply_new()
    day = timezone.now()
    Restatement.objects.create(
        hub="other", metric="visits", day_start=day, day_end=day, old=1, new=2, reason=MARKER, epoch=1, restated_at=day
    )
    for hub, note in ((acme, "anote"), (other, MARKER)):
        Note.objects.create(hub=hub, day=day.date(), text=note)
        Subscription.objects.create(hub=hub, address=f"{note}@example.org", kind="weekly", public_id=hub.slug)
    return _callers(acme, other)


def _callers(acme: Hub, other: Hub) -> dict[str, Client]:
    revoked = ApiKey.issue(acme, ApiKey.READ)
    ApiKey.objects.update(revoked_at=timezone.now())
    users = {
        name: User.objects.create_user(name.replace(" ", "-"))
        for name in ("user", "user of other", "user of none", "inactive user", "staff", "superuser")
    }
    User.objects.filter(pk__in=[users["staff"].pk, users["superuser"].pk]).update(is_staff=True)
    User.objects.filter(pk=users["superuser"].pk).update(is_superuser=True)
    for name, hub in (("user", acme), ("inactive user", acme), ("user of other", other)):
        Membership.objects.create(user=users[name], hub=hub)
    sessions = {name: Client() for name in users}
    for name, client in sessions.items():
        client.force_login(users[name])
    users["inactive user"].is_active = False
    users["inactive user"].save()
    read = ApiKey.issue(acme, ApiKey.READ)
    both = holder(read)
    both.force_login(users["user of other"])
    for hub in (acme, other):
        ShareLink.objects.create(hub=hub, name="all", public_id=hub.slug)
    narrow = ShareLink.objects.create(hub=acme, name="narrow", filters={"media": ["anote-media"]})
    locked = ShareLink(hub=acme, name="locked")
    lock(locked, "secret")
    locked.save()
    return sessions | {
        "anonymous": Client(),
        "revoked key": holder(revoked),
        "unknown key": holder("aff_read_" + "x" * 43),
        "read key": holder(read),
        "read key of other": holder(ApiKey.issue(other, ApiKey.READ)),
        "read key in the session of other": both,
        "ingest key": holder(ApiKey.issue(acme, ApiKey.INGEST)),
        "link": holder(token_of(ShareLink(public_id=acme.slug))),
        "narrow link": holder(token_of(narrow)),
        "locked link": holder(token_of(locked)),
    }


def holder(key: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {key}"})


def test_every_route_is_in_the_matrix() -> None:
    assert {route for route in routes() if not route.startswith("admin/")} == {*ROUTES}


def test_each_caller_has_of_each_route_and_hub_what_it_may_have(callers: dict[str, Client]) -> None:
    found = {
        (route, name, hub): callers[name].get(path_of(route, hub)).status_code
        for route in ROUTES
        for name in API
        for hub in HUBS
    }
    expected = {
        (route, name, hub): status
        for route, table in ROUTES.items()
        for name, row in table.items()
        for hub, status in zip(HUBS, row, strict=True)
    }
    assert {key: status for key, status in found.items() if status != expected[key]} == {}
    assert found.keys() == expected.keys()


def test_nothing_of_another_hub_is_in_any_answer(callers: dict[str, Client]) -> None:
    paths = [path_of(route, hub) for route in ROUTES for hub in HUBS if not (hub == "other" and "<str:" in route)]
    paths += [f"/hubs/acme/{panel.name}/{table.name}?robots=include" for panel in PANELS for table in panel.tables]
    paths += [f"/api/hubs/{hub}/stats?robots=include&{question}" for hub in HUBS[:2] for question in QUESTIONS]
    paths += [f"/api/hubs/acme/media?search={MARKER[:3]}", "/api/hubs/acme/restatements?period=all"]
    told = [(name, path) for name in OF_ACME for path in paths if MARKER in text_of(callers[name].get(path))]
    assert told == []


def test_the_marker_is_there_for_those_who_may_see_it(callers: dict[str, Client]) -> None:
    """Else the test before is blind."""
    paths = [f"/api/hubs/other/stats?robots=include&metrics=events&by={name}" for name in ("media", "source", "via")]
    paths += ["/api/hubs/other/media", "/api/hubs/other/restatements?period=all"]
    paths += ["/hubs/other/reports", "/hubs/other/notes", "/hubs/other/consultation?robots=include"]
    paths += ["/hubs/other/consultation/media?period=7d&robots=include", "/hubs/other/engagement/clicks?robots=include"]
    assert [path for path in paths if MARKER not in text_of(callers["user of other"].get(path))] == []
    assert Media.objects.filter(hub__slug="other").count() == 2
    assert RejectedEvent.objects.filter(hub="other").count() == 2


def test_the_link_of_an_intermediary_tells_nothing_of_another(callers: dict[str, Client]) -> None:
    """The only one that brought readers is another than the one that the link is for."""
    link = ShareLink.objects.create(hub=Hub.objects.get(slug="acme"), name="own", filters={"intermediary": ["nobody"]})
    queries = ("", "&goal=share", "&model=markov", "&format=csv&table=credits", "&format=csv&table=statements")
    paths = [f"/s/{token_of(link)}/retribution?period=all&robots=include{query}" for query in queries]
    paths += [f"/s/{token_of(link)}/consultation/intermediaries?robots=include", f"/s/{token_of(link)}/dissemination"]
    assert [path for path in paths if "anote" in text_of(Client().get(path))] == []


def test_a_cursor_of_another_hub_tells_nothing_of_it(callers: dict[str, Client]) -> None:
    question = "metrics=events&by=target&limit=1"
    other = callers["read key of other"].get(f"/api/hubs/other/stats?{question}").json()["meta"]["next_cursor"]
    answer = callers["read key"].get(f"/api/hubs/acme/stats?{question}&cursor={other}").json()
    assert other is not None
    assert MARKER not in json.dumps(answer["results"])


COLLECTED = {
    None: ((202, 1), (202, 1), (202, "unknown_hub")),
    "ingest": ((202, 1), (202, "unknown_hub"), (202, "unknown_hub")),
    "ingest of other": ((202, "unknown_hub"), (202, 1), (202, "unknown_hub")),
    "read": ((403, "wrong_scope"),) * 3,
    "revoked": ((401, "unknown_key"),) * 3,
    "unknown": ((401, "unknown_key"),) * 3,
}


def test_an_ingest_key_collects_for_its_hub_alone(redis_url: str) -> None:
    acme, other = (Hub.objects.create(slug=slug) for slug in ("acme", "other"))
    revoked = ApiKey.issue(acme, ApiKey.INGEST)
    ApiKey.objects.update(revoked_at=timezone.now())
    keys = {
        None: {},
        "ingest": bearer(ApiKey.issue(acme, ApiKey.INGEST)),
        "ingest of other": bearer(ApiKey.issue(other, ApiKey.INGEST)),
        "read": bearer(ApiKey.issue(acme, ApiKey.READ)),
        "revoked": bearer(revoked),
        "unknown": bearer("aff_ingest_" + "x" * 43),
    }
    collector = Collector(nothing_here)
    found = {
        name: tuple(
            outcome(post(collector, json.dumps({"hub": hub, "action": "view"}).encode(), **key)) for hub in HUBS
        )
        for name, key in keys.items()
    }
    assert found == COLLECTED


def nothing_here(environ, start_response) -> list[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not for Django.")


def outcome(answer) -> tuple[int, int | str]:
    """The status, and how many were accepted or why not."""
    status, body, _ = answer
    if status != 202:
        return status, body["error"]["code"]
    return status, body["rejected"][0]["code"] if body["rejected"] else body["accepted"]


def text_of(answer) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode() + repr(dict(answer.headers))


def admin_path(route: str) -> str:
    path = (
        route.replace("<slug:kind>", "rebuild")
        .replace("<path:content_type_id>", "1")
        .replace("<path:object_id>", "1")
        .replace("<id>", "1")
    )
    path = path.replace("^(?P<app_label>events|auth|axes|django_celery_beat|batch)/$", "events/")
    return "/" + path.replace("(?P<url>.*)$", "nowhere")


def test_nobody_but_staff_gets_into_the_admin(callers: dict[str, Client]) -> None:
    outside = [name for name in API if name not in STAFF]
    let_in = {
        (route, name, answer.status_code)
        for route in routes()
        if route.startswith("admin/")
        for name in outside
        if not is_sent_to_login(answer := callers[name].get(admin_path(route)))
    }
    assert let_in == {(route, name, status) for route, status in ADMIN_OPEN.items() for name in outside}


def is_sent_to_login(answer) -> bool:
    return answer.status_code == 302 and answer["Location"].startswith("/admin/login/?next=")


def test_staff_without_permissions_sees_the_index_of_the_admin_and_nothing_else(callers: dict[str, Client]) -> None:
    answers = {route: callers["staff"].get(admin_path(route)) for route in routes() if route.startswith("admin/")}
    assert {route for route, answer in answers.items() if answer.status_code == 200} == ADMIN_OF_STAFF
    assert [route for route, answer in answers.items() if MARKER in text_of(answer)] == []
