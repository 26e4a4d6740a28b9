"""The server of `spinode view`: standard library, this machine only, and a token in the address.

Other programs and users of the machine, and pages of other sites in the same browser, do not know the token; the name of the
host is checked as well, so that a site cannot reach the server under a name of its own. The page may load nothing.
"""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...errors import ConfigError, SpinodeError
from .session import Session

#: Largest request [B]: 2000 samples of some tens of drives.
MAX_REQUEST = 4_000_000
HOST = "127.0.0.1"


class ViewServer(ThreadingHTTPServer):
    """A server of one page, `address`.

    Args:
        session: What is shown.
        port: Port; any free one if 0.

    Raises:
        ConfigError: the port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"cannot listen on port {port} ({error}); leave --port out for a free one.") from None
        self.session = session
        self.token = secrets.token_urlsafe(24)
        self.lock = Lock()  # one run at a time: a model keeps its resting states

    @property
    def address(self) -> str:
        """Address of the page, with its token."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    server_version, sys_version = "spinode", ""
    timeout = 30

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if urlsplit(self.path).path != "/":
            self._send(HTTPStatus.NOT_FOUND, b"not found", "text/plain")
            return
        nonce = secrets.token_urlsafe(16)
        with self.server.lock:
            data = json.dumps(self.server.session.content(), allow_nan=False)
        html = (Path(__file__).with_name("page.html")).read_text("utf-8")
        html = html.replace("NONCE", nonce).replace('"CONTENT"', data.replace("<", "\\u003c"))
        self._send(HTTPStatus.OK, html.encode(), "text/html; charset=utf-8", nonce)

    def do_POST(self) -> None:
        if not self._allowed():
            return
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if urlsplit(self.path).path != "/respond" or not 0 <= length <= MAX_REQUEST:
            self._send(HTTPStatus.BAD_REQUEST, b"bad request", "text/plain")
            return
        try:
            drive = json.loads(self.rfile.read(length))
            with self.server.lock:
                answer = self.server.session.respond(drive)
            self._send(HTTPStatus.OK, json.dumps(answer, allow_nan=False).encode(), "application/json")
        except (SpinodeError, ValueError, RecursionError) as error:
            self._send(HTTPStatus.BAD_REQUEST, json.dumps({"error": str(error)}).encode(), "application/json")

    def _allowed(self) -> bool:
        """Check token and host; answer and return False if one is wrong."""
        given = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        hosts = (f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}")
        if secrets.compare_digest(given.encode(), self.server.token.encode()) and self.headers.get("Host") in hosts:
            return True
        self._send(HTTPStatus.FORBIDDEN, b"Open the address that spinode view has printed.", "text/plain")
        return False

    def _send(self, status: HTTPStatus, body: bytes, kind: str, nonce: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        own = f" script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:;" if nonce else ""
        self.send_header("Content-Security-Policy", f"default-src 'none'; frame-ancestors 'none';{own}")
        for name, value in (
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Stay silent: requests contain the token."""
