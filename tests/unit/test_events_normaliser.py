"""The steps of the normaliser: what is accepted, kept, cut and refused."""

import json

import pytest

from events.normaliser import Caller, Draft, cookieless_key, normalise, rejection_of, visitor_key
from events.sent import Body, Malformed, Reject, TooManyEvents, checked_or_reject, shown

RECEIVED_AT = 1_795_000_000_000  # 2026-11-18T11:06:40Z
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)


def public(**fields) -> Caller:
    return Caller({"acme": 0}.get, **{"address": "192.0.2.1", "user_agent": CHROME, "language": "fr"} | fields)


def trusted() -> Caller:
    return Caller({"acme": 0}.get, is_trusted=True)


def draft_of(item: object, caller: Caller | None = None) -> Draft:
    caller = caller or public()
    content = item if isinstance(item, bytes) else json.dumps({"events": [item]}).encode()
    (sent,) = Body(content, caller.sends).events
    return normalise(sent, caller, RECEIVED_AT)


def refused(item: object, caller: Caller | None = None) -> tuple[str, str]:
    with pytest.raises(Reject) as caught:
        draft_of(item, caller)
    return caught.value.code, caught.value.detail


def event(**fields) -> dict:
    return {"hub": "acme", "action": "view", "visitor": "ann"} | fields


def test_it_takes_a_full_event():
    draft = draft_of(
        event(id="e1", media="m", page=3.0, duration_ms=0, properties={"a": 1.0, "b": 1.5, "c": True, "d": ""})
    )
    assert (draft.id, draft.sent.page, draft.sent.duration_ms, draft.properties) == (
        "e1",
        3,
        0,
        {"a": 1, "b": 1.5, "c": True, "d": ""},
    )
    assert [type(value) for value in draft.properties.values()] == [int, float, bool, str]
    assert draft.visitor_key == visitor_key("acme", "ann")


@pytest.mark.parametrize("nothing", [None, ""])
def test_it_takes_null_and_empty_for_absent(nothing):
    names = ["id", "media", "media_kind", "pages", "page", "duration_ms", "visit", "visit_number", "occurred_at"]
    draft = draft_of(event(**dict.fromkeys([*names, "referrer", "properties"], nothing)))
    assert (draft.sent.page, draft.occurred_at, draft.visit_key, draft.source, draft.properties, len(draft.id)) == (
        None,
        RECEIVED_AT,
        None,
        None,
        None,
        32,
    )


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"hub": None}, "missing_hub"),
        ({"hub": ""}, "missing_hub"),
        ({"hub": 5}, "invalid_hub"),
        ({"hub": "other"}, "unknown_hub"),
        ({"hub": "é"}, "unknown_hub"),
        ({"action": ""}, "missing_action"),
        ({"action": "View"}, "invalid_action"),
        ({"action": "a" * 33}, "invalid_action"),
        ({"action": "view\n"}, "invalid_action"),
        ({"action": "9lives"}, "invalid_action"),
        ({"action": ["view"]}, "invalid_action"),
        ({"id": "i" * 65}, "invalid_id"),
        ({"id": 7}, "invalid_id"),
        ({"media": "m" * 129}, "invalid_media"),
        ({"media": "a\x00b"}, "invalid_media"),
        ({"media": "a\x7fb"}, "invalid_media"),
        ({"media": "a\x85b"}, "invalid_media"),
        ({"media": "a\ud800b"}, "invalid_media"),
        ({"media_kind": "book"}, "invalid_media_kind"),
        ({"title": "t" * 2001}, "invalid_title"),
        ({"title": "one\ttwo"}, "invalid_title"),
        ({"page": 0}, "invalid_page"),
        ({"page": 1.5}, "invalid_page"),
        ({"page": True}, "invalid_page"),
        ({"page": "1"}, "invalid_page"),
        ({"page": 2**31}, "invalid_page"),
        ({"page": 10**400}, "invalid_page"),
        ({"pages": -1}, "invalid_pages"),
        ({"visit_number": 0}, "invalid_visit_number"),
        ({"duration_ms": -1}, "invalid_duration_ms"),
        ({"duration_ms": 3_600_001}, "invalid_duration_ms"),
        ({"occurred_at": "2026-11-18T11:00:00"}, "invalid_occurred_at"),
        ({"occurred_at": "2026-11-18"}, "invalid_occurred_at"),
        ({"occurred_at": "yesterday"}, "invalid_occurred_at"),
        ({"occurred_at": 1795000000}, "invalid_occurred_at"),
        ({"occurred_at": "1969-12-31T23:59:59.999Z"}, "too_old"),
        ({"occurred_at": "2026-11-16T11:06:39.999Z"}, "too_old"),
        ({"properties": [1]}, "invalid_properties"),
        ({"properties": {"a": None}}, "invalid_properties"),
        ({"properties": {"a": {"b": 1}}}, "invalid_properties"),
        ({"properties": {"": 1}}, "invalid_properties"),
        ({"properties": {"k" * 129: 1}}, "invalid_properties"),
        ({"properties": {"a": "v" * 2001}}, "invalid_properties"),
        ({"properties": {"a": "\x01"}}, "invalid_properties"),
        ({"properties": {"a": 2**63}}, "invalid_properties"),
        ({"properties": {f"k{n}": n for n in range(21)}}, "invalid_properties"),
    ],
)
def test_it_names_the_fault(fields, code):
    assert refused(event(**fields))[0] == code


