# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where moto is unlike EC2 in a way that would make a test lie: mended in place, one test for each.

``apply`` changes moto's classes for this process. Tried with moto 5.2.5, which is pinned.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import ipaddress
import uuid
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from lab.net.desired import is_vgw, leads_out, normal, route_eni
from lab.net.underlay import ELASTIC, IPV6

_RESERVED = 4  # EC2 keeps the first four addresses and the last of every subnet


def apply(status: Callable[[Any, str], str], events: Callable[[Any], list[dict[str, Any]]]) -> None:
    """Mend moto.

    ``status(instance, "instance" | "system")``: what that status check of a running instance says.
    ``events(instance)``: what EC2 has scheduled for it.
    """
    from moto.dynamodb.models.table import Table
    from moto.ec2 import models, utils
    from moto.ec2.models import (
        core,
        elastic_ip_addresses,
        elastic_network_interfaces,
        instances,
        launch_templates,
        security_groups,
        subnets,
        vpcs,
    )
    from moto.ec2.models import route_tables as tables

    _speed()
    utils.EC2_PREFIX_TO_RESOURCE["eipalloc"] = "elastic-ip"  # else a role that tags it is changed for ever
    utils.is_filter_matching = is_filter_matching
    _tags(core.TaggedEC2Resource)
    _routes(models.EC2Backend, tables.Route, tables.RouteTable)
    _addresses(models.EC2Backend, subnets.Subnet)
    vpcs.random_ipv6_cidr = _free_ipv6_cidr
    _interfaces(models.EC2Backend, elastic_network_interfaces.NetworkInterface)
    _elastic(models.EC2Backend, elastic_ip_addresses, elastic_network_interfaces)
    _instances(instances.Instance, utils, status)
    instances.Instance.events = property(events)
    _groups(models.EC2Backend, security_groups.SecurityGroupRule)
    _templates(models.EC2Backend, launch_templates.LaunchTemplate)
    _dynamodb(Table)


def arguments(function: Callable[..., Any], *args: Any, **kw: Any) -> dict[str, Any]:
    """The arguments of a call by their names; extra keywords among them."""
    given = inspect.signature(function).bind(*args, **kw).arguments
    return {**{key: value for key, value in given.items() if key != "kwargs"}, **given.get("kwargs", {})}


def refuse(code: str, message: str) -> NoReturn:
    """Answer a call with an EC2 error."""
    from moto.ec2.exceptions import EC2ClientError

    raise EC2ClientError(code, message)


def _speed() -> None:
    """Keep what moto finds out anew at each call (its modules' directories, its classes' methods): half of its time."""
    from moto import backends
    from moto.core import responses

    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: iter(modules)
    responses.method_names_from_class = functools.cache(responses.method_names_from_class)


# --- Tags and filters -------------------------------------------------------------------------------------


def _tags(resource: Any) -> None:
    def get_tags(self: Any) -> list[dict[str, str]]:
        # moto walks the tags of everything there is, with a regular expression, for each resource it shows
        return [{"key": key, "value": value} for key, value in self.ec2_backend.tags.get(self.id, {}).items()]

    resource.get_tags = get_tags


def is_filter_matching(resource: Any, name: str, wanted: Any) -> bool:
    """EC2's rule: a filter holds when any of the resource's values is like any of the filter's."""
    value = resource.get_filter_value(name)
    values = [value] if isinstance(value, str | bool | int) or value is None else list(value)
    texts = [str(each).lower() if isinstance(each, bool) else str(each) for each in values if each is not None]
    patterns = wanted if isinstance(wanted, list) else [wanted]
    return any(fnmatch.fnmatchcase(text, str(pattern)) for text in texts for pattern in patterns)


# --- Route tables -----------------------------------------------------------------------------------------


