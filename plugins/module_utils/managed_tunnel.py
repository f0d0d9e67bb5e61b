# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel of an AWS-managed VPN connection replaced: EC2 gives it a new endpoint, which is away for minutes.

It is done only while the other tunnel carries the traffic, and not again before a while: the time of the last one is a
tag of the connection, written before the call, so that whoever comes next sees it whatever became of the call. Only
where EC2 has refused the call for certain does the tag say again what it said before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, managed_vpn, marks, tags
from .errors import Ec2Error, VpnhaError
from .managed_vpn import ManagedConnection, ManagedTunnel

POLL_SECONDS = 5.0
UP = "UP"


@dataclass(frozen=True)
class Wish:
    """What shall be replaced, and when not."""

    connection: str
    tunnel: str = ""  # the address of AWS's end; empty: the one that is down
    also_when_up: bool = False
    apply_maintenance: bool = False
    down_seconds: float = 0.0  # so long it must have been down; that is waited for
    hours_between: float = 24.0
    wait_seconds: float = 1800.0  # 0: do not wait until it is up


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


@dataclass(frozen=True)
class Clock:
    """Time for whoever waits: ``wall`` in seconds since the epoch, ``now`` monotonic."""

    wall: Callable[[], float] = time.time
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def read(client: Any, connection: str) -> ManagedConnection:
    """A connection as EC2 shows it now. VpnhaError when it is not there."""
    found = managed_vpn.describe(client, connection_ids=[connection])
    if not found:
        raise VpnhaError(f"There is no VPN connection {connection} in this region and account.")
    return managed_vpn.judge(found[0], {}, 0.0)  # only EC2's telemetry matters here, which is fresh


def is_up(tunnel: ManagedTunnel) -> bool:
    """Whether EC2 calls it up."""
    return tunnel.telemetry.status == UP


def choose(tunnels: Sequence[ManagedTunnel], wish: Wish) -> ManagedTunnel | None:
    """The tunnel that a wish means; None if it means the one that is down, and none is. VpnhaError if there is none."""
    if not wish.tunnel:
        return next((tunnel for tunnel in tunnels if not is_up(tunnel)), None)
    for tunnel in tunnels:
        if tunnel.address == wish.tunnel:
            return tunnel
    known = ", ".join(tunnel.address for tunnel in tunnels) or "none"
    raise VpnhaError(f"{wish.tunnel} is no tunnel of {wish.connection}; its tunnels are {known}.")


def refuse(
    tunnels: Sequence[ManagedTunnel], tunnel: ManagedTunnel, wish: Wish, last: float | None, wall: float
) -> None:
    """VpnhaError when a tunnel may not be replaced now: nothing else is up, or the last one is not long enough ago."""
    if not any(is_up(other) for other in tunnels if other.address != tunnel.address):
        shown = ", ".join(f"{each.address} {each.telemetry.status or 'unknown'}" for each in tunnels)
        raise VpnhaError(
            f"No other tunnel of {wish.connection} is up ({shown}), so nothing would carry the traffic while one is "
            "replaced: look at the customer gateway first."
        )
    if last is not None and wall < last + wish.hours_between * 3600:
        again = tags.format_time(last + wish.hours_between * 3600)
        raise VpnhaError(
            f"A tunnel of {wish.connection} was replaced at {tags.format_time(last)}, and the next may be at {again}: "
            f"what one replacement did not mend is for a person (to insist, remove the tag {tags.TUNNEL_REPLACED})."
        )


def last_replacement(connection: ManagedConnection) -> float | None:
    """When a tunnel of the connection was replaced last. VpnhaError when its tag cannot be read."""
    value = dict(connection.tags).get(tags.TUNNEL_REPLACED)
    if value is None:
        return None
    try:
        return tags.parse_time(tags.parse_mark(value)["at"])
    except (KeyError, ValueError):
        raise VpnhaError(
            f'{connection.id}: {tags.TUNNEL_REPLACED} should read like "tunnel=203.0.113.10 at=2026-01-01T00:00:00Z", '
            f'not "{value}"; no tunnel is replaced until it is mended or removed.'
        ) from None


