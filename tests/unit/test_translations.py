"""Every text of the pages has a translation, and what is compiled is what is written."""

import re

import pytest
from django.conf import settings

from tests import messages

LANGUAGES = [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
PLACES = re.compile(r"%\(\w+\)s")


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_translates_every_text(language: str) -> None:
    translated = {message.id for message in messages.read(language) if message.id and all(message.string)}
    assert {message.id for message in messages.texts() if message.id} == translated, "run make messages"


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_keeps_the_places_of_a_text(language: str) -> None:
    changed = {}
    for message in messages.read(language):
        texts = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        if any(set(PLACES.findall(one)) != set(PLACES.findall(texts[-1])) for one in strings):
            changed[message.id] = message.string
    assert changed == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_compiles_what_is_written(language: str) -> None:
    written = messages.compiled(messages.read(language))
    assert messages.path_of(language).with_suffix(".mo").read_bytes() == written, "run make messages"
