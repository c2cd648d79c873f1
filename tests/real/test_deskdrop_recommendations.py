"""Recommendations reach the published figures and more, through the command, on a hub whose log holds deskdrop.

Day ahead one candidate alone: all of them take minutes, and docs/decisions/recommendations.md has their figures.
"""

import io
import json
from functools import partial

import pytest
from django.core.management import call_command

from insights.recommendations.evaluation import evaluate
from speed import consumer
from tests.real.folder import needs

pytestmark = [
    needs("deskdrop"),
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True, databases="__all__"),
]
POPULARITY_PUBLISHED, SVD_PUBLISHED = 0.3725, 0.4681


def test_both_protocols_of_the_comparison(import_part, redis_url: str, monkeypatch) -> None:
    monkeypatch.setattr("views_layer.recommendations.evaluate", partial(evaluate, names=("neighbours",)))
    import_part("deskdrop")
    consumer.apply_new()
    printed = io.StringIO()
    call_command("evaluate", "recommendations", "deskdrop", stdout=printed)
    scores = json.loads(printed.getvalue())
    published, ahead = scores["published"], scores["day_ahead"]

    assert (published["persons"], published["tested"]) == (1140, pytest.approx(7_820, abs=40))
    assert published["candidates"]["popularity"]["recall@10"] == pytest.approx(POPULARITY_PUBLISHED, abs=0.02)
    assert published["candidates"]["blend"]["recall@10"] >= 0.60 > SVD_PUBLISHED
    assert (ahead["days"], ahead["candidates"]["popularity"]["ndcg@10"]) == (141, pytest.approx(0.014, abs=0.002))
    assert ahead["candidates"]["newest"]["ndcg@10"] == pytest.approx(0.40, abs=0.01)
    assert ahead["candidates"][ahead["best"]]["ndcg@10"] >= 0.52
