# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel of an AWS-managed VPN connection replaced: EC2 gives it a new endpoint, which is away for minutes.

It is done only while the other tunnel carries the traffic, and not again before a while: the time of the last one is a
tag of the connection, written before the call, so that whoever comes next sees it whatever became of the call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import VpnhaError

REPLACED = "vpnha:tunnel-replaced"  # tag of a connection: "tunnel=203.0.113.10 at=2026-01-01T00:00:00Z"
POLL_SECONDS = 5.0
UP = "UP"


@dataclass(frozen=True)
class Side:
    """One tunnel of a connection, as its telemetry shows it."""

    address: str  # of AWS's end
    status: str  # "UP" or "DOWN"
    message: str = ""
    changed: str = ""  # when its status changed last

    @property
    def up(self) -> bool:
        """Whether AWS calls it up."""
        return self.status == UP


@dataclass(frozen=True)
class Wish:
    """What shall be replaced, and when not."""

    connection: str
    tunnel: str = ""  # the address of AWS's end; empty: the one that is down
    also_when_up: bool = False
    apply_maintenance: bool = False
    hours_between: float = 24.0
    wait_seconds: float = 1800.0  # 0: do not wait


@dataclass(frozen=True)
class Replacement:
    """What became of it. The fields are the return values of the module."""

    connection: str
    tunnel: str | None  # None: no tunnel is down
    replaced: bool
    before: str | None
    after: str | None
    last_replaced: str | None  # the time of the last replacement, this one included
    seconds: float = 0.0  # from the call until the tunnel was up, or nobody waited any more
    text: str = ""


def read(client: Any, connection: str) -> Mapping[str, Any]:
    """What EC2 says of a connection. VpnhaError when it is not there."""
    doing = f"looking at the VPN connection {connection}"
    found = ec2.call(doing, partial(client.describe_vpn_connections, VpnConnectionIds=[connection]))["VpnConnections"]
    if not found:
        raise VpnhaError(f"There is no VPN connection {connection} in this region and account.")
    shown: Mapping[str, Any] = found[0]
    return shown


def sides_of(shown: Mapping[str, Any]) -> tuple[Side, ...]:
    """A connection's tunnels."""
    return tuple(
        Side(
            each["OutsideIpAddress"],
            str(each.get("Status", "unknown")),
            str(each.get("StatusMessage", "")),
            str(each.get("LastStatusChange", "")),
        )
        for each in shown.get("VgwTelemetry", ())
    )


def choose(sides: tuple[Side, ...], wish: Wish) -> Side | None:
    """The tunnel that a wish means; None if it means the one that is down, and none is. VpnhaError if there is none."""
    if not wish.tunnel:
        return next((side for side in sides if not side.up), None)
    for side in sides:
        if side.address == wish.tunnel:
            return side
    known = ", ".join(side.address for side in sides) or "none"
    raise VpnhaError(f"{wish.tunnel} is no tunnel of {wish.connection}; its tunnels are {known}.")


def refuse(sides: tuple[Side, ...], side: Side, wish: Wish, last: float | None, wall: float) -> None:
    """VpnhaError when a tunnel may not be replaced now: nothing else is up, or the last one is not long enough ago."""
    if not any(other.up for other in sides if other != side):
        shown = ", ".join(f"{each.address} {each.status}" for each in sides)
        raise VpnhaError(
            f"No other tunnel of {wish.connection} is up ({shown}), so nothing would carry the traffic while one is "
            "replaced: look at the customer gateway first."
        )
    if last is not None and wall < last + wish.hours_between * 3600:
        again = tags.format_time(last + wish.hours_between * 3600)
        raise VpnhaError(
            f"A tunnel of {wish.connection} was replaced at {tags.format_time(last)}, and the next may be at {again}: "
            f"what one replacement did not mend is for a person (to insist, remove the tag {REPLACED})."
        )


def last_replacement(tag: Mapping[str, str], connection: str) -> float | None:
    """When a tunnel of the connection was replaced last. VpnhaError when its tag cannot be read."""
    if REPLACED not in tag:
        return None
    try:
        return tags.parse_time(tags.parse_mark(tag[REPLACED])["at"])
    except (KeyError, ValueError):
        raise VpnhaError(
            f'{connection}: {REPLACED} should read like "tunnel=203.0.113.10 at=2026-01-01T00:00:00Z", not '
            f'"{tag[REPLACED]}"; no tunnel is replaced until it is mended or removed.'
        ) from None


def replace(
    client: Any,
    wish: Wish,
    *,
    check: bool = False,
    wall: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Replacement:
    """Replace a tunnel and wait until it is up. ``wall``: now. In check mode only say what would be done.

    A tunnel that is up is left as it is, unless the wish says otherwise. VpnhaError when it cannot be done, may not be
    done yet, or the tunnel does not come up in time.
    """
    connection = read(client, wish.connection)
    if connection.get("State") != "available":
        raise VpnhaError(f"The VPN connection {wish.connection} is {connection.get('State')}; it must be available.")
    sides = sides_of(connection)
    last = last_replacement(tags.to_dict(connection.get("Tags")), wish.connection)
    shown = tags.format_time(last) if last is not None else None
    side = choose(sides, wish)
    if side is None or (side.up and not wish.also_when_up):
        status = side.status if side else None
        which = f"{side.address} of {wish.connection} is" if side else f"All tunnels of {wish.connection} are"
        text = f"{which} up; nothing is replaced."
        return Replacement(wish.connection, side.address if side else None, False, status, status, shown, text=text)
    refuse(sides, side, wish, last, wall)
    name = f"{side.address} of {wish.connection}"
    if check:
        return Replacement(
            wish.connection, side.address, True, side.status, UP, shown, text=f"{name} would be replaced."
        )
    now = tags.format_time(wall)
    mark = [{"Key": REPLACED, "Value": tags.format_mark(tunnel=side.address, at=now)}]
    ec2.call(f"tagging {wish.connection}", partial(client.create_tags, Resources=[wish.connection], Tags=mark))
    began = clock()
    with ec2.telling(f"replacing the tunnel {name}"):
        client.replace_vpn_tunnel(
            VpnConnectionId=wish.connection,
            VpnTunnelOutsideIpAddress=side.address,
            ApplyPendingMaintenance=wish.apply_maintenance,
        )
    text, after = f"{name} is being replaced.", None
    if wish.wait_seconds:
        after = _await(client, side, wish, until=began + wish.wait_seconds, clock=clock, sleep=sleep).status
        text = f"{name} was replaced, and is up after {clock() - began:.0f} s."
    return Replacement(wish.connection, side.address, True, side.status, after, now, round(clock() - began, 1), text)


def _await(
    client: Any,
    before: Side,
    wish: Wish,
    *,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Side:
    """The tunnel once it is up with its new endpoint; VpnhaError when it is not in time."""
    while True:
        sides = sides_of(read(client, wish.connection))  # the connection may be "modifying" meanwhile
        now = next((side for side in sides if side.address == before.address), Side(before.address, "gone"))
        # what was up before is up with its new endpoint only after its status has changed
        if now.up and (not before.up or now.changed != before.changed):
            return now
        if clock() >= until:
            said = f" ({now.message})" if now.message else ""
            raise VpnhaError(
                f"The tunnel {before.address} of {wish.connection} was replaced, and is {now.status}{said} after "
                f"{wish.wait_seconds:.0f} s: see that the customer gateway initiates it anew."
            )
        sleep(POLL_SECONDS)
