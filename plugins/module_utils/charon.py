# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to charon over VICI so that no call can last longer than its deadline, whatever charon does."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .errors import VpnhaError
from .vici_health import IkeSa, parse_sas

SOCKET = "/run/charon.vici"
ALIVE_SECONDS = 0.3  # an answer to "version" within this is life
COMMAND_SECONDS = 2.0
EVENTS = ("ike-updown", "child-updown", "ike-rekey", "child-rekey")

_T = TypeVar("_T")


class CharonError(VpnhaError):
    """charon did not answer; ``state`` is "dead", "hung" or, where it cannot even be asked, "unreachable"."""

    def __init__(self, state: str, message: str) -> None:
        self.state = state
        super().__init__(message)


class CharonRefusal(VpnhaError):
    """charon lives and refused a command; the text is its own."""


class _DeadlineSocket:
    """A socket whose waits all end at one deadline, set per command.

    The library's own timeout is per receive, and off once the first byte of a message has come.
    """

    def __init__(self, path: str, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self._sock = socket.socket(socket.AF_UNIX)
        try:
            self._sock.settimeout(seconds)
            self._sock.connect(path)
        except BaseException:
            self._sock.close()
            raise

    def _wait(self) -> socket.socket:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock

    def sendall(self, data: bytes) -> None:
        self._wait().sendall(data)

    def recv(self, count: int) -> bytes:
        return self._wait().recv(count)

    def gettimeout(self) -> None:
        """The library saves and restores its timeout around each message."""

    def settimeout(self, value: float | None) -> None:
        """Not the library's business here."""

    def close(self) -> None:
        self._sock.close()


class Charon:
    """One VICI session for commands; one owner, one thread. Opened when needed, thrown away after any trouble."""

    def __init__(self, path: str = SOCKET) -> None:
        self.path = path
        self._sock: _DeadlineSocket | None = None
        self._session: Any = None

    def version(self, seconds: float = ALIVE_SECONDS) -> str:
        """strongSwan's version: the proof of life. CharonError when it does not come in time."""
        return self._call(lambda session: str(session.version()["version"].decode("utf-8", "replace")), seconds)

    def state(self) -> str:
        """ "alive", "hung" or "dead"; who may not even ask counts as dead."""
        try:
            self.version()
        except CharonError as exc:
            return "hung" if exc.state == "hung" else "dead"
        return "alive"

    def list_sas(self, seconds: float = COMMAND_SECONDS) -> list[IkeSa]:
        """All IKE SAs except those that are busy this very moment. CharonError when it does not answer."""
        return self._call(lambda session: parse_sas(list(session.list_sas({"noblock": "yes"}))), seconds)

    def connections(self, seconds: float = COMMAND_SECONDS) -> list[str]:
        """The names of the loaded connections. CharonError when it does not answer."""
        return self._call(
            lambda session: [str(name) for message in session.list_conns({}) for name in message], seconds
        )

    def initiate(self, tunnel: str, seconds: float = COMMAND_SECONDS) -> None:
        """Have a tunnel's connection and child initiated, without waiting for it.

        CharonRefusal when there is no such connection, CharonError when charon does not answer.
        """
        self._run("initiate", {"ike": tunnel, "child": tunnel, "timeout": "-1"}, seconds)

    def terminate(self, unique_id: str, seconds: float = COMMAND_SECONDS) -> None:
        """Have one IKE SA deleted, without waiting for it. CharonRefusal when it is not there, else CharonError."""
        self._run("terminate", {"ike-id": unique_id, "timeout": "-1"}, seconds)

    def close(self) -> None:
        """End the session."""
        if self._sock is not None:
            self._sock.close()
        self._sock = self._session = None

    def _run(self, command: str, message: dict[str, str], seconds: float) -> None:
        # the library's commands with a log are generators: nothing is sent before they are read, to their end
        self._call(lambda session: list(getattr(session, command)(message)), seconds)

    def _call(self, work: Callable[[Any], _T], seconds: float) -> _T:
        until = time.monotonic() + seconds
        used = self._session is not None
        try:
            return self._attempt(work, until)
        except CharonError as exc:
            if not used or exc.state != "dead":
                raise
        return self._attempt(work, until)  # charon has restarted since the session began

    def _attempt(self, work: Callable[[Any], _T], until: float) -> _T:
        try:
            from vici import Session
            from vici.exception import CommandException, DeserializationException, SessionException
        except ImportError:
            raise CharonError(
                "unreachable",
                "The Python library vici is missing: install it for the interpreter that runs this, or run this with "
                "/opt/vpnha/venv/bin/python, where the role vpnha.aws.runtime has it.",
            ) from None
        try:
            if self._sock is None:
                self._sock = _DeadlineSocket(self.path, max(until - time.monotonic(), 0.001))
                self._session = Session(self._sock)
            self._sock.until = until
            return work(self._session)
        except CommandException as exc:
            raise CharonRefusal(str(exc)) from None
        except (SessionException, DeserializationException, struct.error, LookupError, ValueError) as exc:
            self.close()
            raise CharonError("hung", f"charon's answer on {self.path} makes no sense: {exc!r}.") from None
        except OSError as exc:
            self.close()
            raise _charon_error(self.path, exc) from None


def session(path: str, seconds: float, wait: float = 0.0) -> Any:
    """A session of the library's own that has answered once, for who may wait: ``seconds`` for each answer.

    Raises VpnhaError when none answers in ``wait`` seconds.
    """
    from vici import Session

    end = time.monotonic() + wait
    while True:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(seconds)
        try:
            sock.connect(path)
            found = Session(sock)
            found.version()
            return found
        except OSError as error:
            sock.close()
            if time.monotonic() >= end:
                raise VpnhaError(
                    f"strongSwan does not answer on {path} ({error.strerror or error}); "
                    "see 'systemctl status strongswan'."
                ) from error
            time.sleep(0.1)


def events(path: str, tick: float) -> Iterator[tuple[str, str, bool] | None]:
    """charon's events as (event, connection's name, up), and None at least every ``tick`` seconds without one.

    Ends with CharonError when charon goes away; the caller begins anew. Needs a thread of its own.
    """
    from vici import Session
    from vici.exception import DeserializationException, EventUnknownException, SessionException

    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(COMMAND_SECONDS)
        sock.connect(path)
        for kind, message in Session(sock).listen(EVENTS, tick):
            if kind is None or message is None:
                yield None
                continue
            event = kind.decode() if isinstance(kind, bytes) else str(kind)
            up = message.get("up") == b"yes"
            for name in message:
                if name != "up":
                    yield event, name, up
    except (DeserializationException, SessionException, EventUnknownException) as exc:
        raise CharonError("hung", f"charon's events on {path} make no sense: {exc}.") from None
    except OSError as exc:
        raise _charon_error(path, exc) from None
    finally:
        sock.close()


def _charon_error(path: str, exc: OSError) -> CharonError:
    if isinstance(exc, (TimeoutError, BlockingIOError)):
        return CharonError("hung", f"charon does not answer on {path} in time: look at the strongswan unit.")
    if isinstance(exc, PermissionError):
        return CharonError("unreachable", f"Access to charon's socket {path} is denied: run this as root.")
    if isinstance(exc, FileNotFoundError):
        return CharonError("dead", f"charon's socket {path} is not there: start the strongswan unit.")
    return CharonError("dead", f"charon is not there behind {path}: start the strongswan unit.")
