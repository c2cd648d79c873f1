"""Every operation of the schema, asked with what Hypothesis makes of it: no fault, and only the answers that it names."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import schemathesis
from django.core import management
from django.core.wsgi import get_wsgi_application
from django.utils import timezone
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from events.catalogue import forget
from events.collector import Collector
from events.models import ApiKey, Hub
from events.throttle import Throttle
from speed.consumer import apply_new
from tests.caches import renew
from tests.security import hostile

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.usefixtures("redis_url"),
    pytest.mark.slow,
]

# That a value of the right type can be a wrong one (a media of no hub, a date of no calendar) is no fault.
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SCOPES = (ApiKey.READ, ApiKey.READ, ApiKey.READ, ApiKey.INGEST, "unknown", None)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The keys of a hub with events before and after the cut."""
    renew(monkeypatch)
    forget()
    hub = Hub.objects.create(slug="acme", timezone="Europe/Paris")
    for age in (timedelta(hours=30), timedelta(minutes=30)):
        file = tmp_path / "events.jsonl"
        events = hostile.events("acme", timezone.now() - age)
        file.write_text("".join(json.dumps(event | {"id": f"{age}{event['id']}"}) + "\n" for event in events))
        management.call_command("import_events", str(file))
        if age > timedelta(hours=1):
            management.call_command("run_batch")
    apply_new()
    return {scope: ApiKey.issue(hub, scope) for scope in (ApiKey.INGEST, ApiKey.READ)}


def test_every_operation_answers_what_the_schema_says(keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("views_layer.api.access._failures", Throttle(1_000_000, 1_000_000))
    described = schemathesis.openapi.from_wsgi("/api/schema", Collector(get_wsgi_application()))
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 5
    for operation in operations:
        _ask(operation, keys)


def _ask(operation: schemathesis.APIOperation, keys: dict[str, str]) -> None:
    @given(case=operation.as_strategy(), is_known=strategies.booleans(), scope=strategies.sampled_from(SCOPES))
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: schemathesis.Case, is_known: bool, scope: str | None) -> None:
        """Half of the paths name the hub, else nearly every answer were a 404."""
        if "hub" in case.path_parameters and is_known:
            case.path_parameters["hub"] = "acme"
        # It calls the application without a client that would decompress.
        headers = {"Accept-Encoding": "identity"} | (
            {"Authorization": f"Bearer {keys.get(scope, scope)}"} if scope else {}
        )
        case.call_and_validate(headers=headers, checks=CHECKS)

    ask()
