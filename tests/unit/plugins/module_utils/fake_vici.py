# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that speaks VICI, for tests: one handler per connection says how well."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vici.protocol import Message, Packet

Handler = Callable[[socket.socket], None]


def frame(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("!IB", len(body) + 1, kind) + body


def request(conn: socket.socket) -> str:
    """The name of the next request; empty at the end."""
    head = conn.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return ""
    data = conn.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL)
    return data[2 : 2 + data[1]].decode()


def answer(conn: socket.socket, **values: str) -> None:
    conn.sendall(frame(Packet.CMD_RESPONSE, Message.serialize(values)))


def serve_version(conn: socket.socket) -> None:
    while request(conn) == "version":
        answer(conn, version="6.0.1")


def serve_nothing(conn: socket.socket) -> None:
    while request(conn):
        pass


def serve_loading(conn: socket.socket) -> None:
    """Takes every connection and key, and has none to begin with."""
    while name := request(conn):
        if name == "version":
            answer(conn, version="6.0.1")
        elif name == "list-sa":  # the event is registered, or is so no more
            conn.sendall(frame(Packet.EVENT_CONFIRM))
        elif name in ("get-conns", "get-shared", "list-sas"):
            answer(conn)
        else:
            answer(conn, success="yes")


def drip(conn: socket.socket) -> None:
    """Promises a long answer and never ends it."""
    request(conn)
    conn.sendall(struct.pack("!IB", 1 << 20, 1))
    serve_nothing(conn)


def babble(conn: socket.socket) -> None:
    request(conn)
    conn.sendall(frame(Packet.CMD_RESPONSE, b"\xff\xff\xff"))


def hang_up(conn: socket.socket) -> None:
    request(conn)


def refuse(conn: socket.socket) -> None:
    while name := request(conn):
        if name == "control-log":
            conn.sendall(frame(Packet.EVENT_CONFIRM))
        else:
            answer(conn, success="no", errmsg="CHILD_SA config 'x' not found")


def serve_sas(messages: Sequence[Mapping[str, Any]]) -> Handler:
    """A healthy daemon with these security associations."""

    def handler(conn: socket.socket) -> None:
        event = b"list-sa"
        while name := request(conn):
            if name == "version":
                answer(conn, version="6.0.1")
            elif name == "list-sa":  # the event is registered, or is so no more
                conn.sendall(frame(Packet.EVENT_CONFIRM))
            else:
                for message in messages:
                    body = struct.pack("!B", len(event)) + event + Message.serialize(message)
                    conn.sendall(frame(Packet.EVENT, body))
                answer(conn)

    return handler


@contextmanager
def served(path: Path, *handlers: Handler) -> Iterator[str]:
    """Serve one handler per connection, in their order, the last one again and again; the socket's path."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def handle(conn: socket.socket, handler: Handler) -> None:
        with conn:
            try:
                handler(conn)
            except OSError:
                return

    def loop() -> None:
        for number in range(100):
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            handler = handlers[min(number, len(handlers) - 1)]
            threading.Thread(target=handle, args=(conn, handler), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    try:
        yield str(path)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
