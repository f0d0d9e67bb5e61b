# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/metrics, /healthz and /status over HTTP, in a few threads of their own: nobody who asks can hold the loop."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Ask = Callable[[], Mapping[str, Any] | None]  # the status, or None when the loop does not answer in time

CONNECTIONS = 32  # of other hosts that are served at a time
WHOLE_SECONDS = 20.0  # for a request and its answer
_JSON = "application/json; charset=utf-8"
_SILENT = {"healthy": False, "reasons": ["The monitor's loop does not answer."]}


class Server:
    """Serves until ``stop``. OSError from the constructor when the address is taken or not this host's."""

    def __init__(self, host: str, port: int, ask: Ask, registry: CollectorRegistry) -> None:
        class Handler(_Handler):
            pass

        Handler.ask = staticmethod(ask)
        Handler.registry = registry
        self._server = _HttpServer((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    def start(self) -> None:
        """Begin serving."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more than there may be at a time is not answered."""
        if _counts(client_address) and not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            if _counts(client_address):
                self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            if _counts(client_address):
                self._free.release()

    def server_bind(self) -> None:
        # The standard one looks its own name up in DNS, which may be down exactly when the monitor has to start.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a monitor that was killed starts at once
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


def _counts(client_address: Any) -> bool:
    """Whether it is one of those who may be served at a time: this host's own `vpnha` always gets its answer."""
    return not ipaddress.ip_address(client_address[0]).is_loopback


class _Handler(BaseHTTPRequestHandler):
    ask: Ask
    registry: CollectorRegistry
    timeout = 5.0  # s for a client that connects and says nothing
    server_version = "vpnha"
    sys_version = ""

    def setup(self) -> None:
        """``timeout`` begins anew with each byte: whoever sends one now and then has an end, too."""
        super().setup()
        self._end = threading.Timer(WHOLE_SECONDS, self._hang_up)
        self._end.daemon = True
        self._end.start()

    def finish(self) -> None:
        """Answered, or given up."""
        self._end.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """The three pages."""
        path = self.path.split("?", 1)[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.registry))
        elif path == "/healthz":
            status = self.ask()
            health = _SILENT if status is None else {key: status[key] for key in ("healthy", "reasons", "sentence")}
            self._json(200 if health["healthy"] else 503, health)
        elif path == "/status":
            status = self.ask()
            self._json(503, _SILENT) if status is None else self._json(200, status)
        else:
            self._json(404, {"error": "There are /metrics, /healthz and /status."})

    def _json(self, code: int, value: Mapping[str, Any]) -> None:
        self._answer(code, _JSON, json.dumps(value, default=str).encode())

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: a scrape every few seconds says nothing."""
