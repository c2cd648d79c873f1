"""TLS and a password in front of a server that has neither."""

import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REFUSED = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}"
)


@dataclass(frozen=True)
class Front:
    """Where it listens, and the certificate that clients must trust."""

    port: int
    certificate: Path


@contextmanager
def in_front_of(port: int, user: str, password: str, directory: Path) -> Iterator[Front]:
    """Ends TLS on a port of its own, and lets requests through that show the password, as HTTP asks for it."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    made = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-keyout",
        key,
        "-out",
        certificate,
    )
    subprocess.run([*map(str, made), *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    wanted = b"authorization: basic " + b64encode(f"{user}:{password}".encode())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context, port, wanted), daemon=True).start()
        yield Front(listening.getsockname()[1], certificate)
        listening.shutdown(socket.SHUT_RDWR)


def _serve(listening: socket.socket, context: ssl.SSLContext, port: int, wanted: bytes) -> None:
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            threading.Thread(target=_handle, args=(client, context, port, wanted), daemon=True).start()


def _handle(client: socket.socket, context: ssl.SSLContext, port: int, wanted: bytes) -> None:
    with suppress(OSError), context.wrap_socket(client, server_side=True) as ours:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (read := ours.recv(65_536)):
                return
            head += read
        lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if not any(line[:21].lower() + line[21:] == wanted for line in lines):
            ours.sendall(REFUSED)
            return
        with socket.create_connection(("127.0.0.1", port)) as theirs:
            theirs.sendall(head)
            threading.Thread(target=_pipe, args=(theirs, ours), daemon=True).start()
            _pipe(ours, theirs)


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while read := source.recv(65_536):
            target.sendall(read)
