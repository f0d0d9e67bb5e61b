# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed tunnel replaced: when it is done, when it is refused, and what a person is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ansible_collections.vpnha.aws.plugins.module_utils import managed_tunnel
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.managed_tunnel import Clock, Replacement, Wish
from ansible_collections.vpnha.aws.plugins.module_utils.tags import TUNNEL_REPLACED, format_time

VPN, ONE, TWO = "vpn-1", "203.0.113.10", "203.0.113.20"
NOW = 1_800_000_000.0
HOUR = 3600.0


class Ec2:
    """One connection, whose tunnel comes back so many seconds after it was replaced."""

    def __init__(self, one: str = "DOWN", two: str = "UP", back_after: float = 60.0) -> None:
        self.status = {ONE: one, TWO: two}
        self.changed = dict.fromkeys(self.status, NOW - HOUR)
        self.tags: dict[str, str] = {"Name": "hq"}
        self.state = "available"
        self.now = 0.0
        self.back_after = back_after
        self.back_at: dict[str, float] = {}
        self.calls: list[str] = []

    def describe_vpn_connections(self, VpnConnectionIds: list[str]) -> dict[str, Any]:
        if VpnConnectionIds != [VPN]:
            raise ClientError({"Error": {"Code": "InvalidVpnConnectionID.NotFound", "Message": "no such"}}, "Describe")
        for address, at in self.back_at.items():
            if self.now >= at:
                self.status[address], self.changed[address] = "UP", NOW + at
        telemetry = [
            {
                "OutsideIpAddress": address,
                "Status": status,
                "StatusMessage": "" if status == "UP" else "IPSEC IS DOWN",
                "LastStatusChange": datetime.fromtimestamp(self.changed[address], UTC),
            }
            for address, status in self.status.items()
        ]
        shown = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return {
            "VpnConnections": [{"VpnConnectionId": VPN, "State": self.state, "VgwTelemetry": telemetry, "Tags": shown}]
        }

    def create_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        assert Resources == [VPN]
        self.calls.append("tag")
        self.tags |= {tag["Key"]: tag["Value"] for tag in Tags}

    def delete_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        assert Resources == [VPN]
        for tag in Tags:
            del self.tags[tag["Key"]]

    def replace_vpn_tunnel(self, **request: Any) -> None:
        self.calls.append("replace")
        self.request = request
        self.state = "modifying"
        self.back_at[request["VpnTunnelOutsideIpAddress"]] = self.now + self.back_after

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def replace(ec2: Ec2, *, check: bool = False, wall: float = NOW, **wish: Any) -> Replacement:
    clock = Clock(lambda: wall + ec2.now, lambda: ec2.now, ec2.sleep)
    return managed_tunnel.replace(ec2, Wish(VPN, **wish), check=check, clock=clock)


@pytest.fixture
def refused() -> Callable[..., str]:
    """Replaces, expects a refusal before any change, and returns its sentence."""

    def call(ec2: Ec2, **given: Any) -> str:
        with pytest.raises(VpnhaError) as caught:
            replace(ec2, **given)
        assert ec2.calls == []
        return str(caught.value)

    return call


def test_the_tunnel_that_is_down_is_replaced_and_waited_for() -> None:
    ec2 = Ec2()
    done = replace(ec2)
    assert ec2.calls == ["tag", "replace"]
    assert ec2.request == {
        "VpnConnectionId": VPN, "VpnTunnelOutsideIpAddress": ONE, "ApplyPendingMaintenance": False
    }  # fmt: skip
    assert done == Replacement(
        VPN, ONE, True, "DOWN", "UP", format_time(NOW), 60.0, f"{ONE} of {VPN} was replaced, and is up after 60 s."
    )
    assert ec2.tags[TUNNEL_REPLACED] == f"tunnel={ONE} at={format_time(NOW)}"


def test_nothing_is_replaced_while_all_are_up() -> None:
    for wish in ({}, {"tunnel": ONE}):
        ec2 = Ec2(one="UP")
        assert not replace(ec2, **wish).replaced
        assert ec2.calls == []


