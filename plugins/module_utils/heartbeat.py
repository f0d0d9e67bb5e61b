# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticated heartbeats: the wire format, and both ends' bookkeeping. No sockets, no clock.

A monitor or an agent (the asker) sends a request to a gateway's agent, which answers with its newest report. Both
are one UDP datagram in network byte order::

    magic "VH" | version u8 | kind u8 | key id 4 B | session 16 B | seq u64 | age u32 (ms) | body | tag 16 B

The tag is HMAC-SHA256 over all before it, cut to 16 bytes. The session is the asker's random number, new with each
start. A request's body is ``sender\\0receiver``; an answer echoes session and seq, says how old its report is, and
its body is ``sender\\0`` and the report as deflated JSON. An answer is signed with the key of its request, so keys
are rotated by adding the new one at the end everywhere, then putting it first, then taking the old one away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import struct
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .losses import LossWindow
from .model import AgentReport, LossStats
from .report_wire import WireError, from_wire, to_wire

PORT = 7784
MAGIC = b"VH"
VERSION = 1
REQUEST, ANSWER = 1, 2
TAG_BYTES = 16
MAX_PACKET = 16384
MAX_JSON = 1 << 20
MIN_KEY_CHARS = 32
OUTSTANDING_SECONDS = 5.0  # how long an answer may take before it is stale

_HEAD = struct.Struct("!2sBB4s16sQI")
_MAX_AGE_MS = 0xFFFFFFFF
_MAX_NAME = 255
_SESSIONS_KEPT = 256
_REPLAY_WINDOW = 1024  # requests may overtake each other by this many

REASONS = ("truncated", "oversized", "version", "forged", "malformed", "misdirected", "replayed", "stale")


class HeartbeatError(Exception):
    """A packet that is ignored and counted; ``reason`` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeyRing:
    """The shared secrets: the first signs requests, any of them is accepted.

    Raises ValueError, without the secret in its text, when there is none or one is too short.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("no heartbeat key is given: at least one is needed")
        self._by_id: dict[bytes, bytes] = {}
        for position, secret in enumerate(secrets, 1):
            if len(secret) < MIN_KEY_CHARS:
                raise ValueError(f"heartbeat key {position} is shorter than {MIN_KEY_CHARS} characters")
            raw = secret.encode()
            # the id and the signing key are derived apart, so that the id says nothing of the key
            key_id = hmac.digest(raw, b"vpnha heartbeat key id", "sha256")[:4]
            self._by_id[key_id] = hmac.digest(raw, b"vpnha heartbeat signing key", "sha256")
        self.signing_id = next(iter(self._by_id))

    def seal(self, key_id: bytes, data: bytes) -> bytes:
        """``data`` with its tag at the end."""
        return data + hmac.digest(self._by_id[key_id], data, hashlib.sha256)[:TAG_BYTES]

    def genuine(self, key_id: bytes, packet: bytes) -> bool:
        """Whether one of our keys made the packet's tag."""
        key = self._by_id.get(key_id)
        if key is None:
            return False
        tag = hmac.digest(key, packet[:-TAG_BYTES], hashlib.sha256)[:TAG_BYTES]
        return hmac.compare_digest(tag, packet[-TAG_BYTES:])


@dataclass(frozen=True)
class Request:
    """A request as the agent sees it."""

    sender: str
    receiver: str
    session: bytes
    seq: int
    key_id: bytes


@dataclass(frozen=True)
class Answer:
    """An answer as the asker sees it."""

    sender: str
    session: bytes
    seq: int
    age: float  # of the report when the answer left, seconds
    body: bytes  # the report, still packed


def _head(kind: int, key_id: bytes, session: bytes, seq: int, age_ms: int) -> bytes:
    return _HEAD.pack(MAGIC, VERSION, kind, key_id, session, seq, age_ms)


