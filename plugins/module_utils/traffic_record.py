# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file in which a traffic probe writes down every packet: one line of JSON, then records of 20 bytes.

The first line says who probes what and how monotonic time becomes wall time; a record is one packet sent or
answered. The file may be read while it grows: a record cut in the middle is left for the next reading.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import VpnhaError

FORMAT = 1
ENTRY = struct.Struct("<BBxxIqI")  # kind, stream, tick, nanoseconds since the start, the responder's counter
SENT, ANSWERED, UNSENDABLE, ENDED = 1, 2, 3, 4
END_REASONS = ("stopped", "max_seconds")


@dataclass(frozen=True)
class StreamId:
    """One sequence of packets to one target."""

    target: str
    protocol: str  # "icmp" or "udp"
    port: int | None = None  # of the responder, udp only

    def __str__(self) -> str:
        return f"{self.target} {self.protocol}"


@dataclass(frozen=True)
class Header:
    """What the first line says. Tick n is due at ``start_ns + n * interval_ns`` of the monotonic clock."""

    name: str
    pid: int
    interval_ns: int
    start_ns: int
    wall_ns: int  # the wall clock when the monotonic one showed start_ns
    max_seconds: int
    streams: tuple[StreamId, ...]

    def line(self) -> bytes:
        """The header as the file's first line."""
        streams = [[stream.target, stream.protocol, stream.port] for stream in self.streams]
        return json.dumps({"format": FORMAT, **vars(self), "streams": streams}).encode() + b"\n"


@dataclass
class Packets:
    """All packets of one stream, by tick; times in nanoseconds since the start."""

    stream: StreamId
    sent: dict[int, int] = field(default_factory=dict)
    answered: dict[int, tuple[int, int]] = field(default_factory=dict)  # tick -> (time, responder's counter)
    unsendable: set[int] = field(default_factory=set)  # sent as well, but this host's own kernel refused them


@dataclass(frozen=True)
class Record:
    """Everything that one probe wrote down so far."""

    header: Header
    packets: tuple[Packets, ...]  # as in header.streams
    seen_until_ns: int  # the newest record's time since the start
    end_reason: str  # "" while there is none: still running, or died

    def wall(self, since_start_ns: int) -> float:
        """Seconds since the epoch of a time since the start."""
        return (self.header.wall_ns + since_start_ns) / 1e9


def read(data: bytes) -> Record:
    """The record in a probe's file. VpnhaError when it is none."""
    line, separator, body = data.partition(b"\n")
    header = _header(line) if separator else None
    if header is None:
        raise VpnhaError("The file is no record of a traffic probe; start the probe again to make a new one.")
    packets = tuple(Packets(stream) for stream in header.streams)
    newest, reason = 0, ""
    whole = len(body) - len(body) % ENTRY.size
    for kind, index, tick, at, counter in ENTRY.iter_unpack(body[:whole]):
        newest = max(newest, at)
        if kind == ENDED:
            reason = END_REASONS[index]
            continue
        stream = packets[index]
        if kind == ANSWERED:
            stream.answered.setdefault(tick, (at, counter))  # a duplicate changes nothing
        else:
            stream.sent[tick] = at
            if kind == UNSENDABLE:
                stream.unsendable.add(tick)
    return Record(header, packets, newest, reason)


def _header(line: bytes) -> Header | None:
    try:
        values: Mapping[str, Any] = json.loads(line)
        if values["format"] != FORMAT:
            return None
        streams = tuple(StreamId(*stream) for stream in values["streams"])
        names = ("name", "pid", "interval_ns", "start_ns", "wall_ns", "max_seconds")
        return Header(streams=streams, **{name: values[name] for name in names})
    except (ValueError, KeyError, TypeError):
        return None
