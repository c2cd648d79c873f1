"""`manage.py part`: one part alone, and whether it is alive."""

import os

import pytest
import redis
from django.core.management import CommandError, call_command

from statsproject import pulse
from statsproject.processes import serving_parts


@pytest.mark.parametrize("name", pulse.PARTS)
def test_it_becomes_the_part(monkeypatch, name: str) -> None:
    became: list[tuple] = []
    monkeypatch.setattr(os, "execvp", lambda *words: became.append(words))
    call_command("part", name)
    (command,) = (part.command for part in serving_parts() if part.name == name)
    assert became == [(command[0], command)]


def test_it_tells_whether_the_part_is_alive(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        pulse.beat_once("beat", client)
    call_command("part", "beat", "--alive")
    with pytest.raises(CommandError, match=r"No pulse of worker-speed is felt\."):
        call_command("part", "worker-speed", "--alive")