def test_a_named_tunnel_that_came_back_is_left_though_the_other_is_down() -> None:
    ec2 = Ec2(one="UP", two="DOWN")
    assert replace(ec2, tunnel=ONE).text == f"{ONE} of {VPN} is up; nothing is replaced."
    assert ec2.calls == []


def test_the_last_tunnel_that_is_up_is_never_replaced(refused: Callable[..., str]) -> None:
    both = refused(Ec2(two="DOWN"))
    assert both.startswith(f"No other tunnel of {VPN} is up ({ONE} DOWN, {TWO} DOWN)")
    last = refused(Ec2(one="UP", two="DOWN"), tunnel=ONE, also_when_up=True)
    assert last.startswith(f"No other tunnel of {VPN} is up ({ONE} UP, {TWO} DOWN)")


def test_two_replacements_of_a_connection_lie_apart_whichever_tunnel_it_was(refused: Callable[..., str]) -> None:
    ec2 = Ec2()
    replace(ec2)
    ec2.status, ec2.state, ec2.back_at, ec2.calls = {ONE: "UP", TWO: "DOWN"}, "available", {}, []
    ec2.now = 0.0
    said = refused(ec2, wall=NOW + 24 * HOUR - 1)
    assert f"was replaced at {format_time(NOW)}, and the next may be at {format_time(NOW + 24 * HOUR)}" in said
    assert replace(ec2, wall=NOW + 24 * HOUR).tunnel == TWO
    assert ec2.tags[TUNNEL_REPLACED] == f"tunnel={TWO} at={format_time(NOW + 24 * HOUR)}"


def test_a_clock_that_went_back_only_delays_the_next_one(refused: Callable[..., str]) -> None:
    ec2 = Ec2()
    ec2.tags[TUNNEL_REPLACED] = f"tunnel={ONE} at={format_time(NOW + HOUR)}"
    assert "the next may be at" in refused(ec2)


@pytest.mark.parametrize("value", ["", "yesterday", "tunnel=203.0.113.10", "tunnel=203.0.113.10 at=soon"])
def test_a_tag_that_cannot_be_read_is_no_leave(value: str, refused: Callable[..., str]) -> None:
    ec2 = Ec2()
    ec2.tags[TUNNEL_REPLACED] = value
    assert f'not "{value}"; no tunnel is replaced until it is mended or removed' in refused(ec2)


def test_what_does_not_come_back_is_told_and_counts_all_the_same() -> None:
    ec2 = Ec2(back_after=1e9)
    with pytest.raises(VpnhaError) as caught:
        replace(ec2, wait_seconds=600)
    assert str(caught.value) == (
        f"The tunnel {ONE} of {VPN} was replaced, and is DOWN (IPSEC IS DOWN) after 600 s: see that the customer "
        "gateway initiates it anew."
    )
    assert 600 <= ec2.now <= 610
    assert TUNNEL_REPLACED in ec2.tags


class Refusing(Ec2):
    """Answers with an error instead of replacing."""

    code = "IncorrectState"

    def replace_vpn_tunnel(self, **request: Any) -> None:
        raise ClientError({"Error": {"Code": self.code, "Message": "it is busy"}}, "ReplaceVpnTunnel")


@pytest.mark.parametrize("earlier", [None, f"tunnel={TWO} at={format_time(NOW - 25 * HOUR)}"])
def test_a_refusal_of_ec2_is_told_and_counts_as_no_replacement(earlier: str | None) -> None:
    ec2 = Refusing()
    if earlier:
        ec2.tags[TUNNEL_REPLACED] = earlier
    before = dict(ec2.tags)
    with pytest.raises(VpnhaError) as caught:
        replace(ec2)
    assert str(caught.value) == f"replacing the tunnel {ONE} of {VPN}: IncorrectState: it is busy"
    assert ec2.tags == before


def test_what_may_be_under_way_counts() -> None:
    ec2 = Refusing()
    ec2.code = "InternalError"
    with pytest.raises(VpnhaError, match="InternalError: it is busy"):
        replace(ec2)
    assert ec2.tags[TUNNEL_REPLACED] == f"tunnel={ONE} at={format_time(NOW)}"


