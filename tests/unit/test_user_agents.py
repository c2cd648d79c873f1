import gzip
import json
import time

import pytest

from events.user_agents import DEVICES, UserAgent, classify
from tests.real.folder import DATA, needs

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.1 Safari/605.1.15"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.1 Mobile/15E148 Safari/604.1"
)
IPAD = IPHONE.replace("iPhone; CPU iPhone OS", "iPad; CPU OS")
PHONE = (
    "Mozilla/5.0 (Linux; Android 13; SM-S908B) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/112.0.0.0 Mobile Safari/537.36"
)
TABLET = (
    "Mozilla/5.0 (Linux; Android 12; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/80.0.3987.119 Safari/537.36"
)
FIRE_TV = "Mozilla/5.0 (Linux; Android 9; AFTSSS) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36"
SAMSUNG_TV = (
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/5.0 TV Safari/537.36"
)
PLAYSTATION = (
    "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/13.0 Safari/605.1.15"
)
WATCH = "atc/1.0 watchOS/5.1.3 model/Watch3,4 hwp/t8004 build/16S535 (6; dt:156)"
CHROMEBOOK = (
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
INTERNET_EXPLORER = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (None, UserAgent(None, None, None, False)),
        ("", UserAgent(None, None, None, False)),
        ("  ", UserAgent(None, None, None, False)),
        ("something unheard of", UserAgent("other", None, None, False)),
        ("\ud800\x00\U0001f600", UserAgent("other", None, None, False)),
        (WINDOWS, UserAgent("desktop", "Chrome", "Windows", False)),
        (MAC, UserAgent("desktop", "Safari", "Mac OS X", False)),
        (CHROMEBOOK, UserAgent("desktop", "Chrome", "Chrome OS", False)),
        (INTERNET_EXPLORER, UserAgent("desktop", "IE", "Windows", False)),
        (IPHONE, UserAgent("mobile", "Mobile Safari", "iOS", False)),
        (PHONE, UserAgent("mobile", "Chrome Mobile", "Android", False)),
        (IPAD, UserAgent("tablet", "Mobile Safari", "iOS", False)),
        (TABLET, UserAgent("tablet", "Chrome", "Android", False)),
        (FIRE_TV, UserAgent("tv", "Chrome", "Android", False)),
        (SAMSUNG_TV, UserAgent("tv", "Safari", "Tizen", False)),
        (PLAYSTATION, UserAgent("console", "Safari", None, False)),
        (WATCH, UserAgent("wearable", "Apple Watch App", "WatchOS", False)),
        ("curl/8.4.0", UserAgent("other", "curl", None, True)),
        ("python-requests/2.31", UserAgent("other", "Python Requests", None, True)),
        (GOOGLEBOT, UserAgent("other", "Googlebot", None, True)),
    ],
)
def test_it_classifies(user_agent, expected):
    assert classify(user_agent) == expected


@pytest.mark.parametrize(
    "user_agent", ["curl/8", "python-requests/2", "Googlebot", "Yandex", "GPTBot/1.0", "Wget/1.21"]
)
def test_it_knows_robots(user_agent):
    assert classify(user_agent).is_bot


def test_it_cuts_a_family_that_the_sender_chose():
    assert len(classify(f"{'x' * 2000}Bot/1.0").browser or "") <= 128


def test_it_takes_a_time_linear_in_the_length():
    # A list that backtracks needs half a second for this one; the bound is loose for a busy machine.
    classify("warm")
    started = time.perf_counter()
    classify("a" * 2000)
    assert time.perf_counter() - started < 0.2


def _labelled(name):
    with gzip.open(DATA / "lists" / name, "rt", encoding="utf-8") as lines:
        return [(line["user_agent_string"], line["family"]) for line in map(json.loads, lines)]


@needs("lists")
@pytest.mark.parametrize(("name", "field"), [("uap_test_ua.jsonl.gz", "browser"), ("uap_test_os.jsonl.gz", "os")])
def test_it_agrees_with_the_labels_of_ua_parser(name, field):
    rows = _labelled(name)
    agreeing = sum((getattr(classify(user_agent), field) or "Other") == family for user_agent, family in rows)
    assert agreeing / len(rows) >= 0.99


@needs("lists")
def test_it_knows_the_labelled_robots_and_few_others():
    rows = _labelled("uap_test_device.jsonl.gz")
    robots = [classify(user_agent).is_bot for user_agent, family in rows if family == "Spider"]
    others = [classify(user_agent).is_bot for user_agent, family in rows if family != "Spider"]
    assert sum(robots) / len(robots) >= 0.99
    assert sum(others) / len(others) <= 0.02
    assert {classify(user_agent).device for user_agent, _ in rows} <= set(DEVICES)
