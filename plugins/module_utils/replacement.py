# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's instance thrown away, and another one launched from the gateway's launch template.

The template names everything, the gateway's interface among it: so who launches has nothing to choose, and EC2 refuses
a second instance as long as one has the interface.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from . import ec2, ec2_view, tags
from .errors import VpnhaError
from .power import POLL_SECONDS, Power


def terminate(client: Any, gateway: str, instance_id: str) -> None:
    """Ask EC2 to throw an instance away. Raises Ec2Error."""
    ec2.call(
        f"terminate of the instance of gateway {gateway}",
        partial(client.terminate_instances, InstanceIds=[instance_id]),
    )


def launch(client: Any, gateway: str, template: str, token: str) -> str:
    """Launch from a template; the id of the instance. The same token never makes a second one. Raises Ec2Error."""
    request = {"LaunchTemplate": {"LaunchTemplateName": template}, "MinCount": 1, "MaxCount": 1, "ClientToken": token}
    made = ec2.call(f"launch of an instance for gateway {gateway}", partial(client.run_instances, **request))
    return str(made["Instances"][0]["InstanceId"]) if made else ""


def replace(
    client: Any,
    *,
    deployment: str,
    gateway: str,
    wait_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Power:
    """Replace a gateway's instance, which may be gone already, and wait at most so long until the new one runs.

    VpnhaError when it cannot be done or takes longer.
    """
    until = clock() + wait_seconds
    instance_id, before, eni = find(client, deployment, gateway)
    template = tags.launch_template(deployment, gateway)
    require_template(client, template)
    if eni.get("Attachment", {}).get("DeleteOnTermination"):
        raise VpnhaError(
            f"The interface {eni['NetworkInterfaceId']} of gateway {gateway} would be deleted with its instance; "
            "set DeleteOnTermination of its attachment to false."
        )

    def reach(what: str, reached: Callable[[str | None, str, Any], bool]) -> str | None:
        while True:
            now_id, state, shown = find(client, deployment, gateway)
            if reached(now_id, state, shown):
                return now_id
            if clock() >= until:
                raise VpnhaError(f"The instance of gateway {gateway} is {state}, and {what} in time.")
            sleep(POLL_SECONDS)

    called = time.time()
    if instance_id is not None and before != "shutting-down":
        terminate(client, gateway, instance_id)
    reach("its interface did not become free", lambda one, _state, shown: one is None and free(shown))
    token = f"{eni['NetworkInterfaceId']}-{instance_id or f'{called:.0f}'}"
    made = launch(client, gateway, template, token)
    answered = time.time()
    reach(f"{made} did not become running", lambda one, state, _shown: one == made and state == "running")
    return Power(made, before, "running", called, answered)


def find(client: Any, deployment: str, gateway: str) -> tuple[str | None, str, Any]:
    """A gateway's instance, its state ("absent" without one) and its interface. VpnhaError without an interface."""
    mine = tags.filters(deployment, **{tags.GATEWAY: gateway})
    doing = f"finding the interface of gateway {gateway}"
    enis = ec2.pages(client, "describe_network_interfaces", "NetworkInterfaces", doing, Filters=mine)
    if len(enis) != 1:
        raise VpnhaError(
            f"Gateway {gateway} of deployment {deployment} should have one network interface with the tags "
            f"{tags.DEPLOYMENT} and {tags.GATEWAY}, but there are {len(enis)}; run the deploy playbook."
        )
    instances = ec2_view.read_instances(client, mine)
    if len(instances) > 1:
        found = ", ".join(sorted(str(one["InstanceId"]) for one in instances))
        raise VpnhaError(f"Gateway {gateway} has several instances ({found}); terminate all but one, or mend the tags.")
    if not instances:
        return None, "absent", enis[0]
    return str(instances[0]["InstanceId"]), str(instances[0]["State"]["Name"]), enis[0]


def free(eni: Any) -> bool:
    """Whether no instance has an interface."""
    return eni.get("Status") == "available" and "Attachment" not in eni


def require_template(client: Any, template: str) -> None:
    """VpnhaError without the launch template, before anything is thrown away."""
    doing = f"looking for the launch template {template}"
    found = ec2.pages(
        client, "describe_launch_templates", "LaunchTemplates", doing,
        Filters=[{"Name": "launch-template-name", "Values": [template]}],
    )  # fmt: skip
    if not found:
        raise VpnhaError(
            f"There is no launch template {template} to replace the instance from: set vpnha_repair to replace, "
            "and run the deploy playbook first."
        )
