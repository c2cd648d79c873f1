"""Logins are throttled on both pages, by user name and network, and nothing kept of it is an address."""

import re

import pytest
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.test.utils import override_settings

from statsproject.login import hashed_address

pytestmark = pytest.mark.django_db(databases="__all__")
PAGES = ("/login", "/admin/login/")
RIGHT, WRONG = "a-good-password", "a-bad-password"


@pytest.fixture
def anna() -> User:
    return User.objects.create_superuser("anna", password=RIGHT)


def log_in(page: str, password: str, name: str = "anna", address: str = "192.0.2.1", **headers: str):
    form = {"username": name, "password": password, "next": "/"}
    return Client(REMOTE_ADDR=address, headers=headers).post(page, form)


@pytest.mark.parametrize("page", PAGES)
def test_it_locks_after_five_failures_and_says_the_way_out(anna: User, page: str) -> None:
    failed = [log_in(page, WRONG).status_code for _ in range(5)]
    answer = log_in(page, RIGHT)
    assert failed == [200, 200, 200, 200, 429]
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert "Wait 15 minutes" in answer.content.decode()
    assert log_in(PAGES[0] if page == PAGES[1] else PAGES[1], RIGHT).status_code == 429


def test_another_user_or_network_is_not_locked(anna: User) -> None:
    User.objects.create_user("bert", password=RIGHT)
    for _ in range(6):
        log_in("/login", WRONG)
    answers = [
        log_in("/login", RIGHT, name="bert").status_code,
        log_in("/login", RIGHT, address="192.0.2.2").status_code,
        log_in("/login", RIGHT).status_code,
    ]
    assert answers == [302, 302, 429]


def test_a_success_forgets_the_failures_before_it(anna: User) -> None:
    for _ in range(4):
        log_in("/login", WRONG)
    assert log_in("/login", RIGHT).status_code == 302
    assert [log_in("/login", WRONG).status_code for _ in range(4)] == [200] * 4


def test_the_lock_ends_by_itself(anna: User) -> None:
    for _ in range(5):
        log_in("/login", WRONG)
    attempt = AccessAttempt.objects.get()
    AccessAttempt.objects.update(attempt_time=attempt.attempt_time - settings.AXES_COOLOFF_TIME)
    assert log_in("/login", RIGHT).status_code == 302
    assert AccessAttempt.objects.count() == 0


def test_staff_unlocks_by_deleting_the_attempts(anna: User) -> None:
    for _ in range(5):
        log_in("/login", WRONG)
    staff = Client()
    staff.force_login(anna)
    chosen = [row.pk for row in AccessAttempt.objects.all()]
    form = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    assert staff.get("/admin/axes/accessattempt/").status_code == 200
    assert staff.post("/admin/axes/accessattempt/", form).status_code == 302
    assert log_in("/login", RIGHT).status_code == 302


def test_it_takes_the_address_that_the_outermost_trusted_proxy_saw(anna: User) -> None:
    """Else whoever sends a header of his own is never locked, or locks out another."""
    with override_settings(TRUSTED_PROXIES=1):
        failed = [
            log_in("/login", WRONG, **{"X-Forwarded-For": f"10.0.0.{number}, 203.0.113.7"}) for number in range(5)
        ]
        assert failed[-1].status_code == 429
        assert log_in("/login", RIGHT, **{"X-Forwarded-For": "203.0.113.8"}).status_code == 302


def test_it_keeps_no_address_and_no_password(anna: User) -> None:
    with override_settings(TRUSTED_PROXIES=1):
        log_in("/login", WRONG, **{"X-Forwarded-For": "203.0.113.7", "User-Agent": "Firefox"})
        log_in("/login", RIGHT, **{"X-Forwarded-For": "203.0.113.7"})
        log_in("/login", WRONG, **{"X-Forwarded-For": "203.0.113.7"})
    (kept,) = AccessAttempt.objects.values()
    assert AccessLog.objects.count() == 0
    assert not re.search(f"203.0.113.7|{WRONG}", repr(kept))


def test_the_hash_is_keyed_and_of_the_network() -> None:
    def of(address: str) -> str:
        return hashed_address(RequestFactory().get("/login", REMOTE_ADDR=address))

    assert of("2001:db8::1") == of("2001:db8::2")
    assert len({of("192.0.2.1"), of("192.0.2.2"), of("2001:db8:0:1::1"), of("2001:db8::1"), of("")}) == 5
    before = of("192.0.2.1")
    with override_settings(SECRET_KEY="another"):
        assert of("192.0.2.1") != before