def test_it_refuses_what_is_no_object():
    assert refused(5) == ("invalid_event", "An event must be an object, not 5.")


def test_it_says_what_would_do():
    assert refused(event(page=0))[1] == "page must be a whole number from 1 to 2147483647, not 0."


def test_it_refuses_numbers_beyond_the_finite():
    assert refused(b'{"hub":"acme","action":"view","properties":{"a":1e400}}')[0] == "invalid_properties"
    assert refused(b'{"hub":"acme","action":"view","page":' + b"9" * 5000 + b"}")[0] == "invalid_page"


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-11-18T11:00:00Z", 1_794_999_600_000),
        ("2026-11-18T12:00:00.123999+01:00", 1_794_999_600_123),
        ("2026-11-18T12:00:00.9999999+0100", 1_794_999_600_999),
        ("2026-11-18 11:00:00+00", 1_794_999_600_000),
        ("20261118T110000Z", 1_794_999_600_000),
        ("2026-11-16T11:06:40Z", RECEIVED_AT - 48 * 3_600_000),
        ("2026-11-18T11:11:40Z", RECEIVED_AT + 300_000),
    ],
)
def test_it_keeps_time_to_the_millisecond(text, milliseconds):
    draft = draft_of(event(occurred_at=text))
    assert (draft.occurred_at, draft.is_clamped) == (milliseconds, False)


def test_it_clamps_the_future():
    draft = draft_of(event(occurred_at="2026-11-18T11:11:40.001Z"))
    assert (draft.occurred_at, draft.is_clamped) == (RECEIVED_AT, True)


def test_it_lets_a_key_send_any_time_since_1970():
    assert draft_of(event(occurred_at="1970-01-01T00:00:00Z"), trusted()).occurred_at == 0


def test_it_keeps_unicode_as_sent():
    title = "Ｃatalogue d’été\u00a0— 目录 👩‍👩‍👧 e\u0301 \u202e\u2028" + "x" * 1900
    assert draft_of(event(title=title, media="m" * 128, source=" a ")).sent.title == title
    assert draft_of(json.dumps(event(title=title), ensure_ascii=False).encode()).sent.title == title


def test_it_ignores_fields_that_it_does_not_know():
    assert draft_of(event(nonsense={"a": [None, "\x00"]}, language=5, ip=6, country="XX")).language == "fr"


def test_it_takes_place_and_agent_from_the_request_of_the_public():
    draft = draft_of(event(user_agent="Googlebot/2.1", language="de", country="FR"))
    assert (draft.language, draft.country, draft.is_bot) == ("fr", None, False)
    assert draft.browser is not None


def test_it_takes_place_and_agent_from_the_event_of_a_key():
    draft = draft_of(event(user_agent=CHROME, language="de-AT", country="FR"), trusted())
    assert (draft.language, draft.country, draft.is_bot) == ("de-AT", "FR", False)
    bare = draft_of(event(), trusted())
    assert (bare.language, bare.country, bare.device, bare.is_bot) == (None, None, None, False)
    assert refused(event(language=5), trusted())[0] == "invalid_language"


def test_it_prefers_the_source_that_was_sent():
    referrer = "https://example.org/a"
    assert draft_of(event(referrer=referrer, source="mail")).source == "mail"
    assert draft_of(event(referrer=referrer)).source == "example.org"
    assert draft_of(event(referrer="no url")).source is None


def test_it_tells_visits_of_two_visitors_apart():
    keys = {draft_of(event(visitor=visitor, visit="v")).visit_key for visitor in ("ann", "bob")}
    assert len(keys) == 2