def _routes(backend: Any, route: Any, route_table: Any) -> None:
    create, replace, associate = backend.create_route, backend.replace_route, backend.associate_route_table
    filter_value = route_table.get_filter_value

    def create_route(self: Any, *args: Any, **kw: Any) -> Any:
        given = arguments(create, self, *args, **kw)
        table = self.get_route_table(given["route_table_id"])
        _normalize(given)
        prefix_list = given.get("destination_prefix_list_id")
        destination = given["destination_cidr_block"] or given.get("destination_ipv6_cidr_block") or prefix_list
        key = f"{table.id}~{destination}"
        if key in table._routes:
            refuse("RouteAlreadyExists", f"The route identified by {destination} already exists.")
        if prefix_list and prefix_list not in self.managed_prefix_lists:
            refuse("InvalidPrefixListID.NotFound", f"The prefix list ID '{prefix_list}' does not exist")
        made = create(**given)
        made.destination_prefix_list = self.managed_prefix_lists.get(prefix_list)
        table._routes.pop(made.id, None)
        made.id = key
        table._routes[key] = made
        return made

    def replace_route(self: Any, *args: Any, **kw: Any) -> Any:
        given = arguments(replace, self, *args, **kw)
        if given.get("interface_id"):  # before anything is changed
            self.get_network_interface(given["interface_id"])
        if given.get("instance_id"):
            self.get_instance(given["instance_id"])
        _normalize(given)
        return replace(**given)

    def associate_route_table(self: Any, route_table_id: str, gateway_id: Any = None, subnet_id: Any = None) -> Any:
        for table in self.route_tables.values():
            if subnet_id and subnet_id in table._associations.values() and table.id != route_table_id:
                said = (
                    f"the specified association for route table {route_table_id} conflicts with an existing association"
                )
                refuse("Resource.AlreadyAssociated", said)
        return associate(self, route_table_id, gateway_id, subnet_id)

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        attribute = filter_name.removeprefix("route.").replace("-", "_")
        if filter_name.startswith("route.") and hasattr(route, attribute):
            return [getattr(each, attribute) for each in self.routes]
        return filter_value(self, filter_name, method_name)

    def state(self: Any) -> str:
        return "blackhole" if _is_blackhole(self) else "active"

    def network_interface_id(self: Any) -> str | None:
        eni = route_eni(self)
        return str(eni.id) if eni is not None else None

    def instance_id(self: Any) -> str | None:
        eni = route_eni(self)
        return str(eni.instance.id) if eni is not None and eni.instance is not None else None

    backend.create_route, backend.replace_route = create_route, replace_route
    backend.associate_route_table = associate_route_table
    route_table.get_filter_value = get_filter_value
    route.state, route.network_interface_id = property(state), property(network_interface_id)
    route.instance_id = property(instance_id)


def _is_blackhole(route: Any) -> bool:
    eni = route_eni(route)
    if eni is not None or route.instance is not None:
        if eni is None or eni.id not in eni.ec2_backend.enis or eni.instance is None:
            return True
        if getattr(eni, "blackhole", False):  # the lab's setting says so
            return True
        return eni.instance.state not in ("pending", "running")
    gateway = route.gateway
    if is_vgw(gateway):
        return not leads_out(gateway, route.route_table)
    return gateway is not None and hasattr(gateway, "vpc") and gateway.vpc is None


def _normalize(given: dict[str, Any]) -> None:
    """EC2 keeps a route's destination without host bits, and one of IPv6 as short as it can be written."""
    for key, name in (("", "destinationCidrBlock"), ("ipv6_", "destinationIpv6CidrBlock")):
        cidr = given.get(f"destination_{key}cidr_block")
        try:
            given[f"destination_{key}cidr_block"] = normal(cidr) if cidr else None
        except ValueError:
            refuse(
                "InvalidParameterValue",
                f"Value ({cidr}) for parameter {name} is invalid. This is not a valid CIDR block.",
            )


# --- Addresses --------------------------------------------------------------------------------------------


def _addresses(backend: Any, subnet: Any) -> None:
    create, filter_value = backend.create_network_interface, subnet.get_filter_value

    def create_network_interface(self: Any, *args: Any, **kw: Any) -> Any:
        given = arguments(create, self, *args, **kw)
        where = given["subnet"] = (
            self.get_subnet(given["subnet"]) if isinstance(given["subnet"], str) else given["subnet"]
        )
        first = given.get("private_ip_address")
        first = next(iter(first), None) if isinstance(first, list) else first
        others = [item["PrivateIpAddress"] for item in given.get("private_ip_addresses") or []]
        for address in dict.fromkeys([*([first] if first else []), *others]):
            _check_address(self, where, address)
        given["private_ip_address"] = first or (None if others else free_address(self, where))
        return create(**given)

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        associations = self.ipv6_cidr_block_associations.values()
        if filter_name == "ipv6-cidr-block-association.ipv6-cidr-block":
            return [each["ipv6CidrBlock"] for each in associations]
        if filter_name == "ipv6-cidr-block-association.state":
            return [each["ipv6CidrBlockState"]["State"] for each in associations]
        return filter_value(self, filter_name, method_name)

    def associations(self: Any) -> list[dict[str, Any]]:
        return [
            {
                "associationId": each["associationId"],
                "ipv6CidrBlock": each["ipv6CidrBlock"],
                "ipv6CidrBlockState": {"state": each["ipv6CidrBlockState"]["State"].lower()},
            }
            for each in self.ipv6_cidr_block_associations.values()
        ]

    backend.create_network_interface = create_network_interface
    subnet.ipv6_cidr_block_association_set = property(associations)  # moto shows the state's text in Python's words
    subnet.get_filter_value = get_filter_value
    subnet.get_available_subnet_ip = lambda self, instance: free_address(self.ec2_backend, self)
    subnet.request_ip = lambda self, ip, instance: None  # checked when the ENI is made