def replace(client: Any, wish: Wish, *, check: bool = False, clock: Clock = Clock()) -> Replacement:
    """Replace a tunnel and wait until it is up. In check mode only say what would be done.

    A tunnel that is up, or comes up while it is waited for that it has been down long enough, is left as it is unless
    the wish says otherwise. VpnhaError when it cannot be done, may not be done yet, or the tunnel does not come up.
    """
    connection, tunnel = _look(client, wish)
    began = clock.now()
    while tunnel is not None and not is_up(tunnel):
        since = tunnel.telemetry.since_wall
        down = clock.now() - began if since is None else max(0.0, clock.wall() - since)
        if down >= wish.down_seconds:
            break
        # refused at once where it would be in the end, instead of after the wait
        last = last_replacement(connection)
        refuse(connection.tunnels, tunnel, wish, last, clock.wall())
        if check:
            return _too_early(wish, tunnel, down, last)
        clock.sleep(POLL_SECONDS)
        connection, tunnel = _look(client, wish)
    last = last_replacement(connection)
    shown = _shown(last)
    if tunnel is None or (is_up(tunnel) and not wish.also_when_up):
        status = tunnel.telemetry.status if tunnel else None
        which = f"{tunnel.address} of {wish.connection} is" if tunnel else f"All tunnels of {wish.connection} are"
        address = tunnel.address if tunnel else None
        text = f"{which} up; nothing is replaced."
        return Replacement(wish.connection, address, False, status, status, shown, text=text)
    refuse(connection.tunnels, tunnel, wish, last, clock.wall())
    before = tunnel.telemetry.status
    name = f"{tunnel.address} of {wish.connection}"
    if check:
        text = f"{name} would be replaced."
        return Replacement(wish.connection, tunnel.address, True, before, UP, shown, text=text)
    now = tags.format_time(clock.wall())
    mark = tags.to_list({tags.TUNNEL_REPLACED: tags.format_mark(tunnel=tunnel.address, at=now)})
    ec2.call(f"tagging {wish.connection}", partial(client.create_tags, Resources=[wish.connection], Tags=mark))
    called = clock.now()
    try:
        with ec2.telling(f"replacing the tunnel {name}"):
            client.replace_vpn_tunnel(
                VpnConnectionId=wish.connection,
                VpnTunnelOutsideIpAddress=tunnel.address,
                ApplyPendingMaintenance=wish.apply_maintenance,
            )
    except Ec2Error as error:
        if error.applied is not False:  # it may be under way
            raise
        told = _take_back(client, connection)
        raise VpnhaError(f"{str(error).rstrip('.')}. {told}" if told else str(error)) from error
    text, after = f"{name} is being replaced.", None
    if wish.wait_seconds:
        after = _await(client, tunnel, wish, called + wish.wait_seconds, clock).telemetry.status
        text = f"{name} was replaced, and is up after {clock.now() - called:.0f} s."
    seconds = round(clock.now() - called, 1)
    return Replacement(wish.connection, tunnel.address, True, before, after, now, seconds, text)


def _shown(last: float | None) -> str | None:
    return tags.format_time(last) if last is not None else None


def _too_early(wish: Wish, tunnel: ManagedTunnel, down: float, last: float | None) -> Replacement:
    """What check mode says instead of waiting."""
    text = (
        f"{tunnel.address} of {wish.connection} has been down for {down:.0f} s and would be replaced after "
        f"{wish.down_seconds:.0f} s, should it not come up before."
    )
    status = tunnel.telemetry.status
    return Replacement(wish.connection, tunnel.address, False, status, status, _shown(last), text=text)


def _look(client: Any, wish: Wish) -> tuple[ManagedConnection, ManagedTunnel | None]:
    """The connection, and the tunnel that is meant; VpnhaError when the connection is not in a state for that."""
    connection = read(client, wish.connection)
    if connection.ec2_state != "available":
        raise VpnhaError(f"The VPN connection {wish.connection} is {connection.ec2_state}; it must be available.")
    return connection, choose(connection.tunnels, wish)


def _take_back(client: Any, before: ManagedConnection) -> str:
    """Has the tag say what it said before, as nothing was replaced. A sentence where that fails."""
    earlier = dict(before.tags).get(tags.TUNNEL_REPLACED)
    try:
        if earlier is None:
            marks.clear_tag(client, [before.id], tags.TUNNEL_REPLACED)
        else:
            marks.set_tag(client, [before.id], tags.TUNNEL_REPLACED, earlier)
    except Ec2Error as error:
        return f"The tag {tags.TUNNEL_REPLACED} says that it was replaced, so remove it yourself: {error}"
    return ""


def _await(client: Any, before: ManagedTunnel, wish: Wish, until: float, clock: Clock) -> ManagedTunnel:
    """The tunnel once it is up with its new endpoint; VpnhaError when it is not in time."""
    while True:
        connection = read(client, wish.connection)  # which may be "modifying" meanwhile
        now = next((tunnel for tunnel in connection.tunnels if tunnel.address == before.address), None)
        # what was up before is up with its new endpoint only after its status has changed
        changed = now is not None and now.telemetry.since_wall != before.telemetry.since_wall
        if now is not None and is_up(now) and (changed or not is_up(before)):
            return now
        if clock.now() >= until:
            status = now.telemetry.status if now else "gone"
            said = f" ({now.telemetry.message})" if now and now.telemetry.message else ""
            raise VpnhaError(
                f"The tunnel {before.address} of {wish.connection} was replaced, and is {status}{said} after "
                f"{wish.wait_seconds:.0f} s: see that the customer gateway initiates it anew."
            )
        clock.sleep(POLL_SECONDS)
