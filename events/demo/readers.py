"""The readers of the demo: where they live, what they browse with, and how they come."""

import random
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

HOMES = {
    ("FR", "fr"): 540, ("BE", "fr"): 60, ("BE", "nl"): 25, ("CH", "fr"): 50, ("CH", "de"): 18, ("CA", "fr"): 30,
    ("LU", "fr"): 10, ("MA", "fr"): 12, ("GB", "en"): 60, ("US", "en"): 55, ("CA", "en"): 12, ("IE", "en"): 6,
    ("DE", "de"): 42, ("AT", "de"): 8, ("IT", "it"): 22, ("ES", "es"): 20, ("NL", "nl"): 16, ("PT", "pt"): 9,
    ("JP", "ja"): 10, ("AE", "en"): 7, ("SE", "sv"): 5,
}  # fmt: skip

_WEBKIT, _CHROME = "AppleWebKit/605.1.15 (KHTML, like Gecko)", "AppleWebKit/537.36 (KHTML, like Gecko)"
BROWSERS = {
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_WEBKIT} Version/18.6 Mobile/15E148 Safari/604.1": 26,
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) {_WEBKIT} Version/17.7 Mobile/15E148 Safari/604.1": 6,
    f"Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) {_WEBKIT} Version/17.7 Mobile/15E148 Safari/604.1": 6,
    f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Chrome/142.0.0.0 Mobile Safari/537.36": 20,
    f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {_CHROME} SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36": 5,
    f"Mozilla/5.0 (Linux; Android 13; SM-X200) {_CHROME} Chrome/141.0.0.0 Safari/537.36": 2,
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Chrome/142.0.0.0 Safari/537.36": 22,
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0": 9,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0": 7,
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Version/18.6 Safari/605.1.15": 11,
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME} Chrome/142.0.0.0 Safari/537.36": 8,
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": 2,
}
ROBOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    f"Mozilla/5.0 {_CHROME}; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
)


@dataclass(frozen=True)
class Channel:
    """A way by which visits come: a referrer, a campaign, a partner, or none of them (direct)."""

    weight: int
    referrer: str | None = None
    source: str | None = None
    intermediary: str | None = None


CHANNELS = (
    Channel(300),
    Channel(190, "https://www.google.com/"),
    Channel(22, "https://www.bing.com/search?q=maison+lumiere+catalogue"),
    Channel(12, "https://www.ecosia.org/search?q=lampadaire+arc"),
    Channel(10, "https://duckduckgo.com/"),
    Channel(48, "https://l.instagram.com/"),
    Channel(40, "https://www.facebook.com/"),
    Channel(58, "https://www.pinterest.fr/"),
    Channel(14, "https://www.linkedin.com/feed/"),
    Channel(9, "https://t.co/Lum1ere"),
    Channel(16, "https://www.youtube.com/"),
    Channel(30, "https://chatgpt.com/"),
    Channel(9, "https://www.perplexity.ai/"),
    Channel(5, "https://gemini.google.com/"),
    Channel(80, source="newsletter"),
    Channel(12, "https://mail.google.com/", source="newsletter"),
    Channel(26, "https://www.maison-lumiere.example/"),
    Channel(14, "https://www.decoration-et-vous.example/inspirations/luminaires"),
    Channel(34, intermediary="kiosk-7"),
    Channel(26, "https://galerie-lyon.example/vitrine", intermediary="galerie-lyon"),
    Channel(18, intermediary="atelier-nord"),
    Channel(14, "https://presse-deco.example/", intermediary="presse-deco"),
    Channel(9, intermediary="architectes-associes"),
)
NETWORKS = {"pinterest": 30, "facebook": 22, "whatsapp": 20, "email": 12, "instagram": 10, "linkedin": 8, "x": 4}
REFERRERS_OF_NETWORKS = {
    "pinterest": "https://www.pinterest.fr/",
    "facebook": "https://www.facebook.com/",
    "instagram": "https://l.instagram.com/",
    "linkedin": "https://www.linkedin.com/feed/",
    "x": "https://t.co/",
}


@dataclass(frozen=True)
class Reader:
    """A person with one browser."""

    name: str
    country: str
    language: str
    user_agent: str
    patience: float
    is_robot: bool = False

    @classmethod
    def named(cls, name: str) -> "Reader":
        """The reader of that name, the same at every call."""
        chance = random.Random(name)
        country, language = pick(chance, HOMES)
        return cls(name, country, language, pick(chance, BROWSERS), chance.betavariate(2.2, 2))

    @classmethod
    def robot(cls, chance: random.Random) -> "Reader":
        agent = chance.choice(ROBOTS)
        return cls(f"robot-{ROBOTS.index(agent)}", "US", "en", agent, 1.0, is_robot=True)


def pick(chance: random.Random, weights: dict[T, int]) -> T:
    """One of the keys, each with its weight."""
    return chance.choices(list(weights), list(weights.values()))[0]
