"""The collected static files: made again only where their sources differ."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def _digest_of_sources() -> str:
    """A digest of path, size and time of every source, and of the storage that collects them."""
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static_files() -> bool:
    """Collect static files where they differ from the last time; returns whether they did."""
    done, digest = Path(settings.STATIC_ROOT) / ".digest", _digest_of_sources()
    if done.exists() and done.read_text() == digest:
        return False
    call_command("collectstatic", interactive=False, verbosity=0)
    done.write_text(digest)
    return True
