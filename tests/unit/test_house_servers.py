"""Whether the servers in use serve; here: those that are not there, or say nothing."""

import threading

import pytest
from django.test import Client

from statsproject import servers
from statsproject.servers import Away, Server


@pytest.fixture
def using(monkeypatch):
    """Lets this installation use a server whose trouble is told by a function."""

    def use(trouble) -> None:
        monkeypatch.setattr(servers, "used", lambda: [Server("view_store", "VIEW_STORE_URL", trouble)])

    return use


def test_embedded_parts_are_no_servers():
    assert servers.troubles() == {}


def test_a_server_that_serves_is_waited_for(using):
    said = iter(["It starts.", "It starts.", None])
    using(lambda: next(said))
    servers.wait(30)
    assert list(said) == []


def test_a_server_that_does_not_serve_is_named_with_the_way_out(using):
    using(lambda: "It is away.")
    with pytest.raises(Away, match=r"^VIEW_STORE_URL: It is away\. Start the server, or mend the variable"):
        servers.wait(0)


def test_a_server_that_says_nothing_is_not_waited_for(using, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(servers, "ANSWER_WITHIN_S", 0.05)
    using(lambda: over.wait(10) and None)
    assert servers.troubles() == {"view_store": "VIEW_STORE_URL: no answer within 0.05 s."}
    over.set()


def test_health_names_the_servers(using, redis_url):
    using(lambda: "It is away.")
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()["parts"]["view_store"]) == (503, False)
