# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A traffic probe: a bounded process that sends sequenced packets at an even pace and writes down every answer.

Per target it sends ICMP echoes (any host answers those; they show the round trip) and, where our responder listens
(``roles/drill/files/responder.py``), UDP sequence packets whose answers carry the responder's own count.

The process stands on its own: everything it needs is imported before the fork, it holds an exclusive lock on its
record file for as long as it lives (that lock is what "running" means, so a reused pid cannot deceive), and it
ends by itself after ``max_seconds`` whatever becomes of the controller.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from .dual_stack import is_ipv6
from .errors import VpnhaError
from .icmp import TOKEN_BYTES, IcmpSocket, echo_request, for_ipv6, parse_reply, parse_reply_6
from .traffic_record import ANSWERED, END_REASONS, ENDED, ENTRY, SENT, UNSENDABLE, Header, Record, StreamId, read

MAGIC = b"VPNH"
REQUEST = struct.Struct(f"!4s{TOKEN_BYTES}sQQ")  # magic, token, tick, time of sending in ns
COUNTER = struct.Struct("!Q")  # follows the request in a reply: packets with this token the responder has seen
FLUSH_TICKS = 10  # ticks between two writes to the file
LINGER_SECONDS = 1.0  # answers are awaited this long after the last packet
MAX_SECONDS = 3600


@dataclass(frozen=True)
class Target:
    """Where packets go."""

    address: str
    responder_port: int | None = None  # of our responder there; None: only ICMP


@dataclass(frozen=True)
class Plan:
    """What a probe is to do."""

    name: str
    targets: tuple[Target, ...]
    interval_ms: float = 10.0
    max_seconds: int = 900


class _Stream:
    """The socket of one sequence of packets; ``request`` and ``parse`` know its packets' form."""

    def __init__(self, sock: socket.socket, stream: StreamId, token: bytes) -> None:
        self.socket, self.stream, self.token = sock, stream, token
        sock.setblocking(False)
        sock.connect((stream.target, stream.port or 0))  # the kernel passes only this target's packets

    def send(self, tick: int) -> bool:
        """Send one packet; False when this host's own kernel refuses it."""
        for _attempt in range(2):  # the first may only report an ICMP error that an earlier packet met
            try:
                self.socket.send(self.request(tick))
                return True
            except OSError:
                continue
        return False

    def answers(self) -> list[tuple[int, int]]:
        """(tick, responder's counter) of every answer that has arrived."""
        found: list[tuple[int, int]] = []
        for _packet in range(256):
            try:
                answer = self.parse(self.socket.recv(2048))
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error for an earlier packet: that one simply stays unanswered
            if answer is not None:
                found.append(answer)
        return found

    def request(self, tick: int) -> bytes:
        raise NotImplementedError

    def parse(self, packet: bytes) -> tuple[int, int] | None:
        raise NotImplementedError


class _Udp(_Stream):
    def __init__(self, target: Target, token: bytes) -> None:
        sock = socket.socket(socket.AF_INET6 if is_ipv6(target.address) else socket.AF_INET, socket.SOCK_DGRAM)
        super().__init__(sock, StreamId(target.address, "udp", target.responder_port), token)

    def request(self, tick: int) -> bytes:
        return REQUEST.pack(MAGIC, self.token, tick, time.monotonic_ns())

    def parse(self, packet: bytes) -> tuple[int, int] | None:
        if len(packet) != REQUEST.size + COUNTER.size:
            return None
        magic, token, tick, _sent = REQUEST.unpack_from(packet)
        if magic != MAGIC or token != self.token:
            return None
        counter: int = COUNTER.unpack_from(packet, REQUEST.size)[0]
        return tick, counter & 0xFFFFFFFF


class _Icmp(_Stream):
    def __init__(self, target: Target, token: bytes) -> None:
        self._ipv6 = is_ipv6(target.address)
        super().__init__(IcmpSocket(ipv6=self._ipv6).open(), StreamId(target.address, "icmp"), token)

    def request(self, tick: int) -> bytes:
        packet = echo_request(self.token, tick)
        return for_ipv6(packet) if self._ipv6 else packet

    def parse(self, packet: bytes) -> tuple[int, int] | None:
        reply = parse_reply_6(packet, self.stream.target) if self._ipv6 else parse_reply(packet)
        return (reply.seq, 0) if reply is not None and reply.token == self.token else None


