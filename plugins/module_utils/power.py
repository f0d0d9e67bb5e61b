# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's instance switched off and on: as an orderly shutdown, or as if its power were cut."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import tags
from .ec2 import pages, telling
from .errors import VpnhaError

RUNNING, STOPPED, CUT = "running", "stopped", "power_cut"
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Power:
    """An instance before and after; wall times of the call that changed it, None where no call was needed."""

    instance_id: str
    before: str  # EC2's words for its state
    after: str
    called_wall: float | None = None
    answered_wall: float | None = None

    @property
    def changed(self) -> bool:
        """Whether a call was made."""
        return self.called_wall is not None


def find(client: Any, deployment: str, gateway: str) -> tuple[str, str]:
    """Id and state of a gateway's instance; VpnhaError unless there is exactly one."""
    filters = [
        *tags.filters(deployment, **{tags.GATEWAY: gateway}),
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    doing = f"finding the instance of gateway {gateway}"
    reservations = pages(client, "describe_instances", "Reservations", doing, Filters=filters)
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    if len(instances) != 1:
        found = ", ".join(sorted(instance["InstanceId"] for instance in instances)) or "none"
        raise VpnhaError(
            f"Gateway {gateway} of deployment {deployment} should have one instance with the tags "
            f"{tags.DEPLOYMENT} and {tags.GATEWAY}, but there are {len(instances)} ({found}); mend the tags."
        )
    return instances[0]["InstanceId"], instances[0]["State"]["Name"]


def planned(state: str, wanted: str) -> bool:
    """Whether an instance in ``state`` needs a call to get where it is wanted."""
    if wanted == RUNNING:
        return state not in ("running", "pending")
    return state not in ("stopped", "stopping")


def switch(
    client: Any,
    *,
    deployment: str,
    gateway: str,
    wanted: str,
    wait_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Power:
    """Bring a gateway's instance to ``wanted``, and wait at most so long until EC2 says so (0: do not wait).

    An instance that is still stopping is waited for in any case before it is started. VpnhaError when it cannot be
    done or takes longer.
    """
    until = clock() + wait_seconds

    def reach(aim: str) -> str:
        while True:
            now = find(client, deployment, gateway)[1]
            if now == aim:
                return now
            if clock() >= until:
                raise VpnhaError(f"The instance of gateway {gateway} is {now} and did not become {aim} in time.")
            sleep(POLL_SECONDS)

    instance, before = find(client, deployment, gateway)
    state, called, answered = before, None, None
    if planned(state, wanted):
        if wanted == RUNNING and state == "stopping":
            state = reach("stopped")
        request = {"InstanceIds": [instance]}
        if wanted == CUT:
            require_power_cut(client)
        called = time.time()
        with telling(f"switching the instance of gateway {gateway} to {wanted}"):
            if wanted == RUNNING:
                state = client.start_instances(**request)["StartingInstances"][0]["CurrentState"]["Name"]
            else:
                cut = {"Force": True, "SkipOsShutdown": True} if wanted == CUT else {}
                state = client.stop_instances(**request, **cut)["StoppingInstances"][0]["CurrentState"]["Name"]
        answered = time.time()
    if wait_seconds > 0:
        state = reach("running" if wanted == RUNNING else "stopped")
    return Power(instance, before, state, called, answered)


def require_power_cut(client: Any) -> None:
    """VpnhaError when the botocore at hand is too old to ask EC2 for a stop without a shutdown."""
    shape = client.meta.service_model.operation_model("StopInstances").input_shape
    if "SkipOsShutdown" not in shape.members:
        raise VpnhaError(
            "This botocore does not know SkipOsShutdown of StopInstances; install a newer boto3 and botocore."
        )
