"""Settings read from the environment. A value that cannot be used is an error at start."""

import contextlib
import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def env_bool(name: str, default: bool) -> bool:
    """The boolean of `name`: 1, true, yes, on or 0, false, no, off.

    Raises ImproperlyConfigured for anything else.
    """
    text = os.environ.get(name)
    if text is None or text == "":
        return default
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={text!r} is not a boolean; use 1 or 0.")


def env_int(name: str, default: int, at_least: int = 0) -> int:
    """The whole number of `name`, not below `at_least`. Raises ImproperlyConfigured."""
    text = os.environ.get(name)
    if text is None or text == "":
        return default
    try:
        value = int(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={text!r} is not a whole number.") from None
    if value < at_least:
        raise ImproperlyConfigured(f"{name}={value} is too small; use {at_least} or more.")
    return value


def env_choice(name: str, choices: tuple[str, ...]) -> str:
    """The value of `name`, one of `choices`; by default the first. Raises ImproperlyConfigured."""
    text = os.environ.get(name) or choices[0]
    if text not in choices:
        raise ImproperlyConfigured(f"{name}={text!r} is not one of {', '.join(choices)}.")
    return text


def env_directory(name: str, default: Path) -> Path:
    """The directory of `name`. Raises ImproperlyConfigured for a URL."""
    text = os.environ.get(name, "")
    if "://" in text:
        scheme = text.partition(":")[0]
        raise ImproperlyConfigured(
            f"{name} names a place by {scheme}://, and object stores are not supported yet; name a directory, which may lie"
            " on a volume that several machines share."
        )
    return Path(text or default).resolve()


def env_list(name: str) -> list[str]:
    """The words of `name` between commas; none by default."""
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def env_web_address(name: str) -> str:
    """The http or https address of `name`, or nothing. Raises ImproperlyConfigured, without repeating its secrets."""
    address = os.environ.get(name, "")
    if address and (urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname):
        raise ImproperlyConfigured(f"{name} is not an address that begins with http:// or https://.")
    return address


MAIL_SCHEMES = {"smtp": 25, "smtp+tls": 587, "smtps": 465}


def env_mail(name: str) -> dict[str, Any]:
    """Django's settings of outgoing mail from smtp://, smtp+tls:// (STARTTLS) or smtps://USER:PASSWORD@HOST:PORT.

    Without it mail goes nowhere. Raises ImproperlyConfigured, without repeating the password.
    """
    url = urlsplit(os.environ.get(name, ""))
    if not url.geturl():
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    if url.scheme not in MAIL_SCHEMES or not url.hostname:
        raise ImproperlyConfigured(f"{name} is not like smtp+tls://USER:PASSWORD@HOST:587; or use smtp:// or smtps://.")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": url.hostname,
        "EMAIL_PORT": url.port or MAIL_SCHEMES[url.scheme],
        "EMAIL_HOST_USER": unquote(url.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(url.password or ""),
        "EMAIL_USE_TLS": url.scheme == "smtp+tls",
        "EMAIL_USE_SSL": url.scheme == "smtps",
        "EMAIL_TIMEOUT": 5,
    }


def secret_of(data_dir: Path, name: str) -> str:
    """The secret `name`: from the environment, else from DATA_DIR (made at first start, mode 600).

    Every process of a first start gets the same one: the file is there whole or not at all. Raises
    ImproperlyConfigured where it is empty, as after a restore that failed.
    """
    if value := os.environ.get(name):
        return value
    path = data_dir / "secrets" / name.lower()
    if not path.exists():
        _make_secret(path)
    value = path.read_text().strip()
    if not value:
        raise ImproperlyConfigured(f"{path} is empty; restore it from a backup, or remove it for a new {name}.")
    return value


def _make_secret(path: Path) -> None:
    """Write a new secret, unless another process is first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()


def readable_by_others(data_dir: Path) -> list[Path]:
    """The secrets of DATA_DIR that others than their owner may read or write, by name."""
    return sorted(path for path in (data_dir / "secrets").glob("*") if path.stat().st_mode & 0o077)


LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes (macOS: 103), the last one a zero


def socket_of(data_dir: Path, name: str) -> Path:
    """The path of the unix socket `name` of DATA_DIR, the same for every process that shares DATA_DIR.

    Where DATA_DIR is too long a path for a socket, it lies in a directory of /tmp named after user and DATA_DIR.
    """
    path = data_dir / name / f"{name}.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path("/tmp") / f"affluence-{os.getuid()}-{digest}" / f"{name}.sock"  # noqa: S108 (see private_directory)


def private_directory(path: Path) -> None:
    """Make the directory `path` (mode 700). Raises ImproperlyConfigured where it is a link or another user's."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.lstat()
    if not path.is_dir() or path.is_symlink() or found.st_uid != os.getuid():
        raise ImproperlyConfigured(f"{path} is not a directory of this user; remove it, or use a shorter DATA_DIR.")
    path.chmod(0o700)
