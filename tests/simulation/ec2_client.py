# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of EC2 behind boto3's calls, as far as swaps and repairs make them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from ansible_collections.vpnha.aws.plugins.module_utils import tags
from ansible_collections.vpnha.aws.plugins.module_utils.model import RouteKey

from .ec2_model import Ec2Model

ERRORS = {"throttle": "RequestLimitExceeded", "error": "InternalError"}
# call: (states from which it acts, states in which there is nothing left to do)
POWER = {
    "reboot": (("running",), ()),
    "start": (("stopped",), ("pending", "running")),
    "stop": (("pending", "running"), ("stopping", "stopped")),
    "power-cut": (("pending", "running", "stopping"), ("stopped",)),
    "terminate": (("pending", "running", "stopping", "stopped"), ("shutting-down",)),
}


def _power_cut_known(_operation: str) -> Any:
    return SimpleNamespace(input_shape=SimpleNamespace(members=("Force", "SkipOsShutdown")))


class Ec2Client:
    """``clock`` tells the virtual time; ``power`` does to a gateway what a call asks for."""

    meta = SimpleNamespace(service_model=SimpleNamespace(operation_model=_power_cut_known))

    def __init__(self, model: Ec2Model, clock: Callable[[], float], power: Callable[[str, str], None]) -> None:
        self._model, self._clock, self._power = model, clock, power

    def replace_route(self, **given: str) -> None:
        """As EC2 does."""
        table, eni_id, other = (
            given.pop("RouteTableId"),
            given.pop("NetworkInterfaceId", ""),
            given.pop("GatewayId", ""),
        )
        [destination] = given.values()
        self._change("ReplaceRoute", lambda: self._replace(RouteKey(table, destination), eni_id, other))

    def describe_route_tables(self, *, Filters: list[dict[str, Any]], MaxResults: int) -> dict[str, Any]:
        """The tables of a filter by id, perhaps as they were."""
        [wanted] = [one["Values"] for one in Filters if one["Name"] == "route-table-id"]
        assert len(wanted) <= MaxResults
        view = self._model.read(self._clock())
        if view is None:
            raise ReadTimeoutError(endpoint_url="the model")
        tables: dict[str, list[dict[str, str]]] = {}
        for key, route in view.routes.items():
            if key.table_id in wanted:
                target = {"NetworkInterfaceId": route.eni_id} if route.eni_id else {"GatewayId": route.target}
                tables.setdefault(key.table_id, []).append({"DestinationCidrBlock": key.destination, **target})
        return {"RouteTables": [{"RouteTableId": table, "Routes": routes} for table, routes in tables.items()]}

    def create_tags(self, *, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        """The tag of a repair: the only one that a monitor writes."""
        [eni_id], [tag] = Resources, Tags
        assert tag["Key"] == tags.REPAIR

        def apply() -> None:
            if eni_id not in {one.eni_id for one in self._model.truth.instances.values()}:
                raise refusal("CreateTags", "InvalidNetworkInterfaceID.NotFound")
            self._model.mark_repair(self._clock(), eni_id, tag["Value"])

        self._change("CreateTags", apply)

    def stop_instances(self, *, InstanceIds: list[str], Force: bool = False, SkipOsShutdown: bool = False) -> None:
        """An orderly shutdown, or the power is cut."""
        self._switch("StopInstances", "power-cut" if Force and SkipOsShutdown else "stop", InstanceIds)

    def start_instances(self, *, InstanceIds: list[str]) -> None:
        """Power on."""
        self._switch("StartInstances", "start", InstanceIds)

    def reboot_instances(self, *, InstanceIds: list[str]) -> None:
        """Off and on again."""
        self._switch("RebootInstances", "reboot", InstanceIds)

    def terminate_instances(self, *, InstanceIds: list[str]) -> None:
        """Off for good."""
        self._switch("TerminateInstances", "terminate", InstanceIds)

    def run_instances(self, *, LaunchTemplate: dict[str, str], ClientToken: str, **_counts: int) -> None:
        """Another instance with a gateway's interface; the same token makes no second one."""
        template, model = LaunchTemplate["LaunchTemplateName"], self._model
        [name] = [
            one.name for one in model.plan.gateways if tags.launch_template(model.plan.name, one.name) == template
        ]

        def apply() -> None:
            if ClientToken in model.launched:
                return
            if model.full:
                raise refusal("RunInstances", "InsufficientInstanceCapacity")
            if not model.truth.instances[name].eni_free:
                raise refusal("RunInstances", "InvalidNetworkInterface.InUse")
            model.launched.add(ClientToken)
            self._power("launch", name)

        self._change("RunInstances", apply)

    # --- inside -------------------------------------------------------------------------------------------

    def _change(self, operation: str, apply: Callable[[], None]) -> None:
        """A call that changes something, in the weather of the moment."""
        weather = self._model.weather()
        if weather in ERRORS:
            raise refusal(operation, ERRORS[weather])
        if weather != "timeout, not applied":
            apply()
        if weather.startswith("timeout"):
            raise ReadTimeoutError(endpoint_url="the model")

    def _replace(self, key: RouteKey, eni_id: str, vpn_gateway: str) -> None:
        truth = self._model.truth
        if eni_id and eni_id not in {instance.eni_id for instance in truth.instances.values()}:
            raise refusal("ReplaceRoute", "InvalidNetworkInterfaceID.NotFound")
        if vpn_gateway and vpn_gateway not in truth.managed.values():
            raise refusal("ReplaceRoute", "InvalidVpnGatewayID.NotFound")
        if key not in truth.routes:
            raise refusal("ReplaceRoute", "InvalidParameterValue")
        if vpn_gateway:
            self._model.point_managed(self._clock(), key, vpn_gateway)
        else:
            self._model.point(self._clock(), key, eni_id)

    def _switch(self, operation: str, call: str, ids: list[str]) -> None:
        acts, settled = POWER[call]

        def apply() -> None:
            found = [name for name, one in self._model.truth.instances.items() if one.instance_id in ids]
            if not found:
                raise refusal(operation, "InvalidInstanceID.NotFound")
            [name] = found
            state = self._model.truth.instances[name].state
            if state not in (*acts, *settled):
                raise refusal(operation, "IncorrectInstanceState")
            if call == "start" and state in acts and self._model.full:
                raise refusal(operation, "InsufficientInstanceCapacity")
            if state in acts:
                self._power(call, name)

        self._change(operation, apply)


def refusal(operation: str, code: str) -> ClientError:
    """An error as EC2 answers it."""
    return ClientError({"Error": {"Code": code, "Message": "as the model has it"}}, operation)
