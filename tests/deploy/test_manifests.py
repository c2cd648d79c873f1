"""What deploy/ says: valid manifests, pinned images, settings and commands that exist."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.core.management import get_commands

from statsproject import pulse

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = [
    document
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
OLDEST = "1.29"


def pods() -> list[dict[str, Any]]:
    """The pods of all manifests."""
    found = []
    for manifest in MANIFESTS:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found.append(spec["template"]["spec"])
    return found


def containers() -> list[dict[str, Any]]:
    return [container for pod in pods() for container in [*pod.get("initContainers", []), *pod["containers"]]]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda found: f"{found['kind']}-{found['metadata']['name']}")
def test_a_manifest_is_valid(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_every_command_exists() -> None:
    said = [container["args"] for container in containers()]
    said += [service["command"] for service in COMPOSE["services"].values() if "build" in service]
    said += [
        service["healthcheck"]["test"][3:] for service in COMPOSE["services"].values() if "manage.py" in repr(service)
    ]
    unknown = [words for words in said if words[0] not in get_commands()]
    parts = {words[1] for words in said if words[0] == "part"}
    assert (unknown, parts) == ([], set(pulse.PARTS))


def test_every_setting_is_read() -> None:
    names = {name for manifest in MANIFESTS if manifest["kind"] == "ConfigMap" for name in manifest["data"]}
    names |= set(COMPOSE["x-affluence"]["environment"])
    source = "".join(path.read_text() for path in (ROOT / "statsproject").glob("*.py"))
    assert {name for name in names if f'"{name}"' not in source} == set()


def test_every_image_is_pinned_and_nothing_secret_is_written_down() -> None:
    images = [container["image"] for container in containers()]
    images += [service["image"] for service in COMPOSE["services"].values()]
    loose = [image for image in images if not re.search(r":\d+\.\d+", image)]
    written = [line for line in json.dumps([MANIFESTS, COMPOSE]).split('"') if re.search(r"://[^:/$]+:[^@$]+@", line)]
    assert (loose, written) == ([], [])


def test_nobody_is_root_and_no_file_system_is_written() -> None:
    wrong = [pod for pod in pods() if not pod["securityContext"]["runAsNonRoot"]]
    writing = [found["name"] for found in containers() if not found["securityContext"]["readOnlyRootFilesystem"]]
    assert (wrong, writing, "USER 10001" in (ROOT / "deploy" / "Dockerfile").read_text()) == ([], [], True)


def test_there_is_one_beat_and_never_two_at_once() -> None:
    (beat,) = (found for found in MANIFESTS if found["kind"] == "Deployment" and found["metadata"]["name"] == "beat")
    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_every_service_of_compose_is_looked_after() -> None:
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"prepare"}
