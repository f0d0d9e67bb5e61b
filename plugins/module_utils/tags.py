# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's tags in EC2, and the values of those that carry a person's word.

Pins, pauses and drills stand in EC2 because every monitor, module and playbook must see the same, also after a
restart. Their values are "key=value key=value"; times are UTC as in 2026-01-01T00:00:00Z. People also set these tags
by hand: a value that cannot be read in full still counts, without an expiry, and ``readable`` is False so that it
can be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .model import Pin, RepairMark

DEPLOYMENT = "vpnha:deployment"
MADE = "vpnha:made"  # on what the collection made itself, and so may delete
GATEWAY = "vpnha:gateway"
ROLE = "vpnha:role"
ZONE = "vpnha:zone"
TABLE = "vpnha:table"
PRIORITY = "vpnha:priority"  # of a route table: whose routes are swapped first
SITE = "vpnha:site"  # of a prefix list
PIN = "vpnha:pin"
PAUSE = "vpnha:pause"
DRILL = "vpnha:drill"
LOCK = "vpnha:lock"
FREEZE = "vpnha:freeze"
REPAIR = "vpnha:repair"
PROBES = "vpnha:probes"
TUNNEL_REPLACED = "vpnha:tunnel-replaced"  # of a VPN connection: when, and which of its tunnels

NO_EXPIRY = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_MAX_VALUE = 256  # EC2's limit
_NOT_ALLOWED = re.compile(r"[^\w.:/+@-]+", re.ASCII)


@dataclass(frozen=True)
class Pause:
    """A person's word that nothing is done for a while."""

    until_wall: float
    by: str = ""
    readable: bool = True


@dataclass(frozen=True)
class Drill:
    """A failure that is being caused on purpose."""

    id: str
    until_wall: float
    readable: bool = True


@dataclass(frozen=True)
class Freeze:
    """A person's word that nothing is broken on purpose for a while."""

    until_wall: float
    reason: str = ""
    by: str = ""
    readable: bool = True

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        until = f" until {format_time(self.until_wall)}" if self.readable else ""
        return f"Changes are frozen{until}{f' by {self.by}' if self.by else ''}{why}"


@dataclass(frozen=True)
class Lock:
    """A drill or a deploy that wants no other beside it."""

    what: str
    owner: str
    until_wall: float
    by: str = ""
    run: str = ""  # tells two of the same owner apart
    readable: bool = True


def pause_of(deployment: str) -> str:
    """Name of the tag on the VPC that pauses a whole deployment; a VPC may carry several deployments."""
    return f"{PAUSE}:{deployment}"


def drill_of(deployment: str) -> str:
    """Name of the tag on the VPC that says that a drill is running."""
    return f"{DRILL}:{deployment}"


def freeze_of(deployment: str) -> str:
    """Name of the tag on the VPC that says that nothing may be broken on purpose for a while."""
    return f"{FREEZE}:{deployment}"


def lock_of(deployment: str) -> str:
    """Name of the security group that lets one drill or deploy work at a time; its tag `LOCK` says who."""
    return f"{LOCK}:{deployment}"


def probes_of(deployment: str) -> str:
    """Name of the tag on a route table that names the addresses which monitors probe through a managed gateway."""
    return f"{PROBES}:{deployment}"


def format_probes(addresses: Iterable[str]) -> str:
    """The value of the tag `probes_of`."""
    return " ".join(sorted(addresses))


