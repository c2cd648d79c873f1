"""The headers of answers, and what HTTPS=1 adds."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from events.models import Hub

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("redis_url")]
ROOT = Path(__file__).resolve().parents[2]
STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
ADMIN = STRICT | {
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
}


@pytest.fixture
def root() -> Client:
    Hub.objects.create(slug="acme")
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root"))
    return client


def policy(answer) -> dict[str, str]:
    parts = [part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";")]
    return {name: sources for name, _, sources in parts}


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/hubs/acme/consultation", "/hubs/none/", "/logout", "/healthz", "/api/metrics", "/api/hubs/acme/stats"),
        *("/embed/recommendations?hub=acme", "/embed/recommendations"),
    ],
)
def test_nothing_but_files_of_this_site_runs_in_a_page(root: Client, path: str) -> None:
    answer = root.get(path)
    assert policy(answer) == STRICT
    assert [answer[name] for name in ("X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy")] == [
        "DENY",
        "nosniff",
        "same-origin",
    ]
    assert answer["Cross-Origin-Opener-Policy"] == answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/nowhere/"])
def test_the_admin_may_evaluate_what_alpine_reads_and_run_no_inline_script(root: Client, path: str) -> None:
    assert policy(root.get(path)) == ADMIN


def test_static_files_have_the_headers_too(tmp_path: Path) -> None:
    with override_settings(STATIC_ROOT=tmp_path, WHITENOISE_USE_FINDERS=True, WHITENOISE_AUTOREFRESH=True):
        answer = Client().get("/static/affluence.svg")
    assert (answer.status_code, policy(answer)) == (200, STRICT)


def test_answers_are_compressed_for_whoever_asks_and_their_length_tells_nothing(root: Client) -> None:
    lengths = {len(root.get("/hubs/acme/notes", headers={"Accept-Encoding": "gzip"}).content) for _ in range(8)}
    answer = root.get("/hubs/acme/notes", headers={"Accept-Encoding": "gzip"})
    assert (answer["Content-Encoding"], "Accept-Encoding" in answer["Vary"], len(lengths) > 1) == ("gzip", True, True)
    assert b"</html>" in gzip.decompress(answer.content)
    for refused in ({}, {"Accept-Encoding": "gzip;q=0, br"}):
        assert "Content-Encoding" not in root.get("/hubs/acme/notes", headers=refused)


@pytest.mark.parametrize("path", ["/tracker.js", "/embed/recommendations.js"])
def test_scripts_for_other_sites_may_be_loaded_there(client: Client, path: str) -> None:
    assert client.get(path)["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_a_form_without_its_token_is_refused_in_words(root: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    answers = [strict.post(path, {"username": "x", "password": "y"}) for path in ("/login", "/logout", "/admin/login/")]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert "The form was not sent" in answers[0].content.decode()


def test_scripts_read_no_cookie() -> None:
    client = Client()
    User.objects.create_user("anna", password="a-good-password")
    client.post("/login", {"username": "anna", "password": "a-good-password"})
    cookies = {name: (bool(cookie["httponly"]), cookie["samesite"]) for name, cookie in client.cookies.items()}
    assert cookies == {"sessionid": (True, "Lax"), "csrftoken": (True, "Lax")}


def run(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "DATA_DIR": str(data_dir), **environment}
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)  # browser tests of this process set it for their own sake
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_checks_of_a_deployment_warn_of_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", HTTPS="1")
    assert done.stderr + done.stdout == "System check identified no issues (0 silenced).\n"


def test_over_https_cookies_are_secure_and_a_proxy_that_ends_tls_is_believed(tmp_path: Path) -> None:
    program = """if True:
        import django; django.setup()
        from django.conf import settings
        settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        from django.test import Client
        client = Client()
        plain, secure = client.get("/login", headers={"host": "localhost"}), client.get(
            "/login", headers={"host": "localhost", "x-forwarded-proto": "https"})
        print(plain.status_code, plain["Location"], secure.status_code, secure["Strict-Transport-Security"],
            secure.cookies["csrftoken"]["secure"])
        """
    done = run(tmp_path, "-c", program, HTTPS="1")
    expected = "301 https://localhost/login 200 max-age=31536000; includeSubDomains; preload True\n"
    assert done.stdout == expected, done.stderr


def test_passwords_are_hashed_slowly_and_are_not_short() -> None:
    user = User.objects.create_user("anna", password="a-good-password")
    assert user.password.startswith("argon2$argon2id$")
    assert settings.AUTH_PASSWORD_VALIDATORS[0]["OPTIONS"] == {"min_length": 10}