def _unpack(keys: KeyRing, packet: bytes, wanted: int) -> tuple[bytes, bytes, int, int, bytes]:
    """(key id, session, seq, age in ms, body) of a genuine packet of the wanted kind."""
    if len(packet) > MAX_PACKET:
        raise HeartbeatError("oversized")
    if len(packet) < _HEAD.size + TAG_BYTES:
        raise HeartbeatError("truncated")
    magic, version, kind, key_id, session, seq, age_ms = _HEAD.unpack_from(packet)
    if magic != MAGIC:
        raise HeartbeatError("malformed")
    if version != VERSION:
        raise HeartbeatError("version")
    if not keys.genuine(key_id, packet):
        raise HeartbeatError("forged")
    if kind != wanted:
        raise HeartbeatError("misdirected")
    return key_id, session, seq, age_ms, packet[_HEAD.size : -TAG_BYTES]


def _name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise HeartbeatError("malformed") from None
    if not name or len(raw) > _MAX_NAME:
        raise HeartbeatError("malformed")
    return name


def encode_request(keys: KeyRing, sender: str, receiver: str, session: bytes, seq: int) -> bytes:
    """A request from ``sender`` to the agent of gateway ``receiver``."""
    key_id = keys.signing_id
    body = sender.encode() + b"\0" + receiver.encode()
    return keys.seal(key_id, _head(REQUEST, key_id, session, seq, 0) + body)


def decode_request(keys: KeyRing, packet: bytes) -> Request:
    """The request in a packet. HeartbeatError when it is none that counts."""
    key_id, session, seq, _age, body = _unpack(keys, packet, REQUEST)
    sender, mark, receiver = body.partition(b"\0")
    if not mark:
        raise HeartbeatError("malformed")
    return Request(_name(sender), _name(receiver), session, seq, key_id)


def pack_report(report: AgentReport) -> bytes:
    """A report as it goes into answers; made once per report, not once per answer."""
    return zlib.compress(json.dumps(to_wire(report), separators=(",", ":"), allow_nan=False).encode(), 1)


def unpack_report(body: bytes) -> AgentReport:
    """The report in an answer's body. HeartbeatError when it is none."""
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(body, MAX_JSON)
        if not inflate.eof:
            raise HeartbeatError("malformed")
        return from_wire(json.loads(text))
    except (zlib.error, ValueError, RecursionError, WireError):
        raise HeartbeatError("malformed") from None


def encode_answer(keys: KeyRing, request: Request, sender: str, age: float, body: bytes) -> bytes:
    """The answer of gateway ``sender`` to a request, with a packed report that is ``age`` seconds old."""
    age_ms = min(max(int(age * 1000), 0), _MAX_AGE_MS)
    head = _head(ANSWER, request.key_id, request.session, request.seq, age_ms)
    return keys.seal(request.key_id, head + sender.encode() + b"\0" + body)


def decode_answer(keys: KeyRing, packet: bytes) -> Answer:
    """The answer in a packet, its report still packed. HeartbeatError when it is none that counts."""
    _key_id, session, seq, age_ms, body = _unpack(keys, packet, ANSWER)
    sender, mark, report = body.partition(b"\0")
    if not mark:
        raise HeartbeatError("malformed")
    return Answer(_name(sender), session, seq, age_ms / 1000.0, report)


class HeartbeatAnswerer:
    """The agent's end: answers each genuine request to its gateway once."""

    def __init__(self, keys: KeyRing, gateway: str) -> None:
        self.keys = keys
        self.gateway = gateway
        self.refused: Counter[str] = Counter()  # by reason
        self._body = b""
        self._made_at = 0.0
        # per session: the highest seq, and a bit per seq below it that was seen
        self._seen: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def publish(self, report: AgentReport, now: float) -> None:
        """From now on answer with this report."""
        self._body, self._made_at = pack_report(report), now

    def on_packet(self, packet: bytes, now: float) -> bytes | None:
        """The answer to a packet; None when it deserves none (it is counted in ``refused``)."""
        try:
            request = decode_request(self.keys, packet)
            if request.receiver != self.gateway:
                raise HeartbeatError("misdirected")
            self._once(request.session, request.seq)
        except HeartbeatError as exc:
            self.refused[exc.reason] += 1
            return None
        if not self._body:
            return None  # nothing to say yet
        return encode_answer(self.keys, request, self.gateway, now - self._made_at, self._body)

    def _once(self, session: bytes, seq: int) -> None:
        """Note the request; HeartbeatError when it came before or is too old to tell."""
        top, bits = self._seen.pop(session, (seq, 0))
        if seq > top:
            shift = seq - top
            top, bits = seq, (bits << shift) & ((1 << _REPLAY_WINDOW) - 1) if shift < _REPLAY_WINDOW else 0
        self._seen[session] = (top, bits)
        while len(self._seen) > _SESSIONS_KEPT:
            self._seen.popitem(last=False)
        behind = top - seq
        if behind >= _REPLAY_WINDOW:
            raise HeartbeatError("stale")
        if bits >> behind & 1:
            raise HeartbeatError("replayed")
        self._seen[session] = (top, bits | 1 << behind)