class _Prober:
    """The loop: sends at absolute times, so that no delay adds up, and skips what it was too late for."""

    def __init__(self, plan: Plan, streams: list[_Stream], descriptor: int) -> None:
        self._streams, self._descriptor = streams, descriptor
        self._by_socket = {stream.socket: index for index, stream in enumerate(streams)}
        self._buffer = bytearray()
        self._stopping = False
        now = time.monotonic_ns()
        self._interval = round(plan.interval_ms * 1e6)
        self._start = now + self._interval
        self.header = Header(
            name=plan.name,
            pid=os.getpid(),
            interval_ns=self._interval,
            start_ns=self._start,
            wall_ns=time.time_ns() + self._start - now,
            max_seconds=plan.max_seconds,
            streams=tuple(stream.stream for stream in streams),
        )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, self.header.line())

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """SIGTERM: send no more, await what is under way, end."""
        self._stopping = True

    def run(self) -> None:
        """Send and receive until told to stop or for max_seconds; OSError when the file cannot be written."""
        tick, last_tick = 0, self.header.max_seconds * 1_000_000_000 // self._interval
        while tick < last_tick and not self._stopping:
            due = self._start + tick * self._interval
            late = time.monotonic_ns() - due
            if late < 0:
                self._receive(-late / 1e9)
                continue
            tick += late // self._interval  # ticks that went by while this host was busy are not made good
            self._send(tick)
            tick += 1
            if tick % FLUSH_TICKS == 0:
                self._flush()
        until = time.monotonic() + LINGER_SECONDS
        while (left := until - time.monotonic()) > 0:
            self._receive(left)
        self._note(ENDED, END_REASONS.index("stopped" if self._stopping else "max_seconds"), 0, 0)
        self._flush()

    def _send(self, tick: int) -> None:
        for index, stream in enumerate(self._streams):
            at = time.monotonic_ns()
            sent = stream.send(tick)
            self._note(SENT if sent else UNSENDABLE, index, tick, 0, at)

    def _receive(self, seconds: float) -> None:
        for sock in select.select(list(self._by_socket), [], [], seconds)[0]:
            index = self._by_socket[sock]
            for tick, counter in self._streams[index].answers():
                self._note(ANSWERED, index, tick, counter)

    def _note(self, kind: int, index: int, tick: int, counter: int, at: int | None = None) -> None:
        since = (time.monotonic_ns() if at is None else at) - self._start
        self._buffer += ENTRY.pack(kind, index, tick & 0xFFFFFFFF, since, counter)

    def _flush(self) -> None:
        while self._buffer:
            del self._buffer[: os.write(self._descriptor, self._buffer)]


def start(plan: Plan, path: Path) -> Header:
    """Start the probe that writes to ``path`` and return once it runs. VpnhaError when it cannot."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"A traffic probe named {plan.name} is already running; stop it first, or choose another name."
            raise VpnhaError(message) from None
        streams = _open_streams(plan)
        try:
            _detach(plan, streams, descriptor)
        finally:
            for stream in streams:
                stream.socket.close()
    finally:
        os.close(descriptor)  # the probe's own copy keeps the lock
    return load(path).header


def running(path: Path) -> bool:
    """Whether the probe that writes to ``path`` is alive: it then holds the file's lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def stop(path: Path, *, discard: bool = False) -> bool:
    """End the probe that writes to ``path`` after the answers under way have come; False when none runs.

    ``discard``: at once, since nobody will read its record any more.
    """
    if not running(path):
        return False
    pid = load(path).header.pid
    gently = () if discard else ((signal.SIGTERM, LINGER_SECONDS + 4.0),)
    for number, seconds in (*gently, (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not running(path):
                return True
            time.sleep(0.02)
    raise VpnhaError(f"The traffic probe with pid {pid} does not end; end it by hand and try again.")


def load(path: Path) -> Record:
    """What the probe wrote down so far. VpnhaError when there is no such probe."""
    try:
        return read(path.read_bytes())
    except FileNotFoundError:
        raise VpnhaError(f"There is no traffic probe named {path.stem} on this host; start it first.") from None


def _open_streams(plan: Plan) -> list[_Stream]:
    token = os.urandom(TOKEN_BYTES)
    streams: list[_Stream] = []
    for target in plan.targets:
        try:
            streams.append(_Icmp(target, token))
            if target.responder_port is not None:
                streams.append(_Udp(target, token))
        except PermissionError:
            raise VpnhaError("Sending ICMP echoes needs root; run the task with become.") from None
        except OSError as error:
            raise VpnhaError(f"Cannot send to {target.address}: {error.strerror}; check its address.") from error
    return streams


def _detach(plan: Plan, streams: list[_Stream], descriptor: int) -> None:
    """Fork twice, so that the probe belongs to nobody, and wait until it has begun."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:  # whatever happens, neither child may return into the caller's program
            os.setsid()
            if os.fork() == 0:
                _be_the_probe(plan, streams, descriptor, writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as begun:
        if begun.read(1) != b"y":
            raise VpnhaError("The traffic probe ended before it began; is the disk full?")


def _be_the_probe(plan: Plan, streams: list[_Stream], descriptor: int, writer: int) -> None:
    keep = {descriptor, writer, *(stream.socket.fileno() for stream in streams)}
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a pipe left open here would keep ssh waiting
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))
    os.chdir("/")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # a busy host should not look like a lossy path
    try:
        prober = _Prober(plan, streams, descriptor)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, prober.stop)
        os.write(writer, b"y")
        os.close(writer)
        prober.run()
    except OSError:
        os._exit(1)  # a full disk: the record then has no end, and says so