def _taken(backend: Any, subnet: Any) -> set[str]:
    enis = (eni for eni in backend.enis.values() if eni.subnet.id == subnet.id)
    return {item["PrivateIpAddress"] for eni in enis for item in eni.private_ip_addresses}


def free_address(backend: Any, subnet: Any) -> str:
    """The lowest address of the subnet that nobody has: the same calls give the same addresses in every run."""
    taken, network = _taken(backend, subnet), ipaddress.IPv4Network(subnet.cidr_block)
    for number in range(_RESERVED, network.num_addresses - 1):
        if str(network[number]) not in taken:
            return str(network[number])
    raise refuse("InsufficientFreeAddressesInSubnet", f"The subnet {subnet.id} has no free addresses.")


def _check_address(backend: Any, subnet: Any, address: str) -> None:
    network = ipaddress.IPv4Network(subnet.cidr_block)
    if ipaddress.IPv4Address(address) not in network:
        refuse("InvalidParameterValue", f"Address {address} does not fall within the subnet's address range")
    number = int(ipaddress.IPv4Address(address)) - int(network[0])
    if not _RESERVED <= number < network.num_addresses - 1:
        refuse("InvalidParameterValue", f"Address {address} is in subnet's reserved address range")
    if address in _taken(backend, subnet):
        refuse("InvalidIPAddress.InUse", f"Address {address} is in use.")


def _free_ipv6_cidr() -> str:
    """The first range that no VPC has, of what is for documentation: moto's are somebody's."""
    from moto.ec2.models import ec2_backends

    taken = {
        block["cidr_block"]
        for account in ec2_backends.values()
        for region in account.values()
        for vpc in region.vpcs.values()
        for block in vpc.get_cidr_block_association_set(ipv6=True)
    }
    return next(str(each) for each in ipaddress.IPv6Network(IPV6).subnets(new_prefix=56) if str(each) not in taken)


def _elastic(backend: Any, elastic: Any, interfaces: Any) -> None:
    release = backend.release_address

    def pool() -> str:
        from moto.ec2.models import ec2_backends

        taken = {
            address
            for account in ec2_backends.values()
            for region in account.values()
            for address in (
                *(each.public_ip for each in region.addresses),
                *(eni.public_ip for eni in region.enis.values()),
            )
        }
        return next(str(each) for each in ipaddress.IPv4Network(ELASTIC).hosts() if str(each) not in taken)

    def release_address(self: Any, address: str | None = None, allocation_id: str | None = None) -> None:
        held = self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id])
        if held[0].eni is not None:
            refuse("InvalidIPAddress.InUse", f"Address {held[0].public_ip} is in use.")
        release(self, address, allocation_id)

    elastic.random_ip = interfaces.random_public_ip = pool
    backend.release_address = release_address


# --- Interfaces, instances, groups ------------------------------------------------------------------------


