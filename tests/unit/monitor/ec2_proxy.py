# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy before moto that delays or refuses AWS's actions, and counts them."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.api.limits import Buckets

_ERROR = (
    '<?xml version="1.0"?><Response><Errors><Error><Code>{code}</Code><Message>as the test wants</Message></Error>'
    "</Errors><RequestID>1</RequestID></Response>"
)


class Ec2Proxy:
    """Serves on ``host``:``port`` for moto on ``moto_port``."""

    def __init__(self, port: int, moto_port: int, host: str = "127.0.0.1") -> None:
        self.delays: dict[str, float] = {}  # action -> seconds before it is carried out
        self.errors: dict[str, str] = {}  # action -> code; "*" stands for all
        self.most: dict[str, int] = {}  # action -> how many are carried out; the rest are refused
        self.answers_late: dict[str, float] = {}  # action -> seconds after it was carried out
        self.buckets: Buckets | None = None  # of EC2; none: nothing is refused for its limit
        self.refused: Counter[str] = Counter()  # for that limit
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target = self.headers.get("X-Amz-Target", "")  # DynamoDB's way to name it
                action = target.rpartition(".")[2] or urllib.parse.parse_qs(body.decode())["Action"][0]
                proxy.begun[action] += 1
                time.sleep(proxy.delays.get(action, 0.0))
                code = proxy._refusal(action)
                kind = self.headers.get("Content-Type", "")
                if code and target:
                    status, answer = 503, json.dumps({"__type": code, "message": "as wanted"}).encode()
                elif code:
                    status, answer = 503, _ERROR.format(code=code).encode()
                else:
                    upstream = http.client.HTTPConnection("127.0.0.1", moto_port)
                    upstream.request("POST", self.path, body, dict(self.headers))
                    reply = upstream.getresponse()
                    status, answer = reply.status, reply.read()
                    upstream.close()
                proxy.ended[action] += 1
                time.sleep(proxy.answers_late.get(action, 0.0))
                with contextlib.suppress(OSError):  # whoever asked may have been killed meanwhile
                    self.send_response(status)
                    self.send_header("Content-Type", kind if target else "text/xml")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server((host, port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _refusal(self, action: str) -> str:
        """The code with which a call is refused; empty if it is not."""
        if self.buckets is not None and not self.buckets.take(action, True):
            with self._lock:
                self.refused[action] += 1
            return "RequestLimitExceeded"
        if action in self.most:
            with self._lock:
                self.most[action] -= 1
                return "ServiceUnavailable" if self.most[action] < 0 else ""
        return self.errors.get(action, self.errors.get("*", ""))

    def empty(self, action: str) -> None:
        """Somebody uses up all calls of an action that EC2 has left."""
        assert self.buckets is not None
        while self.buckets.take(action, True):
            pass

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
