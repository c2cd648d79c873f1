"""The servers of `make test-services`: started once they answer."""

import json
from collections.abc import Sequence

from tests.services.server import Server


class Starting(Server):
    """A server whose page is empty, then tells that it is not ready, then that it is."""

    name = "starting"
    url = ""

    def prepare(self) -> str:
        self.pages = ["", "false", "true"]
        return "a process that sleeps"

    def command(self) -> Sequence[str]:
        return ["sleep", "60"]

    def answers(self) -> bool:
        return json.loads(self.pages.pop(0))


def test_a_server_whose_page_is_not_whole_yet_is_waited_for() -> None:
    with Starting() as server:
        assert (server.version, server.pages) == ("a process that sleeps", [])