def _interfaces(backend: Any, interface: Any) -> None:
    filter_value = interface.get_filter_value
    delete, delete_subnet, attach = (
        backend.delete_network_interface,
        backend.delete_subnet,
        backend.attach_network_interface,
    )

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "attachment.status":
            return "attached" if self.attachment_id else "detached"
        if filter_name in ("addresses.private-ip-address", "private-ip-address"):
            return [item["PrivateIpAddress"] for item in self.private_ip_addresses]
        return filter_value(self, filter_name, method_name)

    def delete_network_interface(self: Any, eni_id: str) -> None:
        eni = self.get_network_interface(eni_id)
        if eni.instance is not None and eni.instance.state not in ("shutting-down", "terminated"):
            refuse("InvalidParameterValue", f"Network interface '{eni_id}' is currently in use.")
        delete(self, eni_id)

    def remove_subnet(self: Any, subnet_id: str) -> Any:
        if any(eni.subnet.id == subnet_id for eni in self.enis.values()):
            refuse("DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        return delete_subnet(self, subnet_id)

    def attach_network_interface(self: Any, eni_id: str, instance_id: str, device_index: int) -> Any:
        require_free(self.get_network_interface(eni_id))
        return attach(self, eni_id, instance_id, device_index)

    interface.get_filter_value = get_filter_value
    interface.group_set = property(lambda self: self._group_set)  # an ENI has its own groups, whoever holds it
    backend.delete_network_interface, backend.delete_subnet = delete_network_interface, remove_subnet
    backend.attach_network_interface = attach_network_interface


def require_free(eni: Any) -> None:
    """Refuse an ENI that an instance has already: it is never given twice."""
    if eni.instance is not None:
        refuse("InvalidNetworkInterface.InUse", f"Interface: [{eni.id}] in use.")


def _instances(instance: Any, utils: Any, status: Callable[[Any, str], str]) -> None:
    def groups(self: Any) -> Any:
        nics = getattr(self, "nics", {})
        return nics[0]._group_set if 0 in nics else self._launch_groups

    def set_groups(self: Any, value: list[Any]) -> None:
        self._launch_groups = value
        if 0 in getattr(self, "nics", {}):
            self.nics[0]._group_set = list(value)

    def forward(self: Any) -> bool:
        nics = getattr(self, "nics", {})
        return bool(nics[0].source_dest_check) if 0 in nics else True

    def set_forward(self: Any, value: bool) -> None:
        if 0 in getattr(self, "nics", {}):
            self.nics[0].source_dest_check = value

    def check(which: str) -> property:
        def read(self: Any) -> dict[str, Any]:
            if self.state_code != 16:
                return {"Status": "not-applicable"}
            found = status(self, which)
            passed = {"ok": "passed", "impaired": "failed"}.get(found, found)
            return {"Status": found, "Details": [{"Name": "reachability", "Status": passed}]}

        return property(read)

    instance.security_groups = property(groups, set_groups)  # those of its first ENI, as on EC2
    instance.source_dest_check = property(forward, set_forward)
    instance.instance_status, instance.system_status = check("instance"), check("system")
    instance.eni_ids = property(lambda self: [eni.id for eni in self.nics.values()])
    utils.filter_dict_attribute_mapping["network-interface.network-interface-id"] = "eni_ids"


def _groups(backend: Any, rule: Any) -> None:
    init, delete = rule.__init__, backend._delete_security_group

    def __init__(self: Any, *args: Any, **kw: Any) -> None:
        given = arguments(init, self, *args, **kw)
        protocol = str(given["ip_protocol"]).lower()
        ported = protocol in ("tcp", "udp", "icmp", "icmpv6", "6", "17", "1", "58", "-1", "all")
        if not ported:  # such as 50, ESP: it has no ports, and moto fails for want of them
            given["from_port"] = given["to_port"] = 0
        init(**given)
        if not ported:
            self.from_port = self.to_port = None

    def _delete_security_group(self: Any, vpc_id: str | None, group_id: str) -> None:
        if _uses(self.enis.values(), group_id):
            refuse("DependencyViolation", f"resource {group_id} has a dependent object")
        delete(self, vpc_id, group_id)

    rule.__init__ = __init__
    backend._delete_security_group = _delete_security_group


def _uses(enis: Iterable[Any], group_id: str) -> bool:
    return any(group.id == group_id for eni in enis for group in eni._group_set)


def _templates(backend: Any, template: Any) -> None:
    create = backend.create_launch_template

    def create_launch_template(self: Any, name: str, description: str, data: dict[str, Any], tag_spec: Any) -> Any:
        # The template's own tags are none of what it launches: with them each run of a role makes a new version.
        specs = [each for each in data.pop("TagSpecifications", []) if each["ResourceType"] != "launch-template"]
        return create(self, name, description, {**data, **({"TagSpecifications": specs} if specs else {})}, tag_spec)

    backend.create_launch_template = create_launch_template
    template.tags = property(lambda self: self.get_tags(), lambda self, value: None)


def _dynamodb(table: Any) -> None:
    """A table has an id, by which one that was removed and made again is another one."""
    described = table.describe

    @functools.wraps(described)
    def describe(self: Any, *args: Any, **kw: Any) -> Any:
        answer = described(self, *args, **kw)
        if "table_id" not in vars(self):
            self.table_id = str(uuid.uuid4())
        for inner in answer.values():
            inner["TableId"] = self.table_id
        return answer

    table.describe = describe