def parse_probes(value: str) -> list[str]:
    """What `format_probes` made; whatever is no IPv4 address is left out."""
    return [word for word in value.split() if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", word)]


def parse_priority(value: str) -> int | None:
    """The priority that a value of the tag `PRIORITY` says; None if it says none."""
    return int(value) if re.fullmatch("[1-9]", value.strip()) else None


def launch_template(deployment: str, gateway: str) -> str:
    """Name of the launch template that a gateway's instance is replaced from, where the policy allows that."""
    return f"{deployment}-{gateway}"


def to_dict(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """EC2's list of Key and Value as a dict."""
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


def to_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """A dict as EC2's list of Key and Value."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def filters(deployment: str, **values: str) -> list[dict[str, Any]]:
    """EC2 filters for what belongs to a deployment and has these tags, as ``**{tags.GATEWAY: "gw-a"}``."""
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in {DEPLOYMENT: deployment, **values}.items()]


def format_time(wall: float) -> str:
    """Seconds since the epoch as in 2026-01-01T00:00:00Z, cut to whole seconds."""
    return datetime.fromtimestamp(int(wall), UTC).strftime(_TIME)


def parse_time(text: str) -> float:
    """The reverse of `format_time`; ValueError for anything else."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()


def plain(text: str) -> str:
    """A word in EC2's characters; what is not allowed becomes "-"."""
    return _NOT_ALLOWED.sub("-", text)


def format_mark(**fields: str) -> str:
    """ "key=value key=value", in EC2's characters; what is not allowed in a value becomes "-"."""
    return " ".join(f"{key}={plain(value)}" for key, value in fields.items() if value)[:_MAX_VALUE]


def parse_mark(text: str) -> dict[str, str]:
    """The fields of a mark; words without "=" are left out."""
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _expiry(fields: Mapping[str, str], name: str) -> tuple[float, bool]:
    try:
        return parse_time(fields[name]), True
    except (KeyError, ValueError):
        return NO_EXPIRY, False


def format_pin(pin: Pin) -> str:
    """The value of the tag `PIN`."""
    return format_mark(gateway=pin.gateway, expires=format_time(pin.expires_wall), by=pin.by)


def parse_pin(text: str) -> tuple[Pin, bool]:
    """The pin, and whether the value could be read in full."""
    fields = parse_mark(text)
    expires, readable = _expiry(fields, "expires")
    return Pin(fields.get("gateway", ""), expires, fields.get("by", "")), readable and "gateway" in fields


def format_pause(pause: Pause) -> str:
    """The value of the tag `PAUSE`."""
    return format_mark(until=format_time(pause.until_wall), by=pause.by)


def parse_pause(text: str) -> Pause:
    """The pause that a value of the tag `PAUSE` says."""
    fields = parse_mark(text)
    until, readable = _expiry(fields, "until")
    return Pause(until, fields.get("by", ""), readable)


def format_drill(drill: Drill) -> str:
    """The value of the tag `DRILL`."""
    return format_mark(id=drill.id, until=format_time(drill.until_wall))


def parse_drill(text: str) -> Drill:
    """The drill that a value of the tag `DRILL` says."""
    fields = parse_mark(text)
    until, readable = _expiry(fields, "until")
    return Drill(fields.get("id", "unnamed"), until, readable and "id" in fields)


def format_freeze(freeze: Freeze) -> str:
    """The value of the tag `FREEZE`."""
    return format_mark(until=format_time(freeze.until_wall), by=plain(freeze.by)[:60], reason=freeze.reason)


def parse_freeze(text: str) -> Freeze:
    """The freeze that a value of the tag `FREEZE` says."""
    fields = parse_mark(text)
    until, readable = _expiry(fields, "until")
    return Freeze(until, fields.get("reason", ""), fields.get("by", ""), readable)


def format_lock(lock: Lock) -> str:
    """The value of the tag `LOCK`."""
    until = format_time(lock.until_wall)
    return format_mark(what=lock.what, owner=lock.owner, until=until, by=lock.by, run=lock.run)


def parse_lock(text: str) -> Lock:
    """The lock that a value of the tag `LOCK` says."""
    fields = parse_mark(text)
    until, readable = _expiry(fields, "until")
    owner, by, run = (fields.get(key, "") for key in ("owner", "by", "run"))
    return Lock(fields.get("what", ""), owner, until, by, run, readable and bool(owner))


def format_repair(mark: RepairMark) -> str:
    """The value of the tag `REPAIR`."""
    return format_mark(rung=mark.rung, steps="/".join(format_time(wall) for wall in mark.steps_wall))


def parse_repair(text: str) -> RepairMark:
    """The repairs that a value of the tag `REPAIR` says. What cannot be read in full is no reason for another one."""
    fields = parse_mark(text)
    try:
        steps = tuple(sorted(parse_time(step) for step in fields["steps"].split("/")))
    except (KeyError, ValueError):
        return RepairMark((), fields.get("rung", ""), readable=False)
    return RepairMark(steps, fields.get("rung", ""), "rung" in fields)
