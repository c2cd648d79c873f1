"""create_hub, create_user, import_events."""

import gzip
import json
import tracemalloc
from io import StringIO

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command

from events.logs.orm import OrmEventLog
from events.models import ApiKey, Hub, Membership, RejectedCount, RejectedEvent

pytestmark = pytest.mark.django_db(databases="__all__")


def run(name: str, *arguments, **options) -> dict:
    out = StringIO()
    call_command(name, *map(str, arguments), stdout=out, **options)
    return json.loads(out.getvalue().splitlines()[-1])


def logged() -> list:
    return [event for chunk in OrmEventLog().read({}) for event in chunk.events]


def write(path, *lines) -> object:
    path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return path


def test_it_creates_a_hub_with_keys():
    answer = run("create_hub", "acme", "--timezone", "Europe/Paris", "--title", "Acme")
    hub = Hub.objects.get()
    assert (answer["hub"], hub.slug, hub.timezone, hub.title) == ("acme", "acme", "Europe/Paris", "Acme")
    assert {key.scope: key.digest for key in hub.keys.all()} == {
        scope: ApiKey.digest_of(key) for scope, key in answer["keys"].items()
    }


@pytest.mark.parametrize("arguments", [["Acme"], ["a b"], ["taken"], ["acme", "--timezone", "Mars"]])
def test_it_creates_no_hub_that_cannot_be(arguments):
    Hub.objects.create(slug="taken")
    with pytest.raises(CommandError):
        run("create_hub", *arguments)
    assert (Hub.objects.count(), ApiKey.objects.count()) == (1, 0)


def test_it_creates_a_customer_and_a_member_of_the_staff():
    Hub.objects.create(slug="acme")
    ann, bob = run("create_user", "ann", "--hub", "acme"), run("create_user", "bob", "--staff")
    users = [authenticate(**answer) for answer in (ann, bob)]
    assert [(user.username, user.is_staff, user.is_superuser) for user in users] == [
        ("ann", False, False),
        ("bob", True, True),
    ]
    assert [(row.user.username, row.hub.slug) for row in Membership.objects.all()] == [("ann", "acme")]


def test_staff_may_be_given_a_role():
    for role in ("support", "operator", "owner"):
        run("create_user", role, "--staff", "--role", role)
    run("create_user", "sam", "--staff")
    found = [
        (user.username, user.is_staff, user.is_superuser, [group.name for group in user.groups.all()])
        for user in get_user_model().objects.order_by("pk")
    ]
    assert found == [
        ("support", True, False, ["support"]),
        ("operator", True, False, ["operator"]),
        ("owner", True, True, ["owner"]),
        ("sam", True, True, ["owner"]),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ann"],
        ["ann", "--hub", "no"],
        ["taken", "--staff"],
        ["a b!", "--staff"],
        ["ann", "--staff", "--role", "king"],
        ["ann", "--hub", "no", "--role", "support"],
    ],
)
def test_it_creates_no_user_that_cannot_be(arguments):
    get_user_model().objects.create(username="taken")
    with pytest.raises(CommandError):
        run("create_user", *arguments)
    assert get_user_model().objects.count() == 1


@pytest.fixture
def acme() -> Hub:
    return Hub.objects.create(slug="acme")


def at(minute: int) -> str:
    return f"2025-01-01T00:{minute:02}:00Z"


def test_it_imports_in_order_of_occurrence(acme, tmp_path):
    file = write(
        tmp_path / "events.jsonl",
        {"action": "view", "visitor": "ann", "occurred_at": at(45), "country": "FR"},
        {"hub": "acme", "action": "view", "visitor": "ann", "occurred_at": at(0), "id": "a"},
        {"action": "view", "visitor": "ann", "occurred_at": at(1), "id": "a"},
        b"\n",
        {"action": "view", "visitor": "bob", "occurred_at": at(45), "properties": {"n": 1.0}},
        {"action": "view", "page": 0},
        b"nonsense\n",
    )
    assert run("import_events", file, "--hub", "acme") == {"accepted": 3, "duplicates": 1, "rejected": 2}
    assert [(e.visitor, e.visit, e.visit_number, e.country, e.properties) for e in logged()] == [
        (1, 1, 1, None, None),
        (1, 2, 2, "FR", None),
        (2, 3, 1, None, {"n": 1}),
    ]
    assert sorted(RejectedEvent.objects.values_list("code", flat=True)) == ["invalid_event", "invalid_page"]


def test_it_imports_again_without_counting_again(acme, tmp_path):
    same = {"hub": "acme", "action": "view", "visitor": "ann", "title": "É\u0085"[:1]}
    file = write(tmp_path / "events.jsonl", same, same, {"hub": "acme", "action": "view", "id": "x"})
    assert run("import_events", file) == {"accepted": 3, "duplicates": 0, "rejected": 0}
    assert run("import_events", file) == {"accepted": 0, "duplicates": 3, "rejected": 0}
    longer = write(tmp_path / "longer.jsonl", same, same, same)
    assert run("import_events", longer) == {"accepted": 1, "duplicates": 2, "rejected": 0}


