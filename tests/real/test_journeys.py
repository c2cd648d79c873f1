"""The next step of real readers: by how much the prediction beats popularity, and one step back without back-off."""

import json

import pytest
from django.utils import timezone

from events.models import Hub
from speed import consumer
from tests.real.folder import needs
from views_layer.journeys import evaluation

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True, databases="__all__")]


@pytest.mark.parametrize(
    ("part", "gain"),
    [
        pytest.param("deskdrop", 0.1, marks=needs("deskdrop")),
        pytest.param("apache", 0.4, marks=needs("apache")),
    ],
)
def test_the_prediction_beats_popularity_and_one_step_back(import_part, redis_url: str, part: str, gain: float) -> None:
    """`gain` is less than what was measured, docs/decisions/journeys.md."""
    import_part(part)
    consumer.apply_new()
    found = evaluation(Hub.objects.get(slug=part), timezone.now())
    print(json.dumps(found, indent=2))
    better = found["better_than"]
    assert found["refused"] is None
    assert better["popularity"]["log_loss"] > gain
    assert better["popularity"]["top3"] > 0
    assert better["popularity"]["top1"] > 0
    assert better["one_step"]["log_loss"] > 1
    assert found["model"]["calibration_error"] < 0.12
