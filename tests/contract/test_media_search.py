"""What the search of a catalogue promises, wherever it is answered from."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pytest
from django.utils import timezone
from elasticsearch import Elasticsearch

from events.models import Hub, LogBirth, Media
from statsproject.addresses import ELASTIC_MEDIA_INDEX
from tests.rows import drop_indexes
from tests.waiting import free_port
from views_layer.media import Found, find
from views_layer.media_index import OVERLAP, Entry, fill, mark_of, media_index
from views_layer.question import QueryError
from views_layer.stores.elastic.entries import entry_id
from views_layer.stores.elastic.media_index import ElasticMediaIndex

pytestmark = pytest.mark.django_db(databases="__all__")
AT = datetime(2026, 11, 1, tzinfo=UTC)
TITLES = {
    "cat-1": "Été à Genève – l’édition spéciale",
    "cat-10": "GRÜSSE aus Köln: Möbel & Küche",
    "cat-2": "Straße der Œuvres, 2026",
    "Zoo": "Łódź, Ærø and the cœur",
    "kor": "한국어 카탈로그",
    "jp": "春のカタログ2026",
    "ru": "Каталог Ёлка",
    "tr": "İstanbul ışık",
    "a_b.pdf": "",
    "plain": "100% of the price \\ x",
}


class MediaSearchContract:
    """Inherited by a test class for each place that a search may be answered from, which says how media come there."""

    def learnt(self, hub: Hub, titles: dict[str, str]) -> None:
        """Let the catalogue have media of these titles."""
        Media.objects.bulk_create(
            [
                Media(hub=hub, key=key, title=title, words=Media.searched(key, title), first_at=AT)
                for key, title in titles.items()
            ],
            update_conflicts=True,
            unique_fields=["hub", "key"],
            update_fields=["title", "words", "learnt_at"],
        )

    @pytest.fixture
    def hub(self) -> Hub:
        hub = Hub.objects.create(slug="acme")
        other = Hub.objects.create(slug="other")
        self.learnt(hub, TITLES)
        self.learnt(other, {"cat-1": "Été", "cat-3": "Köln"})
        return hub

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("", sorted(TITLES)),
            ("  ", sorted(TITLES)),
            ("ete", ["cat-1"]),
            ("ÉTÉ", ["cat-1"]),
            ("e\u0301te\u0301", ["cat-1"]),
            ("genev edit", ["cat-1"]),
            ("edit genev", ["cat-1"]),
            ("eneve", []),
            ("grusse", ["cat-10"]),
            ("GRÜßE", ["cat-10"]),
            ("mobel kuche", ["cat-10"]),
            ("strasse", ["cat-2"]),
            ("œuv", ["cat-2"]),
            ("oeuv 2026", ["cat-2"]),
            ("lodz aero coeur", ["Zoo"]),
            ("카탈", ["kor"]),
            ("カタログ", ["jp"]),
            ("елка", ["ru"]),
            ("istanbul isik", ["tr"]),
            ("a b", ["a_b.pdf"]),
            ("a_b.pdf", ["a_b.pdf"]),
            ("pdf", ["a_b.pdf"]),
            ("cat-1", ["cat-1", "cat-10"]),
            ("cat", ["cat-1", "cat-10", "cat-2"]),
            ("100%", ["plain"]),
            ("%", []),
            ("\\", []),
            ("Zoo", ["Zoo"]),
            ("zo", ["Zoo"]),
            ("nothing", []),
        ],
    )
    def test_it_finds_beginnings_of_words_without_case_and_accents(self, hub, search, found):
        answer = find(hub, search, 100)
        assert ([media.key for media in answer.media], answer.total, answer.after) == (found, len(found), None)

    def test_the_media_whose_id_is_searched_comes_first(self, hub):
        self.learnt(hub, {"Été": "Köln", "2026": "zzz", "a 2026": "Catalogue"})
        assert [[media.key for media in find(hub, search, 9).media] for search in ("2026", "Été", " Été ")] == [
            ["2026", "a 2026", "cat-2", "jp"],
            ["Été", "cat-1"],
            ["Été", "cat-1"],
        ]

    @pytest.mark.parametrize("search", ["", "cat", "cat-1", "c"])
    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_pages_follow_one_another(self, hub, search, limit):
        whole = find(hub, search, 100)
        pages = list(_pages(hub, search, limit))
        assert [media.key for page in pages for media in page.media] == [media.key for media in whole.media]
        assert {page.total for page in pages} == {whole.total}

    def test_it_tells_what_the_table_holds(self, hub):
        Media.objects.filter(hub=hub, key="cat-1").update(kind="document", pages=8)
        (found,) = find(hub, "geneve", 9).media
        assert (found.key, found.title, found.kind, found.pages) == ("cat-1", TITLES["cat-1"], "document", 8)

    def test_a_title_that_changed_is_found_by_its_words_alone(self, hub):
        self.learnt(hub, {"cat-1": "Hiver à Lyon"})
        assert [[media.key for media in find(hub, search, 9).media] for search in ("ete", "hiver")] == [[], ["cat-1"]]

    def test_a_search_that_is_too_long_is_refused(self, hub):
        for search in ("x" * 201, " ".join(map(str, range(17)))):
            with pytest.raises(QueryError, match="too long"):
                find(hub, search, 9)


def _pages(hub: Hub, search: str, limit: int) -> Iterable[Found]:
    page = find(hub, search, limit)
    yield page
    while page.after is not None:
        page = find(hub, search, limit, page.after)
        yield page


class TestTheTables(MediaSearchContract):
    """A view store that does not search: the tables are searched."""


class OfElasticsearch(MediaSearchContract):
    """The contract with an index in a real server."""

    @pytest.fixture(autouse=True)
    def index(self, elasticsearch: dict, settings) -> Iterator[ElasticMediaIndex]:
        self.options = elasticsearch
        drop_indexes(elasticsearch["hosts"], elasticsearch["prefix"])
        settings.MEDIA_INDEX = {"BACKEND": ELASTIC_MEDIA_INDEX, "OPTIONS": elasticsearch}
        media_index.cache_clear()
        yield media_index()
        media_index.cache_clear()
        drop_indexes(elasticsearch["hosts"], elasticsearch["prefix"])

    def held(self, hub: Hub) -> int:
        """How many entries searches of a hub may use; 0 where the tables answer."""
        mark = mark_of(media_index(), hub)
        return media_index().find(mark.generation, [], [], "", 1).held if mark else 0


@pytest.mark.services
class TestElasticsearch(OfElasticsearch):
    """The index holds all that was learnt."""

    def learnt(self, hub: Hub, titles: dict[str, str]) -> None:
        super().learnt(hub, titles)
        fill(timezone.now() + OVERLAP)

    def test_it_answers_for_what_it_holds(self, hub):
        Media.objects.filter(hub=hub).update(words="")
        assert [media.key for media in find(hub, "ete", 9).media] == ["cat-1"]

    def test_one_that_lacks_an_entry_is_not_trusted_and_filled_anew(self, hub):
        with Elasticsearch(self.options["hosts"]) as client:
            name, generation = f"{self.options['prefix']}-media", mark_of(media_index(), hub).generation
            client.delete(index=name, id=entry_id(generation, "cat-1"), refresh=True)
        assert ([media.key for media in find(hub, "ete", 9).media], self.held(hub)) == (["cat-1"], 0)
        fill(timezone.now())
        assert (self.held(hub), mark_of(media_index(), hub).generation == generation) == (len(TITLES), False)
        assert media_index().find(generation, [], [], "", 1).held == 0

    def test_one_that_was_lost_is_filled_anew(self, hub):
        drop_indexes(self.options["hosts"], self.options["prefix"])
        assert ([media.key for media in find(hub, "ete", 9).media], self.held(hub)) == (["cat-1"], 0)
        fill(timezone.now())
        assert ([media.key for media in find(hub, "ete", 9).media], self.held(hub)) == (["cat-1"], len(TITLES))

    def test_one_that_was_filled_from_the_tables_before_a_restore_is_filled_anew(self, hub):
        LogBirth.objects.all().delete()
        assert self.held(hub) == 0
        fill(timezone.now())
        assert self.held(hub) == len(TITLES)

    def test_an_entry_of_an_older_title_takes_no_place_of_a_newer(self, hub):
        mark = mark_of(media_index(), hub)
        media_index().put(hub.pk, mark.generation, [Entry("cat-1", " old", AT)])
        media_index().keep(hub.pk, mark)
        assert [find(hub, search, 9).total for search in ("old", "ete")] == [0, 1]


@pytest.mark.services
class TestElasticsearchBehind(OfElasticsearch):
    """The index holds what was learnt at first, and nothing of what was learnt since."""

    def learnt(self, hub: Hub, titles: dict[str, str]) -> None:
        if hub.media.exists():
            super().learnt(hub, titles)
            return
        super().learnt(hub, dict.fromkeys([*list(titles)[:7], "gone"], "été Köln cat"))
        fill(timezone.now() + OVERLAP)
        Media.objects.filter(hub=hub, key="gone").delete()
        super().learnt(hub, titles)

    def test_the_tables_answer_where_it_is_far_behind(self, hub, monkeypatch):
        monkeypatch.setattr("views_layer.media.CHANGED_AT_MOST", 3)
        assert [media.key for media in find(hub, "ete", 9).media] == ["cat-1"]


class TestElasticsearchAway(MediaSearchContract):
    """No server is there: the tables answer, and filling does nothing."""

    @pytest.fixture(autouse=True)
    def away(self, settings) -> Iterator[None]:
        options = {"hosts": [f"http://127.0.0.1:{free_port()}"], "prefix": "away"}
        settings.MEDIA_INDEX = {"BACKEND": ELASTIC_MEDIA_INDEX, "OPTIONS": options}
        media_index.cache_clear()
        yield
        media_index.cache_clear()

    def learnt(self, hub: Hub, titles: dict[str, str]) -> None:
        super().learnt(hub, titles)
        fill(timezone.now())