def test_it_imports_csv(acme, tmp_path):
    file = tmp_path / "events.csv.gz"
    text = (
        "\ufeffhub,action,visitor,page,duration_ms,title,properties.colour,properties.size,occurred_at\r\n"
        'acme,read,ann,2,1500,"A, ""B""\u00e9",red,,2025-01-01T00:00:00Z\r\n'
        "acme,view,ann,,,,,3,2025-01-01T00:01:00Z\r\n"
        "acme,read,ann,zero,,,,,2025-01-01T00:01:00Z\r\n"
    )
    file.write_bytes(gzip.compress(text.encode()))
    assert run("import_events", file) == {"accepted": 2, "duplicates": 0, "rejected": 1}
    assert [(e.action, e.page, e.duration_ms, e.title, e.properties) for e in logged()] == [
        ("read", 2, 1500, 'A, "B"é', {"colour": "red"}),
        ("view", None, 0, None, {"size": "3"}),
    ]


def test_it_refuses_a_file_that_is_cut(acme, tmp_path):
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"hub": "acme", "action": "view"}\n' * 100)[:-10])
    with pytest.raises(CommandError, match="cannot be read"):
        run("import_events", file)
    assert logged() == []


@pytest.mark.parametrize("arguments", [["none.jsonl"], [__file__, "--hub", "none"]])
def test_it_refuses_to_import_what_is_not_there(arguments):
    with pytest.raises(CommandError, match="There is no"):
        run("import_events", *arguments)


def test_it_imports_an_empty_file(acme, tmp_path):
    assert run("import_events", write(tmp_path / "empty.jsonl")) == {"accepted": 0, "duplicates": 0, "rejected": 0}


def test_it_rejects_a_row_that_is_no_csv_and_goes_on(acme, tmp_path):
    long = b"acme,view," + b"x" * 140_000 + b"\n"
    file = write(
        tmp_path / "e.csv", b"hub,action,title\n", b"acme,view,A\n", long, b"acme,view\rx,B\n", b"acme,view,C\n"
    )
    assert run("import_events", file) == {"accepted": 2, "duplicates": 0, "rejected": 2}
    assert sorted(e.title for e in logged()) == ["A", "C"]
    assert sorted(RejectedEvent.objects.values_list("code", flat=True)) == ["invalid_event", "invalid_event"]


def test_it_reads_json_with_a_byte_order_mark(acme, tmp_path):
    file = write(tmp_path / "e.jsonl", b"\xef\xbb\xbf", {"hub": "acme", "action": "view"})
    assert run("import_events", file) == {"accepted": 1, "duplicates": 0, "rejected": 0}


def test_it_says_why_it_accepts_nothing(acme, tmp_path):
    file = write(tmp_path / "e.jsonl", {"hub": "no", "action": "view"}, {"hub": "no", "action": "read"}, b"x\n")
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="No line was accepted"):
        call_command("import_events", str(file), stdout=out, stderr=err)
    assert json.loads(out.getvalue()) == {"accepted": 0, "duplicates": 0, "rejected": 3}
    assert err.getvalue().splitlines() == ["2 lines are rejected: unknown_hub", "1 lines are rejected: invalid_event"]


def test_it_keeps_a_rejection_once_however_often_it_is_imported(acme, tmp_path):
    bad = {"hub": "acme", "action": "view", "page": 0}
    file = write(tmp_path / "e.jsonl", bad, bad, b"x\n", {"hub": "acme", "action": "view"})
    run("import_events", file)
    assert run("import_events", file) == {"accepted": 0, "duplicates": 1, "rejected": 3}
    assert sorted(RejectedEvent.objects.values_list("code", flat=True)) == ["invalid_event"] + ["invalid_page"] * 2
    assert sorted(RejectedCount.objects.values_list("code", "count", "public")) == [
        ("invalid_event", 1, 0),
        ("invalid_page", 2, 0),
    ]


def test_it_holds_few_bytes_a_line_while_it_imports(acme, tmp_path, monkeypatch):
    lines = b"".join(
        b'{"hub":"acme","action":"view","id":"%d","occurred_at":"2025-01-01T00:00:00Z"}\n' % n for n in range(40_000)
    )
    file = write(tmp_path / "e.jsonl", lines)
    monkeypatch.setattr("events.imported._Run._append", lambda *arguments: None)
    run("import_events", write(tmp_path / "warm.jsonl", lines[:1000]))
    tracemalloc.start()
    try:
        run("import_events", file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 40_000 < 150
