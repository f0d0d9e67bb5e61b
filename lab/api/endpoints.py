# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC endpoints as EC2 has them: what they refuse, and that they take a while to come and to go.

Nobody answers at their addresses: the lab's hosts have its endpoint's URL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from lab.api.mends import refuse

OFFERED = {  # by moto only with all of its services installed
    **dict.fromkeys(("ec2", "sts", "monitoring", "sns", "sqs", "secretsmanager", "ssm"), ("Interface",)),
    "dynamodb": ("Gateway", "Interface"),
}
READS = 2  # an endpoint that was made or deleted is on its way until it is read so many times


def apply() -> None:
    """Mend moto, which does not know by what endpoints are found."""
    from moto.ec2.models.vpcs import VPCEndPoint

    found_by = VPCEndPoint.get_filter_value

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        known = {"vpc-id": self.vpc_id, "vpc-endpoint-id": self.id, "service-name": self.service_name}
        return known[filter_name] if filter_name in known else found_by(self, filter_name, method_name)

    VPCEndPoint.get_filter_value = get_filter_value
    VPCEndPoint.unread = 0


class EndpointActions(EC2Response):  # type: ignore[misc]
    """The overridden actions; each answers like moto's method of the same name."""

    def create_vpc_endpoint(self) -> ActionResult:
        kind, name = self._get_param("VpcEndpointType") or "Gateway", self._get_param("ServiceName")
        vpc = self.ec2_backend.get_vpc(self._get_param("VpcId"))
        if kind not in OFFERED.get(name.removeprefix(f"com.amazonaws.{self.region}."), ()):
            refuse("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")
        if kind == "Gateway":
            self._require_unrouted(name, self._get_param("RouteTableIds", []))
            made = super().create_vpc_endpoint().result["VpcEndpoint"]
        else:
            made = self._interface(vpc, name)
        made.state, made.unread = "pending", READS
        return ActionResult({"VpcEndpoint": made})

    def modify_vpc_endpoint(self) -> ActionResult:
        one = self._endpoint()
        named = {
            what: (self._get_param(f"Add{what}", []), self._get_param(f"Remove{what}", []))
            for what in ("SubnetIds", "SecurityGroupIds", "RouteTableIds")
        }
        self._require_zones([each for each in one.subnet_ids or [] if each not in named["SubnetIds"][1]], named)
        self._require_unrouted(one.service_name, named["RouteTableIds"][0])
        if self._get_bool_param("PrivateDnsEnabled", False):
            self._require_dns(self.ec2_backend.get_vpc(one.vpc_id), one.service_name, but=one.id)
            one.private_dns_enabled = True
        result = super().modify_vpc_endpoint()
        self._route(one, named["RouteTableIds"][0])
        self._unroute(one, named["RouteTableIds"][1])
        enis = [self.ec2_backend.enis[each] for each in one.network_interface_ids]
        for eni in (eni for eni in enis if eni.subnet.id in named["SubnetIds"][1]):
            one.network_interface_ids.remove(eni.id)
            del self.ec2_backend.enis[eni.id]
        self._plug(one, named["SubnetIds"][0])
        for each in one.network_interface_ids:
            self.ec2_backend.enis[each]._group_set = self._groups(one)
        return result

    def delete_vpc_endpoints(self) -> ActionResult:
        failed = []
        for asked in self._get_param("VpcEndpointIds", []):
            one = self.ec2_backend.vpc_end_points.get(asked)
            if one is None:
                why = {"Code": "InvalidVpcEndpointId.NotFound", "Message": f"The endpoint '{asked}' does not exist"}
                failed.append({"ResourceId": asked, "Error": why})
            elif one.state != "deleting":
                self._unroute(one, one.route_table_ids or [])
                one.state, one.unread = "deleting", READS
        return ActionResult({"Unsuccessful": failed})

    def describe_vpc_endpoints(self) -> ActionResult:
        with self.lab.lock:
            for one in list(self.ec2_backend.vpc_end_points.values()):
                one.unread = max(0, one.unread - 1)
                if one.unread == 0 and one.state == "pending":
                    one.state = "available"
                elif one.unread == 0 and one.state == "deleting":
                    for eni in one.network_interface_ids:
                        self.ec2_backend.enis.pop(eni, None)
                    del self.ec2_backend.vpc_end_points[one.id]
        return super().describe_vpc_endpoints()

    def describe_vpc_endpoint_services(self) -> ActionResult:
        zones = [zone.name for zone in self.ec2_backend.describe_availability_zones()]
        details = [
            {
                "ServiceName": f"com.amazonaws.{self.region}.{service}",
                "ServiceType": [{"ServiceType": kind}],
                "AvailabilityZones": zones,
                "Owner": "amazon",
            }
            for service, kinds in OFFERED.items()
            for kind in kinds
        ]
        names = sorted({str(each["ServiceName"]) for each in details})
        return ActionResult({"ServiceNames": names, "ServiceDetails": details})

    def _interface(self, vpc: Any, name: str) -> Any:
        from moto.ec2.models.vpcs import VPCEndPoint
        from moto.ec2.utils import add_tag_specification, random_vpc_ep_id

        subnets = self._get_param("SubnetIds", [])
        self._require_zones([], {"SubnetIds": (subnets, [])})
        private = self._get_bool_param("PrivateDnsEnabled", True)
        if private:
            self._require_dns(vpc, name)
        one = VPCEndPoint(
            self.ec2_backend, random_vpc_ep_id(), vpc.id, name, "Interface", self._get_param("PolicyDocument"), [],
            list(subnets), [], security_group_ids=self._get_param("SecurityGroupIds", []),
            tags=add_tag_specification(self._get_param("TagSpecifications", [])), private_dns_enabled=private,
        )  # fmt: skip
        self._groups(one)  # an unknown one is refused before anything is made
        self.ec2_backend.vpc_end_points[one.id] = one
        self._plug(one, subnets)
        return one

    def _plug(self, one: Any, subnets: Iterable[str]) -> None:
        """The endpoint's interfaces in these subnets."""
        for subnet in subnets:
            eni = self.ec2_backend.create_network_interface(
                subnet, None, description=f"VPC Endpoint Interface {one.id}"
            )
            eni._group_set = self._groups(one)
            one.network_interface_ids.append(eni.id)

    def _groups(self, one: Any) -> list[Any]:
        found = [self.ec2_backend.get_security_group_from_id(each) for each in one.security_group_ids]
        if None in found:
            refuse("InvalidGroup.NotFound", "The security group does not exist")
        return found

    def _route(self, one: Any, tables: Iterable[str]) -> None:
        for table in tables:
            self.ec2_backend.create_route(
                table, None, gateway_id=one.id, destination_prefix_list_id=one.destination_prefix_list_id
            )

    def _unroute(self, one: Any, tables: Iterable[str]) -> None:
        for table in tables:
            if table in self.ec2_backend.route_tables:
                self.ec2_backend.delete_route(table, one.destination_prefix_list_id)

    def _require_unrouted(self, name: str, tables: Iterable[str]) -> None:
        lists = {each.id for each in self.ec2_backend.managed_prefix_lists.values() if each.prefix_list_name == name}
        for table in map(self.ec2_backend.get_route_table, tables):
            if any(route.destination_prefix_list_id in lists for route in table.routes):
                refuse("RouteAlreadyExists", f"route table {table.id} already has a route for {name}")

    def _require_zones(self, kept: list[str], named: dict[str, tuple[list[str], list[str]]]) -> None:
        zones = [
            self.ec2_backend.get_subnet(each).availability_zone
            for each in dict.fromkeys([*kept, *named["SubnetIds"][0]])
        ]
        if len(set(zones)) < len(zones):
            refuse("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone")

    def _require_dns(self, vpc: Any, name: str, but: str = "") -> None:
        on = (vpc.enable_dns_support, vpc.enable_dns_hostnames)
        if not all(str(each).lower() == "true" for each in on):
            said = (
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true"
            )
            refuse("InvalidParameter", said)
        for one in self.ec2_backend.vpc_end_points.values():
            same = one.vpc_id == vpc.id and one.service_name == name and one.id != but
            if same and one.private_dns_enabled and one.vpc_endpoint_type == "Interface":
                said = "private-dns-enabled cannot be set because there is already a conflicting DNS domain in the VPC"
                refuse("InvalidParameter", said)

    def _endpoint(self) -> Any:
        endpoint_id = self._get_param("VpcEndpointId")
        one = self.ec2_backend.vpc_end_points.get(endpoint_id)
        if one is None:
            refuse("InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{endpoint_id}' does not exist")
        return one