def test_a_tag_that_could_not_be_taken_back_is_told() -> None:
    class Forbidding(Refusing):
        def delete_tags(self, **_request: Any) -> None:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "DeleteTags")

    with pytest.raises(VpnhaError) as caught:
        replace(Forbidding())
    assert str(caught.value) == (
        f"replacing the tunnel {ONE} of {VPN}: IncorrectState: it is busy. "
        f"The tag {TUNNEL_REPLACED} says that it was replaced, so remove it yourself: "
        f"clearing the tag {TUNNEL_REPLACED}: UnauthorizedOperation: the credentials lack a permission: no"
    )


def test_a_tunnel_that_was_up_is_up_again_only_after_its_status_changed() -> None:
    ec2 = Ec2(one="UP", back_after=90.0)
    done = replace(ec2, tunnel=ONE, also_when_up=True, apply_maintenance=True)
    assert ec2.request["ApplyPendingMaintenance"] is True
    assert done.after == "UP" and done.seconds == 90.0


def test_a_tunnel_is_replaced_only_after_it_has_been_down_for_long() -> None:
    ec2 = Ec2(back_after=60.0)
    ec2.changed[ONE] = NOW - 300
    done = replace(ec2, down_seconds=900)
    assert done.replaced and done.last_replaced == format_time(NOW + 600)
    assert done.seconds == 60.0  # what was waited for before is not counted


def test_a_tunnel_that_comes_up_meanwhile_is_left() -> None:
    ec2 = Ec2()
    ec2.changed[ONE] = NOW
    ec2.back_at[ONE] = 600.0
    assert not replace(ec2, down_seconds=900).replaced
    assert ec2.calls == [] and ec2.now == 600.0


def test_what_will_be_refused_is_refused_without_waiting(refused: Callable[..., str]) -> None:
    ec2 = Ec2(two="DOWN")
    ec2.changed[ONE] = NOW
    assert "No other tunnel" in refused(ec2, down_seconds=900)
    assert ec2.now == 0.0


def test_another_tunnel_that_goes_down_meanwhile_ends_it(refused: Callable[..., str]) -> None:
    class Worse(Ec2):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.status[TWO] = "DOWN"

    ec2 = Worse()
    ec2.changed[ONE] = NOW
    assert "No other tunnel" in refused(ec2, down_seconds=900)


def test_without_waiting_nothing_is_said_of_afterwards() -> None:
    ec2 = Ec2()
    done = replace(ec2, wait_seconds=0)
    assert (done.replaced, done.after, ec2.now) == (True, None, 0.0)


def test_check_mode_changes_nothing() -> None:
    ec2 = Ec2()
    assert replace(ec2, check=True).replaced
    assert ec2.calls == []


def test_check_mode_does_not_say_that_a_tunnel_which_has_just_gone_down_would_be_replaced() -> None:
    ec2 = Ec2()
    ec2.changed[ONE] = NOW - 300
    would = replace(ec2, check=True, down_seconds=900)
    assert would == Replacement(
        VPN, ONE, False, "DOWN", "DOWN", None,
        text=f"{ONE} of {VPN} has been down for 300 s and would be replaced after 900 s, should it not come up before.",
    )  # fmt: skip
    assert ec2.calls == [] and ec2.now == 0.0
    ec2.changed[ONE] = NOW - 900
    assert replace(ec2, check=True, down_seconds=900).replaced


def test_what_is_not_there_is_told(refused: Callable[..., str]) -> None:
    ec2 = Ec2()
    assert refused(ec2, tunnel="192.0.2.1") == f"192.0.2.1 is no tunnel of {VPN}; its tunnels are {ONE}, {TWO}."
    ec2.state = "pending"
    assert refused(ec2) == f"The VPN connection {VPN} is pending; it must be available."
    with pytest.raises(VpnhaError, match="reading the VPN connections: InvalidVpnConnectionID"):
        managed_tunnel.replace(Ec2(), Wish("vpn-2"))