def test_it_counts_a_nameless_visitor_by_day_address_and_agent():
    nameless = {"hub": "acme", "action": "view"}
    first = draft_of(nameless).visitor_key
    assert first == cookieless_key("acme", RECEIVED_AT // 86_400_000, "192.0.2.1", CHROME)
    others = [
        draft_of(nameless | {"occurred_at": "2026-11-17T11:00:00Z"}),
        draft_of(nameless, public(address="192.0.2.2")),
        draft_of(nameless, public(user_agent="other")),
    ]
    assert len({first, *(draft.visitor_key for draft in others)}) == 4
    assert draft_of(nameless | {"ip": "192.0.2.1", "user_agent": CHROME}, trusted()).visitor_key == first


def test_it_accepts_the_same_events_in_one_pass_and_one_by_one():
    items = [event(id=f"e{n}", title="É", page=n + 1, properties={"n": n}) for n in range(3)]
    quick = Body(json.dumps({"events": items}, ensure_ascii=False).encode(), public().sends).events
    slow = Body(json.dumps({"events": [*items, 5]}).encode(), public().sends).events
    assert list(quick) == list(slow[:3])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no",
        b"[]",
        b"5",
        b'{"events": {}}',
        b'{"events": null}',
        b'{"a": NaN}',
        b"\xff",
        b'{"a":"\x01"}',
        b"[" * 100_000,
    ],
)
def test_it_refuses_a_body_that_is_no_event(content):
    with pytest.raises(Malformed):
        Body(content, public().sends)


@pytest.mark.parametrize("last", [event(), 5])
def test_it_refuses_too_many_events(last):
    content = json.dumps({"events": [event()] * 1000 + [last]}).encode()
    with pytest.raises(TooManyEvents):
        Body(content, public().sends)


def test_it_takes_an_empty_list():
    assert list(Body(b'{"events": []}', public().sends).events) == []


def test_it_keeps_a_rejected_event_without_its_address():
    item = {"hub": "acme", "action": "view", "page": 0, "ip": "198.51.100.7"}
    rejection = rejection_of(item, Reject("invalid_page", "no"), public(), RECEIVED_AT)
    assert (rejection.hub, rejection.code, json.loads(rejection.payload)) == (
        "acme",
        "invalid_page",
        {
            "hub": "acme",
            "action": "view",
            "page": 0,
            "user_agent": CHROME,
            "country": None,
            "language": "fr",
            "_visitor_key": cookieless_key("acme", RECEIVED_AT // 86_400_000, "192.0.2.1", CHROME).hex(),
        },
    )


ADDRESSES = ("203.0.113.77", "2001:db8::77", "::ffff:203.0.113.77", "2001:db8:0:0:0:0:0:77")


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "item",
    [
        {"ip": ["{}"]},
        {"ip": {"ip": "{}"}},
        {"ip": "{}" + " " * 128},
        {"ip": "{}\n", "title": {"ip": "{}"}},
        {"properties": {"ip": "{}", "a": {"ip": "{}"}}},
        {"properties": {"ip": "{}"}, "page": 0},
        {"properties": [{"ip": "{}"}]},
        {"request": {"client": ["{}", {"ip": "{}"}]}, "page": 0},
        {"body": '{"ip": "{}"}', "{}": 1, "page": 0},
        [{"ip": "{}"}],
        '{"hub": "acme", "ip": "{}',
        "x" * 60 + " ip={}",
        ["x" * 55, "{}"],
    ],
    ids=str,
)
def test_it_keeps_and_tells_no_address_of_a_rejected_event(item, address):
    item = json.loads(json.dumps(item).replace("{}", address))
    caller = trusted()
    with pytest.raises(Reject) as refused:
        normalise(checked_or_reject(item, caller.sends), caller, RECEIVED_AT)
    rejection = rejection_of(item, refused.value, caller, RECEIVED_AT)
    told = f"{rejection.detail} {rejection.payload.decode()}"
    assert [part for part in ("203.0.113", "2001:db8", ":77", "113.77") if part in told] == []


def test_it_keeps_a_cut_address_of_no_line():
    line = '{"hub": "acme", "ip": "203.0.113'
    rejection = rejection_of(line, Reject("invalid_event", shown(line)), trusted(), RECEIVED_AT)
    blanked = '{"hub": "acme", "ip"[address]'
    assert (rejection.detail, json.loads(rejection.payload)) == (f"'{blanked}'"[:-1], blanked)


def test_it_keeps_what_is_no_address():
    item = {
        "hub": "acme",
        "action": "view",
        "page": 0,
        "user_agent": "Chrome/120.0.0.0",
        "properties": {"version": "1.2.3.4", "n": 5},
        "later": {"at": "12:30:45"},
    }
    kept = json.loads(rejection_of(item, Reject("invalid_page", "no"), trusted(), RECEIVED_AT).payload)
    assert {name: kept[name] for name in item} == item | {"later": ['{"at": "12:30:45"}']}
