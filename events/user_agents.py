"""What a user agent tells: class of device, browser, operating system, and whether a robot sent it.

A robot is a user agent that one of three lists knows: CrawlerDetect's, COUNTER's (robots and machines), ua-parser's.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import re2
import ua_parser
from crawlerdetect.providers import crawlers, exclusions

DEVICES = ("desktop", "mobile", "tablet", "tv", "console", "wearable", "other")
"""The closed list of device classes. Safari on an iPad asks for desktop pages and is a desktop."""

NAME_LENGTH = 128

# The first class with a token in user agent, device family or OS family is the class.
_TOKENS = tuple(
    (device, re2.compile(pattern))
    for device, pattern in (
        (
            "wearable",
            (
                r"(?i:\b(apple )?watch ?os\b|apple ?watch|\bwatch\d|wear ?os|android wear|galaxy watch|galaxy gear"
                r"|fitbit|google glass|\bglass \d|oculus|\bquest [23p]|vision ?pro)|\bSM-[RVL]\d{3}|\bWatch\b"
            ),
        ),
        (
            "tv",
            (
                r"(?i:smart-?tv|apple ?tv|google ?tv|android ?tv|hbbtv|\bdtv\b|netcast|web0s|webos\.?tv|\broku\b|bravia"
                r"|\bcrkey\b|chromecast|opera tv|\btv safari|tizen.*\btv\b|\btvos\b|viera|philipstv|nettv|tsbnettv"
                r"|ce-html|pov_tv|inettvbrowser|sharp-?tv|\bmi ?box|\bmi ?tv|\bshield android|boxee|kylo|sonydtv)"
                r"|\bAFT[A-Z]+\d*\b|\bTV\b"
            ),
        ),
        ("console", r"(?i:playstation|\bpsp\b|\bps ?vita|xbox|nintendo|\bouya\b|steam ?deck|valve steam gameoverlay)"),
        (
            "tablet",
            (
                r"(?i:\bipad|ipados|tablet([^ ]| [^p]|$)|kindle|\bsilk[-/]|playbook|touchpad|\bxoom\b|\bnook\b|kobo"
                r"|nexus (7|9|10)\b|pixel c\b|transformer|mediapad|matepad|galaxy (note )?tab|\bpad\b)"
                r"|\bSM-[TPX]\d|\bGT-(P\d|N80|N51)|\bKF[A-Z]{2,5}\b"
                r"|\bLenovo (TB|YT|A\d{4})|\bTB-?[X\dJ]|\bSGP\d|\b(MI|Mi|Redmi|Xiaomi) ?Pad"
            ),
        ),
        (
            "mobile",
            (
                r"(?i:mobi|iphone|ipod|windows ?phone|windows ce|iemobile|\bwpdesktop|blackberry|\bbb10\b|symb(ian|os)"
                r"|series ?[346]0|opera mini|opera mobi|j2me|midp|\bcldc|palm|webos|bada|kaios|meego|maemo|brew|nokia"
                r"|smartphone|feature phone|\bucweb|ucbrowser|up\.browser|netfront|docomo|kddi|softbank|vodafone"
                r"|samsung-[sg]|sonyericsson|\blg-|\bmot-|firefox os)|Lumia|\bSM-[AGFJMNSE]\d|\bGT-[ISN]\d"
            ),
        ),
        ("tablet", r"(?i:android)"),
        (
            "desktop",
            (
                r"(?i:windows|win(9[58]|nt)|macintosh|mac ?os|mac_powerpc|\bdarwin.*x86|\bx11\b|linux|\bcros\b"
                r"|chrome ?os|ubuntu|fedora|debian|bsd\b|sunos|solaris|haiku|\bbeos\b|os/2|amiga|\bmac\b)"
            ),
        ),
    )
)
_SPIDER = "Spider"  # the device family that ua-parser gives to robots


class _AnyOf:
    """Finds whether any of many patterns is in a text, in time linear in its length (RE2).

    Patterns that RE2 refuses (look-ahead) are few and searched one by one.
    """

    def __init__(self, patterns: Iterable[str], case_sensitive: bool) -> None:
        options = re2.Options()
        options.case_sensitive = case_sensitive
        options.never_capture = True
        options.log_errors = False
        options.max_mem = 64 << 20
        linear: list[str] = []
        self._others: list[re.Pattern[str]] = []
        for pattern in patterns:
            try:
                re2.compile(pattern, options)
                linear.append(pattern)
            except re2.error:
                self._others.append(re.compile(pattern, 0 if case_sensitive else re.IGNORECASE))
        self._linear = re2.compile("|".join(linear), options)

    def __contains__(self, text: str) -> bool:
        return bool(self._linear.search(text)) or any(pattern.search(text) for pattern in self._others)


def _counter_list(name: str) -> list[str]:
    return (files("counter_robots") / "data" / name).read_text(encoding="utf-8").splitlines()


_harmless = re.compile("|".join(exclusions.data), re.IGNORECASE)  # what CrawlerDetect takes out before it searches
_crawlers = _AnyOf(crawlers.data, case_sensitive=False)
_robots_and_machines = _AnyOf(_counter_list("robot.txt") + _counter_list("machine.txt"), case_sensitive=True)


class UserAgent(NamedTuple):
    """What is known of a user agent; `device` is one of DEVICES, and None where no user agent was sent."""

    device: str | None
    browser: str | None
    os: str | None
    is_bot: bool


_NOTHING = UserAgent(None, None, None, False)


@lru_cache(maxsize=65_536)
def classify(user_agent: str | None) -> UserAgent:
    """Classify a user agent; never raises. None and "" tell nothing and are no robot.

    A new user agent costs about 0.1 ms (a longer one more, in proportion), a known one 0.1 µs; the first call
    compiles ua-parser's patterns, in a fifth of a second.
    """
    if not user_agent or not user_agent.strip():
        return _NOTHING
    text = user_agent.encode("utf-8", "replace").decode()
    parsed = ua_parser.parse(text)
    browser, system, device = (_name_of(part) for part in (parsed.user_agent, parsed.os, parsed.device))
    is_bot = device == _SPIDER or text in _robots_and_machines or _harmless.sub("", text) in _crawlers
    return UserAgent(_class_of(text, device, system), browser, system, is_bot)


def _class_of(user_agent: str, device: str | None, system: str | None) -> str:
    if device == _SPIDER:
        return "other"
    text = f"{user_agent}\n{device}\n{system}"
    named_alone = "mobile" if device else "other"  # a make and model without any other token is an old phone
    return next((name for name, tokens in _TOKENS if tokens.search(text)), named_alone)


def _name_of(part: ua_parser.UserAgent | ua_parser.OS | ua_parser.Device | None) -> str | None:
    return None if part is None or part.family in ("", "Other") else part.family[:NAME_LENGTH]