class HeartbeatAsker:
    """The asking end for one gateway: makes requests, takes answers, keeps the loss and the newest report.

    ``losses`` makes a fresh LossWindow. Answers count only for requests of this object's own session that are
    still open, each once. Who only wants to know that there are answers sets ``reports`` to False: unpacking what is
    in them is most of the work.
    """

    def __init__(
        self,
        keys: KeyRing,
        sender: str,
        gateway: str,
        losses: Callable[[], LossWindow],
        session: Callable[[], bytes] = lambda: os.urandom(16),
        *,
        reports: bool = True,
    ) -> None:
        self.keys = keys
        self._reports = reports
        self.sender = sender
        self.gateway = gateway
        self.refused: Counter[str] = Counter()  # by reason
        self.heard_since_start = False
        self.report: AgentReport | None = None
        self.rtt: float | None = None  # of the newest answer, seconds
        self._new_losses, self._new_session = losses, session
        self._report_at = 0.0  # when the newest report was made, on our clock
        self._heard_at: float | None = None
        self.restart()

    def restart(self) -> None:
        """Forget what was asked and observed (after a pause of ours); the newest report stays, with its age."""
        self.losses = self._new_losses()
        self._session = self._new_session()
        self._seq = 0
        self._newest = 0
        self._open: OrderedDict[int, float] = OrderedDict()  # seq -> when it was sent
        self._expired = 0  # all up to this seq are closed for being too old

    def next_request(self, now: float) -> bytes:
        """The next datagram to send to the gateway's agent."""
        while self._open and now - next(iter(self._open.values())) > OUTSTANDING_SECONDS:
            self._expired = self._open.popitem(last=False)[0]
        self._seq += 1
        self._open[self._seq] = now
        self.losses.sent(self._seq, now)
        return encode_request(self.keys, self.sender, self.gateway, self._session, self._seq)

    def on_packet(self, packet: bytes, now: float) -> AgentReport | None:
        """Take a datagram. The report in it if it is newer than the last one, else None.

        What is bad is counted in ``refused``. So is a genuine answer with a report that cannot be read: it is heard.
        """
        try:
            answer = decode_answer(self.keys, packet)
            if answer.sender != self.gateway:
                raise HeartbeatError("misdirected")
            if answer.session != self._session or answer.seq <= self._expired:
                raise HeartbeatError("stale")
            if answer.seq not in self._open:
                raise HeartbeatError("replayed")
            # it is genuine, and no silence, whatever is in it: the report may be of another version
            self.losses.answered(answer.seq, now)
            self.heard_since_start = True
            self._heard_at = now
            sent_at = self._open.pop(answer.seq)
            report = unpack_report(answer.body) if self._reports and answer.seq > self._newest else None
        except HeartbeatError as exc:
            self.refused[exc.reason] += 1
            return None
        if report is not None:
            self._newest, self.report, self.rtt = answer.seq, report, now - sent_at
            self._report_at = now - answer.age
        return report

    def stats(self, now: float) -> LossStats:
        """The loss of this gateway's heartbeats."""
        return self.losses.stats(now)

    def report_age(self, now: float) -> float | None:
        """How old the newest report is, seconds; None when there is none."""
        return None if self.report is None else now - self._report_at

    def answer_age(self, now: float) -> float | None:
        """How long ago the last answer came, seconds; None when none ever came."""
        return None if self._heard_at is None else now - self._heard_at
