# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment's situation for a person who was woken: all that was asked, as one document and as text.

Pure. What could not be asked is part of it: it says so, instead of leaving a gap that looks like good news.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SUBJECT_CHARACTERS = 100  # SNS's limit for a subject
MESSAGE_BYTES = 256 * 1024 - 1024  # SNS's limit for a message, with room for its envelope
EVENTS_SHOWN = 40  # lines of each monitor's journal in the text; the document has all

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What was asked, in the words of the modules that were asked.

    An empty answer was not asked for; one with ``msg`` alone says why there is none.
    """

    deployment: str
    at: str  # when it was asked
    alarm: str = ""  # that led to it; empty: a person asked
    connection: str = ""  # that the alarm is about
    managed: Answer = field(default_factory=dict)  # of managed_vpn_info
    standing: Answer = field(default_factory=dict)  # of vpn_ha_info
    monitors: Mapping[str, Answer] = field(default_factory=dict)  # status documents by monitor
    silent: Sequence[str] = ()  # monitors that gave none
    events: Mapping[str, Sequence[str]] = field(default_factory=dict)  # lines of the journal by monitor
    gateways: Mapping[str, Answer] = field(default_factory=dict)  # of vpn_health_info, by gateway
    notes: Sequence[str] = ()  # what else could not be asked, one sentence each


def document(asked: Asked) -> dict[str, Any]:
    """All of it as plain data, with what is missing and the headline."""
    return {**asdict(asked), "missing": missing(asked), "headline": headline(asked)}


def missing(asked: Asked) -> list[str]:
    """What could not be found out, and why, one sentence each."""
    gaps = [
        *asked.notes,
        *_gap("AWS's word on the managed connections", asked.managed, "connections"),
        *_gap("How the deployment stands in EC2", asked.standing, "gateways"),
    ]
    gaps += [f"{monitor} does not answer; look at its service vpnha-monitor." for monitor in asked.silent]
    for gateway, answer in sorted(asked.gateways.items()):
        gaps += _gap(f"The health of {gateway}", answer, "tunnels")
    return gaps


def _gap(what: str, answer: Answer, needed: str) -> list[str]:
    if not answer or needed in answer:
        return []
    why = str(answer.get("msg") or "the answer is empty").strip().splitlines()[0]
    return [f"{what} is not known: {why}"]


def headline(asked: Asked) -> str:
    """The situation in one line: the worst of the managed connections, then what the monitors say."""
    connections: Sequence[Answer] = asked.managed.get("connections", ())
    ailing = [each for each in connections if each["state"] != "up"]
    # the one that the alarm is about comes first
    ailing.sort(key=lambda each: (each["id"] != asked.connection, each["id"]))
    words = [f"{_title(each)} is {each['state']}." for each in ailing]
    if connections and not ailing:
        words.append("All managed connections are up.")
    words += sorted({str(status["sentence"]) for status in asked.monitors.values() if "sentence" in status})
    return " ".join([f"{asked.deployment}:", *(words or ["little could be found out."])])


def subject(asked: Asked) -> str:
    """The headline as SNS takes it for a subject: printable ASCII, and not too long."""
    plain = headline(asked).encode("ascii", "replace").decode()
    return plain if len(plain) <= SUBJECT_CHARACTERS else f"{plain[: SUBJECT_CHARACTERS - 3]}..."


def message(asked: Asked, where: str) -> str:
    """The text as SNS takes it, cut to its limit; ``where`` is the file that has all of it."""
    encoded = text(asked).encode()
    if len(encoded) <= MESSAGE_BYTES:
        return f"{encoded.decode()}\nThe same with all details: {where}\n"
    return f"{encoded[:MESSAGE_BYTES].decode(errors='ignore')}\n(cut here; all of it: {where})\n"


def text(asked: Asked) -> str:
    """All of it for people."""
    why = f"the alarm {asked.alarm}" if asked.alarm else "a person's wish"
    parts = [
        ("", [headline(asked), f"Found out at {asked.at} because of {why}."]),
        ("What could not be found out", missing(asked)),
        ("Managed VPN connections", list(_managed(asked.managed.get("connections", ())))),
        ("Routes", list(_routes(asked.standing))),
        ("Gateways", list(_gateways(asked))),
        ("Monitors", list(_monitors(asked))),
        ("The monitors' last events", list(_events(asked))),
    ]
    blocks = ["\n".join([*([title] if title else []), *_indented(lines, title)]) for title, lines in parts if lines]
    return "\n\n".join(blocks) + "\n"


def _indented(lines: Iterable[str], title: str) -> list[str]:
    return [f"  {line}" if title else line for line in lines]


def _title(connection: Answer) -> str:
    return f"{connection['id']} ({connection['name']})" if connection.get("name") else str(connection["id"])


def _managed(connections: Iterable[Answer]) -> Iterable[str]:
    for connection in connections:
        yield f"{_title(connection)}: {connection['state']}. {connection.get('reason', '')}".rstrip()
        for tunnel in connection.get("tunnels", ()):
            yield f"  tunnel {tunnel['address']}: {tunnel['state']}. {tunnel.get('reason', '')}".rstrip()


def _routes(standing: Answer) -> Iterable[str]:
    yield from standing.get("summary", ())
    for table in standing.get("route_tables", ()):
        for route in table.get("routes", ()):
            dead = " (blackhole)" if route.get("blackhole") else ""
            leads = f"{route['destination']} -> {route['gateway'] or route['target']}{dead}"
            yield f"{table['id']} ({table['zone']}): {leads}"


def _gateways(asked: Asked) -> Iterable[str]:
    known = {each["name"]: each for each in asked.standing.get("gateways", ())}
    for name in sorted({*known, *asked.gateways}):
        if name in known:
            ec2 = known[name]
            checks = f"system status {ec2['system_status']}, instance status {ec2['instance_status']}"
            yield f"{name}: {ec2['state']}, {checks}, routes carried: {len(ec2['carries'])}."
        else:
            yield f"{name}:"
        for tunnel in asked.gateways.get(name, {}).get("tunnels", ()):
            yield f"  tunnel {tunnel['name']}: {tunnel['verdict']}. {', '.join(tunnel['reasons_text'])}"


def _monitors(asked: Asked) -> Iterable[str]:
    for monitor, status in sorted(asked.monitors.items()):
        yield f"{monitor}: {status.get('sentence', '')}"
        for reason in status.get("reasons", ()):
            yield f"  {reason}"
        for judged in (*status.get("gateways", ()), *status.get("tunnels", ())):
            yield f"  {judged['name']}: {judged['verdict']}. {judged['text']}"


def _events(asked: Asked) -> Iterable[str]:
    for monitor, lines in sorted(asked.events.items()):
        for line in lines[-EVENTS_SHOWN:]:
            yield f"{monitor}: {line}"
