import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.sources import source_of
from tests.real.folder import DATA, needs


@pytest.mark.parametrize(
    ("referrer", "source"),
    [
        ("https://www.google.com/search?q=catalogue", "Google"),
        ("https://www.google.co.uk/", "Google"),
        ("https://google.com.br", "Google"),
        ("https://www.google.com./", "Google"),
        ("https://news.google.com/articles/x", "Google News"),
        ("https://www.google.fr/imgres?imgurl=x", "Google Images"),
        ("https://mail.google.com/mail/u/0/", "mail.google.com"),
        ("https://docs.google.com/document/d/1", "docs.google.com"),
        ("https://google.com.evil.example/", "google.com.evil.example"),
        ("https://notgoogle.com/", "notgoogle.com"),
        ("https://fr.search.yahoo.com/search?p=x", "Yahoo!"),
        ("https://mail.yahoo.com/", "mail.yahoo.com"),
        ("https://www.bing.com/search?q=x", "Bing"),
        ("https://www.bing.com/images/search?q=x", "Bing Images"),
        ("https://duckduckgo.com/", "DuckDuckGo"),
        ("https://yandex.com.tr/search/?text=x", "Yandex"),
        ("https://mail.yandex.ru/", "mail.yandex.ru"),
        ("http://www.facebook.com/l/7AQEFzjSi/1.usa.gov/wfLQtf", "Facebook"),
        ("https://lm.facebook.com/", "Facebook"),
        ("http://t.co/03elZC4Q", "Twitter"),
        ("https://x.com/someone/status/1", "Twitter"),
        ("https://x.com/i/grok?conversation=1", "Grok"),
        ("https://x.com/i/grokker", "Twitter"),
        ("HTTPS://WWW.LinkedIn.COM:443/feed", "LinkedIn"),
        ("https://chatgpt.com/", "ChatGPT"),
        ("https://claude.ai/chat/1", "Claude"),
        ("https://www.perplexity.ai/search", "Perplexity"),
        ("https://gemini.google.com/app", "Gemini"),
        ("android-app://com.google.android.googlequicksearchbox/https/www.google.com", "Google"),
        ("android-app://com.linkedin.android/", "LinkedIn"),
        ("android-app://com.example.reader/", "com.example.reader"),
        ("https://user:secret@WWW.Example.com:8443/a?b#c", "www.example.com"),
        ("https://bücher.example/", "bücher.example"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://192.0.2.1:8000/", "192.0.2.1"),
        ("direct", None),
        ("www.google.com", None),
        ("ftp://example.com/", None),
        ("javascript:alert(1)", None),
        ("https://", None),
        ("https:///path", None),
        ("http://[::1", None),
        ("http://a b/", None),
        ("http://evil.example\\@google.com/", None),
        (f"https://{'a.' * 500}com/", None),
        ("", None),
        (None, None),
    ],
)
def test_it_names_the_source(referrer, source):
    assert source_of(referrer) == source


@given(st.text() | st.text().map("https://".__add__) | st.text("[]@:/.%\\?#\ud800 x").map("http://".__add__))
def test_it_never_raises(referrer):
    assert source_of(referrer) is None or source_of(referrer)


def _listed(name):
    """(domain, name) of a list; a search engine has its domains one level deeper. Their "{}" is any country."""
    yaml = pytest.importorskip("yaml")
    for service, groups in yaml.safe_load((DATA / "lists" / name).read_text(encoding="utf-8")).items():
        for group in groups:
            for domain in group["urls"] if isinstance(group, dict) else [group]:
                yield str(domain).replace("{}", "fr"), str(service).replace("%2B", "+")


@needs("lists")
@pytest.mark.parametrize(
    ("name", "share"), [("AIAssistants.yml", 1.0), ("Socials.yml", 0.94), ("SearchEngines.yml", 0.59)]
)
def test_it_agrees_with_the_list(name, share):
    listed = list(_listed(name))
    agreeing = [domain for domain, service in listed if source_of(f"https://{domain}") == service]
    assert len(agreeing) / len(listed) >= share
