"""Settings that follow from others, read by a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW = "from statsproject import settings; print(settings.SECURE_PROXY_SSL_HEADER)"


@pytest.mark.parametrize(
    ("https", "proxies", "header"),
    [
        ("1", "1", "('HTTP_X_FORWARDED_PROTO', 'https')"),
        ("1", "0", "('HTTP_X_FORWARDED_PROTO', 'https')"),
        ("0", "1", "None"),
    ],
)
def test_a_proxy_is_believed_about_tls_with_https(tmp_path, https, proxies, header):
    environ = os.environ | {"DATA_DIR": str(tmp_path), "HTTPS": https, "TRUSTED_PROXIES": proxies}
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == header
