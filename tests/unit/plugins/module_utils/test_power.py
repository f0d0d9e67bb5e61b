# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's instance off and on, against an EC2 that is played."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import power
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from tests.unit.fake_clock import Clock


class Shape:
    def __init__(self, members: tuple[str, ...]) -> None:
        self.members = dict.fromkeys(members)


class Played:
    """As much of an EC2 client as is needed: one instance, whose states come one at each look."""

    def __init__(self, *states: str, members: tuple[str, ...] = ("InstanceIds", "Force", "SkipOsShutdown")) -> None:
        self.states = list(states)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.count = 1
        self.meta = self
        self.service_model = self
        self.input_shape = Shape(members)

    def operation_model(self, _name: str) -> Played:
        return self

    def describe_instances(self, **_filters: Any) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        one = {"InstanceId": "i-1", "State": {"Name": state}}
        return {"Reservations": [{"Instances": [one] * self.count}]}

    def stop_instances(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(("stop", arguments))
        return {"StoppingInstances": [{"CurrentState": {"Name": "stopping"}}]}

    def start_instances(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(("start", arguments))
        return {"StartingInstances": [{"CurrentState": {"Name": "pending"}}]}


def switch(client: Played, wanted: str, wait_seconds: float = 10.0) -> power.Power:
    clock = Clock()
    return power.switch(
        client,
        deployment="lab",
        gateway="gw-a",
        wanted=wanted,
        wait_seconds=wait_seconds,
        clock=clock,
        sleep=clock.sleep,
    )


def test_a_power_cut_asks_for_no_shutdown() -> None:
    client = Played("running")
    done = switch(client, power.CUT, wait_seconds=0.0)
    assert client.calls == [("stop", {"InstanceIds": ["i-1"], "Force": True, "SkipOsShutdown": True})]
    assert (done.changed, done.before, done.after) == (True, "running", "stopping")


def test_an_orderly_stop_forces_nothing() -> None:
    client = Played("running")
    switch(client, power.STOPPED, wait_seconds=0.0)
    assert client.calls == [("stop", {"InstanceIds": ["i-1"]})]


@pytest.mark.parametrize(
    ("state", "wanted"), [("running", power.RUNNING), ("stopped", power.STOPPED), ("stopped", power.CUT)]
)
def test_what_is_so_already_needs_no_call(state: str, wanted: str) -> None:
    client = Played(state)
    assert not switch(client, wanted).changed
    assert client.calls == []


def test_an_instance_that_is_still_stopping_is_started_once_it_has_stopped() -> None:
    client = Played("stopping", "stopping", "stopped", "pending", "running")
    done = switch(client, power.RUNNING)
    assert client.calls == [("start", {"InstanceIds": ["i-1"]})]
    assert (done.before, done.after) == ("stopping", "running")


def test_waiting_has_an_end() -> None:
    with pytest.raises(VpnhaError, match="is stopping and did not become stopped in time"):
        switch(Played("running", "stopping"), power.STOPPED)


def test_an_old_botocore_is_told_before_anything_is_called() -> None:
    client = Played("running", members=("InstanceIds", "Force"))
    with pytest.raises(VpnhaError, match="does not know SkipOsShutdown"):
        switch(client, power.CUT)
    assert client.calls == []


@pytest.mark.parametrize("count", [0, 2])
def test_anything_but_one_instance_is_refused(count: int) -> None:
    client = Played("running")
    client.count = count
    with pytest.raises(VpnhaError, match=f"but there are {count}"):
        switch(client, power.STOPPED)
    assert client.calls == []
