# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions, good and bad: every problem is one sentence that says what, where and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import description, description_timing
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.model import RouteKey, Timing

ROOT = Path(__file__).parents[4]
PSK = "correct-horse-battery-staple"
KEY = "0123456789abcdef0123456789abcdef"
Change = Callable[[dict[str, Any]], object]


def good() -> dict[str, Any]:
    """Two zones, two gateways, two sites."""
    return {
        "vpnha_deployment": "lab",
        "vpnha_region": "eu-central-1",
        "vpnha_vpc": {"cidr": "10.20.0.0/16"},
        "vpnha_zones": [
            {"name": f"eu-central-1{z}", "gateway_subnet": f"10.20.{n}.0/24", "app_subnets": [f"10.20.{16 + n}.0/24"]}
            for n, z in enumerate("ab")
        ],
        "vpnha_gateways": [
            {"name": f"gw-{z}", "zone": f"eu-central-1{z}", "address": f"10.20.{n}.10"} for n, z in enumerate("ab")
        ],
        "vpnha_monitors": [{"name": "mon-a", "zone": "eu-central-1b", "address": "10.20.1.20"}],
        "vpnha_app_hosts": [{"name": "app-a", "zone": "eu-central-1a", "address": "10.20.16.50"}],
        "vpnha_sites": [
            {
                "name": name,
                "prefixes": [f"192.168.{m}0.0/24"],
                "probe_targets": [f"192.168.{m}0.10"],
                "routing": "bgp",
                "asn": 65000 + 10 * m,
                "tunnels": [
                    {
                        "gateway": f"gw-{z}",
                        "peer": f"198.51.100.{10 * m + n + 1}",
                        "inside": f"169.254.{10 * m}.{4 * n}/30",
                        "psk": PSK,
                    }
                    for n, z in enumerate("ab")
                ],
            }
            for m, name in ((1, "hq"), (2, "plant"))
        ],
        "vpnha_heartbeat_key": KEY,
    }


def problems(variables: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(DescriptionError) as caught:
        description.parse(variables)
    for sentence in caught.value.sentences:
        assert PSK not in sentence
        assert KEY not in sentence
        assert "\n" not in sentence
    return caught.value.sentences


def put(path: str, value: Any) -> Change:
    """A change that sets the value at a path like ``vpnha_sites.0.name``."""

    def change(variables: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = variables
        for part in parents:
            place = place[part]
        place[last] = value

    return change


def test_a_good_description_becomes_a_deployment_with_the_defaults_filled_in() -> None:
    deployment = description.parse(good())
    assert deployment.asn == 64512
    assert deployment.timing == Timing()
    assert deployment.home("eu-central-1b") == deployment.gateway("gw-b")
    tunnel = deployment.tunnels[1]
    assert (tunnel.name, tunnel.local_id, tunnel.peer_id) == ("hq-gw-b", "gw-b.lab", "198.51.100.12")
    assert (tunnel.inside_address, tunnel.peer_inside_address) == ("169.254.10.5", "169.254.10.6")
    assert (tunnel.peer_asn, tunnel.initiate) == (65010, True)
    assert description.remarks(deployment) == ()


def test_it_survives_the_way_through_a_configuration_file_without_secrets() -> None:
    deployment = description.parse(good())
    text = json.dumps(description.to_dict(deployment))
    assert PSK not in text
    assert KEY not in text
    assert description.from_dict(json.loads(text)) == deployment


def test_a_site_is_routed_by_its_prefixes_unless_it_says_otherwise() -> None:
    variables = good()
    assert not any(site.by_prefix_list for site in description.parse(variables).sites)
    variables["vpnha_sites"][0]["prefix_list"] = True
    deployment = description.parse(variables)
    hq = deployment.site("hq")
    assert hq.by_prefix_list and hq.destinations == hq.prefixes  # until the list's id is known
    known = replace(hq, prefix_list="pl-1")
    bound = replace(deployment, sites=(known, deployment.site("plant")))
    assert known.destinations == ("pl-1",)
    assert bound.site_of("pl-1") == bound.site_of("192.168.10.0/24") == known
    assert bound.site_of("") is None
    assert bound.named(RouteKey("rtb-1", "pl-1")) == "rtb-1 pl-1 (hq)"
    assert bound.named(RouteKey("rtb-1", "192.168.10.0/24")) == "rtb-1 192.168.10.0/24"
    assert description.from_dict(json.loads(json.dumps(description.to_dict(bound)))) == bound


def test_two_monitors_in_one_zone_are_remarked() -> None:
    second = {"name": "mon-b", "zone": "eu-central-1b", "address": "10.20.1.21"}
    variables = {**good(), "vpnha_repair": "reboot", "vpnha_monitors": [*good()["vpnha_monitors"], second]}
    together = description.parse(variables)
    assert (len(together.monitors), together.repair) == (2, "reboot")
    (remark,) = description.remarks(together)
    assert remark.startswith("No monitor is in another zone than the home gateway of eu-central-1b: its routes have no")
    second |= {"zone": "eu-central-1a", "address": "10.20.0.21"}
    assert description.remarks(description.parse(variables)) == ()


@pytest.mark.parametrize("policy", ["none", "reboot", "restart", "replace"])
def test_the_policy_of_repairs_is_part_of_it(policy: str) -> None:
    assert description.parse(good()).repair == "none"
    deployment = description.parse({**good(), "vpnha_repair": policy})
    assert deployment.repair == policy
    assert description.from_dict(json.loads(json.dumps(description.to_dict(deployment)))) == deployment


def test_where_the_zones_of_a_lost_gateway_go_is_part_of_it() -> None:
    plain = description.parse(good())
    assert (plain.spread, plain.zones[0].near, plain.gateways[0].capacity) == ("distance", (), 1.0)
    given = {**good(), "vpnha_spread": "capacity"}
    given["vpnha_zones"][0]["near"] = ["eu-central-1b"]
    given["vpnha_gateways"][0]["capacity"] = 5000  # whatever it is counted in
    given["vpnha_gateways"][1]["capacity"] = "2.5"  # as Ansible hands templated numbers over
    deployment = description.parse(given)
    assert (deployment.spread, deployment.zones[0].near) == ("capacity", ("eu-central-1b",))
    assert [gateway.capacity for gateway in deployment.gateways] == [5000.0, 2.5]
    assert description.from_dict(json.loads(json.dumps(description.to_dict(deployment)))) == deployment
    old = description.to_dict(plain)  # as a monitor's file of a former version has it
    del old["spread"], old["gateways"][0]["capacity"], old["zones"][0]["near"]
    assert description.from_dict(old) == plain


def test_a_tunnel_keeps_its_interface_when_another_is_added_before_it() -> None:
    before = {tunnel.name: tunnel.if_id for tunnel in description.parse(good()).tunnels}
    variables = good()
    new = deepcopy(variables["vpnha_sites"][0])
    new.update(name="branch", prefixes=["192.168.30.0/24"], probe_targets=["192.168.30.10"])
    for n, tunnel in enumerate(new["tunnels"]):
        tunnel.update(peer=f"198.51.100.3{n}", inside=f"169.254.30.{4 * n}/30")
    variables["vpnha_sites"].insert(0, new)
    after = {tunnel.name: tunnel.if_id for tunnel in description.parse(variables).tunnels}
    assert before.items() <= after.items()
    assert len(set(after.values())) == len(after)


def test_a_second_tunnel_of_a_site_on_one_gateway_gets_a_number() -> None:
    variables = good()
    second = {**variables["vpnha_sites"][0]["tunnels"][0], "peer": "198.51.100.99", "inside": "169.254.77.0/30"}
    variables["vpnha_sites"][0]["tunnels"].append(second)
    names = [tunnel.name for tunnel in description.parse(variables).tunnels if tunnel.site == "hq"]
    assert names == ["hq-gw-a", "hq-gw-b", "hq-gw-a-2"]


def test_an_existing_vpc_may_be_given_without_its_networks() -> None:
    variables = good()
    variables["vpnha_vpc"] = {"id": "vpc-1"}
    assert description.parse(variables).vpc_cidrs == (
        "10.20.0.0/24", "10.20.16.0/24", "10.20.1.0/24", "10.20.17.0/24",
    )  # fmt: skip


def test_numbers_that_ansible_templated_into_strings_are_numbers() -> None:
    variables = good()
    variables["vpnha_asn"] = "64600"
    variables["vpnha_timing"] = {"hold_down": "2", "voluntary_moves_per_hour": "6"}
    deployment = description.parse(variables)
    assert (deployment.asn, deployment.timing.hold_down, deployment.timing.voluntary_moves_per_hour) == (64600, 2.0, 6)


BAD: dict[str, tuple[str, Any, str]] = {
    # what is wrong: (where it is put, what is put there, the sentence)
    "site overlaps VPC": (
        "vpnha_sites.0.prefixes.0", "10.20.5.0/24",
        "vpnha_sites[0].prefixes[0]: 10.20.5.0/24 overlaps the VPC's 10.20.0.0/16",
    ),
    "site overlaps site": (
        "vpnha_sites.1.prefixes", ["192.168.20.0/24", "192.168.10.128/25"],
        "vpnha_sites[1].prefixes[1]: 192.168.10.128/25 overlaps vpnha_sites[0].prefixes[0] (192.168.10.0/24)",
    ),
    "site overlaps link-local": (
        "vpnha_sites.0.prefixes", ["192.168.10.0/24", "169.254.128.0/17"],
        "vpnha_sites[0].prefixes[1]: 169.254.128.0/17 overlaps 169.254.0.0/16",
    ),
    "default route as prefix": (
        "vpnha_sites.0.prefixes", ["192.168.10.0/24", "0.0.0.0/0"],
        "vpnha_sites[0].prefixes[1]: 0.0.0.0/0 is so wide that it would take the monitors' own way to the EC2 API",
    ),
    "prefix over the API's address": (
        "vpnha_endpoint_url", "http://192.168.10.77:4566",
        "vpnha_sites[0].prefixes[0]: 192.168.10.0/24 covers 192.168.10.77, the monitors' way to the EC2 API",
    ),
    "prefix over a peer": (
        "vpnha_sites.0.prefixes", ["192.168.10.0/24", "198.51.100.0/24"],
        "vpnha_sites[0].prefixes[1]: 198.51.100.0/24 covers the peer 198.51.100.11",
    ),
    "prefix with host bits": (
        "vpnha_sites.0.prefixes.0", "192.168.10.1/24",
        "vpnha_sites[0].prefixes[0]: '192.168.10.1/24' has bits set beyond its prefix length; write 192.168.10.0/24.",
    ),
    "prefix without length": (
        "vpnha_sites.0.prefixes.0", "192.168.10.0", "vpnha_sites[0].prefixes[0]: '192.168.10.0' has no prefix length",
    ),
    "prefix that is none": (
        "vpnha_sites.0.prefixes.0", "192.168.300.0/24",
        "vpnha_sites[0].prefixes[0]: '192.168.300.0/24' is no IPv4 network",
    ),
    "prefix as a number": ("vpnha_sites.0.prefixes.0", 192.168, "vpnha_sites[0].prefixes[0]: '192.168' is a number"),
    "IPv6 where IPv4 is needed": (
        "vpnha_zones.0.gateway_subnet", "2001:db8::/64",
        "vpnha_zones[0].gateway_subnet: '2001:db8::/64' is IPv6; give an IPv4 network here.",
    ),
    "prefixes as a string": (
        "vpnha_sites.0.prefixes", "192.168.10.0/24",
        "vpnha_sites[0].prefixes: '192.168.10.0/24' is a string; write a list",
    ),
    "a prefix list by its id": (
        "vpnha_sites.0.prefix_list", "pl-0a1b2c3d", "vpnha_sites[0].prefix_list: 'pl-0a1b2c3d' is no truth value",
    ),
    "no prefixes": ("vpnha_sites.0.prefixes", [], "vpnha_sites[0].prefixes: the list is missing or empty"),
    "unknown zone of a gateway": (
        "vpnha_gateways.0.zone", "eu-central-1c",
        "vpnha_gateways[0].zone: there is no zone 'eu-central-1c' in vpnha_zones; did you mean eu-central-1",
    ),
    "unknown home zone": (
        "vpnha_gateways.0.home_zones", ["eu-central-1a", "us-east-1f"],
        "vpnha_gateways[0].home_zones: there is no zone 'us-east-1f' in vpnha_zones",
    ),
    "two homes": (
        "vpnha_gateways.1.home_zones", ["eu-central-1b", "eu-central-1a"],
        "vpnha_gateways[1].home_zones: zone eu-central-1a would have two home gateways, gw-a and gw-b",
    ),
    "unknown near zone": (
        "vpnha_zones.0.near", ["us-east-1f"], "vpnha_zones[0].near: there is no zone 'us-east-1f' in vpnha_zones",
    ),
    "near itself": ("vpnha_zones.0.near", ["eu-central-1a"], "vpnha_zones[0].near: eu-central-1a is the zone itself."),
    "near twice": (
        "vpnha_zones.0.near", ["eu-central-1b", "eu-central-1b"], "vpnha_zones[0].near: eu-central-1b is named twice.",
    ),
    "no capacity": (
        "vpnha_gateways.0.capacity", 0, "vpnha_gateways[0].capacity: '0' is no number above 0; write how much it takes",
    ),
    "capacity without end": (
        "vpnha_gateways.0.capacity", float("inf"), "vpnha_gateways[0].capacity: 'inf' is no number above 0",
    ),
    "capacity in words": (
        "vpnha_gateways.0.capacity", "large", "vpnha_gateways[0].capacity: 'large' is no number above 0",
    ),
    "unknown spread": ("vpnha_spread", "even", "vpnha_spread: 'even' is unknown; write distance or capacity."),
    "no home": (
        "vpnha_gateways.1.home_zones", [], "vpnha_zones[1]: zone eu-central-1b has no home gateway",
    ),
    "two gateways of one name": (
        "vpnha_gateways.1.name", "gw-a",
        "vpnha_gateways[1].name: 'gw-a' already names a gateway, monitor or application host",
    ),
    "a monitor named like a gateway": (
        "vpnha_monitors.0.name", "gw-a",
        "vpnha_monitors[0].name: 'gw-a' already names a gateway, monitor or application host",
    ),
    "an application host named like a gateway": (
        "vpnha_app_hosts.0.name", "gw-a",
        "vpnha_app_hosts[0].name: 'gw-a' already names a gateway, monitor or application host",
    ),
    "two sites of one name": ("vpnha_sites.1.name", "hq", "vpnha_sites[1].name: 'hq' already names a site"),
    "two zones of one name": (
        "vpnha_zones.1.name", "eu-central-1a", "vpnha_zones[1].name: 'eu-central-1a' already names a zone",
    ),
    "a name with a space": ("vpnha_gateways.0.name", "gw a", "vpnha_gateways[0].name: 'gw a' is no usable name"),
    "gateway outside its subnet": (
        "vpnha_gateways.0.address", "10.20.1.10",
        "vpnha_gateways[0].address: 10.20.1.10 lies outside the gateway subnet of its zone eu-central-1a",
    ),
    "monitor outside its subnet": (
        "vpnha_monitors.0.address", "10.20.16.20",
        "vpnha_monitors[0].address: 10.20.16.20 lies outside the gateway subnet of its zone eu-central-1b",
    ),
    "application host outside its subnets": (
        "vpnha_app_hosts.0.address", "10.20.0.50",
        "vpnha_app_hosts[0].address: 10.20.0.50 lies outside the app_subnets of its zone eu-central-1a",
    ),
    "an address that EC2 keeps": (
        "vpnha_gateways.0.address", "10.20.0.2", "vpnha_gateways[0].address: EC2 keeps 10.20.0.2 of 10.20.0.0/24",
    ),
    "one address twice": (
        "vpnha_monitors.0.address", "10.20.1.10",
        "vpnha_monitors[0].address: 10.20.1.10 is already the address at vpnha_gateways[1].address",
    ),
    "a subnet outside the VPC": (
        "vpnha_zones.0.app_subnets.0", "10.30.0.0/24",
        "vpnha_zones[0].app_subnets[0]: 10.30.0.0/24 lies outside the VPC (10.20.0.0/16)",
    ),
    "overlapping subnets": (
        "vpnha_zones.1.app_subnets.0", "10.20.16.0/24",
        "vpnha_zones[1].app_subnets[0]: 10.20.16.0/24 overlaps vpnha_zones[0].app_subnets[0]",
    ),
    "no VPC": ("vpnha_vpc", {}, "vpnha_vpc: this is missing"),
    "a tunnel to an unknown gateway": (
        "vpnha_sites.0.tunnels.0.gateway", "gw-x",
        "vpnha_sites[0].tunnels[0].gateway: there is no gateway 'gw-x' in vpnha_gateways",
    ),
    "one peer twice": (
        "vpnha_sites.1.tunnels.0.peer", "198.51.100.11",
        "vpnha_sites[1].tunnels[0].peer: gw-a has a tunnel to 198.51.100.11 already (vpnha_sites[0].tunnels[0])",
    ),
    "overlapping inside networks": (
        "vpnha_sites.1.tunnels.0.inside", "169.254.10.0/30",
        "vpnha_sites[1].tunnels[0].inside: 169.254.10.0/30 overlaps vpnha_sites[0].tunnels[0].inside",
    ),
    "inside of the wrong size": (
        "vpnha_sites.0.tunnels.0.inside", "169.254.10.0/29",
        "vpnha_sites[0].tunnels[0].inside: 169.254.10.0/29 is no /30",
    ),
    "inside of the gateways among themselves": (
        "vpnha_sites.0.tunnels.0.inside", "169.254.255.0/30",
        "vpnha_sites[0].tunnels[0].inside: 169.254.255.0/30 lies in 169.254.255.0/24, which the gateways use among "
        "themselves; choose another /30, like 169.254.10.0/30.",
    ),
    "an image that is none": (
        "vpnha_image", "nonsense",
        "vpnha_image: 'nonsense' is no id of an AMI; write one like ami-0123456789abcdef0.",
    ),
    "an administrator's network that is none": (
        "vpnha_admin_cidrs", ["203.0.113.0/24", "10.0.0.0/99"],
        "vpnha_admin_cidrs[1]: '10.0.0.0/99' is no IPv4 network; write one like 192.168.10.0/24.",
    ),
    "a source of ssh that is none": (
        "vpnha_gateway_ssh_sources", ["2001:db8:1::/48", "bastion"],
        "vpnha_gateway_ssh_sources[1]: 'bastion' has no prefix length; write a network like 192.168.10.0/24.",
    ),
    "inside not link-local": (
        "vpnha_sites.0.tunnels.0.inside", "10.99.0.0/30",
        "vpnha_sites[0].tunnels[0].inside: 10.99.0.0/30 lies outside 169.254.0.0/16",
    ),
    "psk too short": (
        "vpnha_sites.0.tunnels.0.psk", "short-one",
        "vpnha_sites[0].tunnels[0].psk: the pre-shared key has only 9 characters; take at least 20",
    ),
    "psk with a trailing line break": (
        "vpnha_sites.0.tunnels.0.psk", PSK + "\n",
        "vpnha_sites[0].tunnels[0].psk: the pre-shared key begins or ends with a line break",
    ),
    "psk with white space": (
        "vpnha_sites.0.tunnels.0.psk", " " + PSK,
        "vpnha_sites[0].tunnels[0].psk: the pre-shared key begins or ends with white space",
    ),
    "psk that strongSwan would decode": (
        "vpnha_sites.0.tunnels.0.psk", "0x" + PSK, "vpnha_sites[0].tunnels[0].psk: the pre-shared key begins with 0x",
    ),
    "psk that could not be read": (
        "vpnha_sites.0.tunnels.0.psk", None,
        "vpnha_sites[0].tunnels[0].psk: the pre-shared key is missing or could not be read",
    ),
    "psk as a number": (
        "vpnha_sites.0.tunnels.0.psk", 12345678901234567890,
        "vpnha_sites[0].tunnels[0].psk: the pre-shared key is a number; write it as a string",
    ),
    "the next psk too short": (
        "vpnha_sites.0.tunnels.0.psk_next", "short-one",
        "vpnha_sites[0].tunnels[0].psk_next: the next pre-shared key has only 9 characters; take at least 20",
    ),
    "the next psk is the one in use": (
        "vpnha_sites.0.tunnels.0.psk_next", PSK,
        "vpnha_sites[0].tunnels[0].psk_next: this is the key that psk has already",
    ),
    "heartbeat key too short": (
        "vpnha_heartbeat_key", "0123456789", "vpnha_heartbeat_key: the heartbeat key has only 10 characters",
    ),
    "bgp without asn": ("vpnha_sites.0.asn", None, "vpnha_sites[0].asn: routing bgp needs the AS number"),
    "the gateways' own asn": ("vpnha_sites.0.asn", 64512, "vpnha_sites[0].asn: 64512 is the gateways' own AS number"),
    "no asn": ("vpnha_sites.0.asn", "AS65010", "vpnha_sites[0].asn: 'AS65010' is no AS number"),
    "unknown routing": ("vpnha_sites.0.routing", "ospf", "vpnha_sites[0].routing: 'ospf' is unknown"),
    "probe target outside the site": (
        "vpnha_sites.0.probe_targets.0", "192.168.20.10",
        "vpnha_sites[0].probe_targets[0]: 192.168.20.10 lies outside the site's prefixes (192.168.10.0/24)",
    ),
    "probe target that is no address": (
        "vpnha_sites.0.probe_targets.0", "server.hq", "vpnha_sites[0].probe_targets[0]: 'server.hq' is no IP address",
    ),
    "misspelt key": (
        "vpnha_sites.0.tunnels.0.insde", "x",
        "vpnha_sites[0].tunnels[0].insde: this key is unknown; did you mean inside?",
    ),
    "misspelt variable": ("vpnha_zonez", [], "vpnha_zonez: this variable is unknown; did you mean vpnha_zones?"),
    "misspelt timing": (
        "vpnha_timing", {"holddown": 5}, "vpnha_timing.holddown: this key is unknown; did you mean hold_down?",
    ),
    "timing out of range": (
        "vpnha_timing", {"window": 0.01}, "vpnha_timing.window: 0.01 is out of range; write a number from 0.2 to 30.",
    ),
    "timing that is no number": ("vpnha_timing", {"window": "fast"}, "vpnha_timing.window: 'fast' is no number"),
    "too few probes in a window": (
        "vpnha_timing", {"heartbeat_interval": 0.5}, "vpnha_timing.window: 0.5 holds fewer than 5 probes",
    ),
    "hold-down above its bound": (
        "vpnha_timing", {"hold_down": 600, "hold_down_max": 60}, "vpnha_timing.hold_down_max: it is below hold_down",
    ),
    "unknown repairs": (
        "vpnha_repair", "mend", "vpnha_repair: 'mend' is unknown; write none, reboot, restart or replace.",
    ),
    "no topic": (
        "vpnha_notify_sns_topic", "slack://s3cr3t", "vpnha_notify_sns_topic: this is no ARN of an SNS topic; write one "
        "like arn:aws:sns:eu-central-1:123456789012:vpn.",
    ),
    "a topic in order": (
        "vpnha_notify_sns_topic", "arn:aws:sns:eu-central-1:123456789012:vpn.fifo",
        "vpnha_notify_sns_topic: this is a FIFO topic; give a standard one, messages need no order.",
    ),
    "no address of Apprise": (
        "vpnha_notify_apprise", ["json://example.org", PSK], "vpnha_notify_apprise[1]: this is no Apprise address;",
    ),
    "addresses that are no list": (
        "vpnha_notify_apprise", f"slack://{PSK}", "vpnha_notify_apprise: a string stands where a list of addresses is",
    ),
    "too many targets": (
        "vpnha_notify_apprise", [f"json://h{n}" for n in range(9)], "vpnha_notify_apprise: there are more than 8",
    ),
    "a rate of none": (
        "vpnha_notify_rate", 0, "vpnha_notify_rate: '0' is no number of messages an hour; write one from 1 to 1000.",
    ),
    "templates of an unknown kind": (
        "vpnha_notify_templates", {"failovers": {}},
        "vpnha_notify_templates.failovers: this key is unknown; did you mean failover?",
    ),
    "a template with an unknown value": (
        "vpnha_notify_templates", {"failover": {"title": "${titel}"}},
        "vpnha_notify_templates.failover.title: ${titel} is unknown; did you mean ${title}?",
    ),
    "a template with a lone dollar": (
        "vpnha_notify_templates", {"default": {"body": "5 $"}},
        "vpnha_notify_templates.default.body: a $ stands by itself; write $$ for a dollar sign, and ${name} for",
    ),
    "a template that is a string": (
        "vpnha_notify_templates", {"drill": "x"}, "vpnha_notify_templates.drill: a string stands where a dictionary",
    ),
    "more repairs than a tag can tell": (
        "vpnha_timing", {"repairs_per_day": 11}, "vpnha_timing.repairs_per_day: 11 is out of range; write a number",
    ),
    "no region": ("vpnha_region", "", "vpnha_region: this is missing; give the AWS region"),
    "no URL": ("vpnha_endpoint_url", "192.0.2.10:4566", "vpnha_endpoint_url: '192.0.2.10:4566' is no URL"),
    "EC2's own URL for all services": (
        "vpnha_endpoint_url", "https://ec2.eu-central-1.amazonaws.com",
        "vpnha_endpoint_url: 'ec2.eu-central-1.amazonaws.com' is AWS's own for EC2 alone, and all services would be "
        "asked there; remove this, and name ec2 in vpnha_endpoints to have EC2 reached by an interface endpoint.",
    ),
    "a port alone": (
        "vpnha_monitor_listen", ":9784", "vpnha_monitor_listen: ':9784' is no address of IPv4 and TCP port; write one",
    ),
    "a port that is none": (
        "vpnha_monitor_listen", "0.0.0.0:²", "vpnha_monitor_listen: '0.0.0.0:²' is no address of IPv4 and TCP port",
    ),
    "a port as a number": ("vpnha_monitor_listen", 9784, "vpnha_monitor_listen: '9784' is a number; write a string"),
    "an address of IPv6": (
        "vpnha_monitor_listen", "[::]:9784", "vpnha_monitor_listen: '[::]:9784' is no address of IPv4 and TCP port",
    ),
    "an endpoint for nothing": (
        "vpnha_endpoints", ["ec2", "dynamo"], "vpnha_endpoints[1]: 'dynamo' is no service that has an endpoint here; "
        "did you mean dynamodb?",
    ),
    "an endpoint twice": ("vpnha_endpoints", ["ec2", "ec2"], "vpnha_endpoints[1]: ec2 is named twice."),
    "an index that is no URL": (
        "vpnha_pip_index_url", f"pypi.example.com/{PSK}", "vpnha_pip_index_url: this is no URL; write one like https://",
    ),
    "a wheelhouse somewhere": (
        "vpnha_pip_wheelhouse", "wheels", "vpnha_pip_wheelhouse: 'wheels' is no absolute path; write one of this",
    ),
    "zones as a dictionary": ("vpnha_zones", {"a": 1}, "vpnha_zones: "),
    "a zone as a string": ("vpnha_zones.0", "eu-central-1a", "vpnha_zones[0]: a string stands where a dictionary"),
    "initiate as a string": (
        "vpnha_sites.0.tunnels.0.initiate", "maybe", "vpnha_sites[0].tunnels[0].initiate: 'maybe' is no truth value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_description_is_refused_with_what_where_and_how(case: str) -> None:
    path, value, sentence = BAD[case]
    variables = good()
    put(path, value)(variables)
    found = problems(variables)
    assert any(one.startswith(sentence) for one in found), found


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("vpce-0a1-b2c3.ec2.eu-central-1.vpce.amazonaws.com", True),
        ("vpce-0a1-b2c3-eu-central-1a.EC2.eu-central-1.vpce.amazonaws.com.", True),
        ("ec2-fips.us-east-1.amazonaws.com", True),
        ("ec2.cn-north-1.amazonaws.com.cn", True),
        ("vpce-0a1.ec2.cn-north-1.vpce.amazonaws.com.cn", True),
        ("ec2.eu-central-1.api.aws", True),
        ("ec2.example.com", False),  # somebody's own, which may serve them all
        ("ec2-192-0-2-1.eu-central-1.compute.amazonaws.com", False),
        ("vpce-0a1.vpce-svc-0b2.eu-central-1.vpce.amazonaws.com", False),
    ],
)
def test_an_endpoint_of_ec2_alone_is_not_taken_for_all_services(host: str, refused: bool) -> None:
    variables = good() | {"vpnha_endpoint_url": f"https://{host}:443/"}
    if refused:
        (found,) = problems(variables)
        assert found.startswith("vpnha_endpoint_url: ")
    else:
        assert description.parse(variables) == description.parse(good())


def test_endpoints_and_packages_without_the_internet_are_no_part_of_it() -> None:
    ways = {"vpnha_endpoints": ["ec2", "dynamodb"], "vpnha_pip_index_url": "https://me:secret@pypi.example.com/simple"}
    assert description.parse(good() | ways) == description.parse(good())
    assert description.parse(good() | {"vpnha_pip_wheelhouse": "~/wheels"}) == description.parse(good())


def test_endpoints_need_a_monitor_and_an_index_is_no_use_beside_a_wheelhouse() -> None:
    alone = good() | {"vpnha_monitors": [], "vpnha_endpoints": ["ec2"]}
    assert problems(alone) == (
        "vpnha_endpoints: endpoints are made where monitors are, and there is none in vpnha_monitors.",
    )
    both = good() | {
        "vpnha_pip_wheelhouse": "/srv/wheels",
        "vpnha_pip_index_url": f"https://me:{PSK}@pypi.example.com/",
    }
    [sentence] = problems(both)
    assert sentence.startswith("vpnha_pip_wheelhouse: an index is given as well (vpnha_pip_index_url)")
    [sentence] = problems(good() | {"vpnha_pip_index_url": f"ftp://{PSK}"})
    assert PSK not in sentence


def test_no_variable_of_a_role_or_playbook_is_taken_for_a_misspelling() -> None:
    files = [*ROOT.glob("roles/*/meta/argument_specs.yml"), ROOT / "playbooks" / "meta" / "argument_specs.yml"]
    specs = [yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"] for file in files]
    variables = {name for each in specs for entry in each.values() for name in entry.get("options", {})}
    others = sorted(variables - set(description.VARIABLES))
    assert "vpnha_gateway_mss" in others
    description.parse(good() | dict.fromkeys(others))


@pytest.mark.parametrize("third", [*range(6), 169])
def test_networks_that_aws_keeps_are_refused_as_inside(third: int) -> None:
    variables = good()
    last = 252 if third == 169 else 0
    put("vpnha_sites.0.tunnels.0.inside", f"169.254.{third}.{last}/30")(variables)
    assert any("AWS keeps 169.254" in sentence for sentence in problems(variables))


def test_all_problems_are_found_at_once() -> None:
    variables = good()
    put("vpnha_region", "")(variables)
    put("vpnha_sites.0.prefixes.0", "10.20.0.0/24")(variables)
    put("vpnha_sites.1.tunnels.1.psk", "x")(variables)
    put("vpnha_gateways.0.zone", "nowhere")(variables)
    places = {sentence.split(":")[0] for sentence in problems(variables)}
    assert {
        "vpnha_region", "vpnha_sites[0].prefixes[0]", "vpnha_sites[1].tunnels[1].psk", "vpnha_gateways[0].zone",
    } <= places  # fmt: skip


@pytest.mark.parametrize("value", [None, 0, "x", [], {}, ["x"], [[]], [{}], {"x": []}, True])
@pytest.mark.parametrize("key", description.VARIABLES)
def test_whatever_stands_in_a_variable_it_is_a_sentence_and_no_traceback(key: str, value: object) -> None:
    variables = good()
    variables[key] = value
    try:
        description.parse(variables)
    except DescriptionError as error:
        assert all(": " in sentence for sentence in error.sentences)


def test_every_delay_has_its_range_and_its_default_lies_within() -> None:
    assert set(description_timing.RANGES) == {field.name for field in fields(Timing)}
    for name, (least, most) in description_timing.RANGES.items():
        assert least <= getattr(Timing(), name) <= most


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: data.pop("zones"), "deployment.zones: this key is missing"),
        (lambda data: data.update(zons=[]), "deployment.zons: this key is unknown; did you mean zones?"),
        (lambda data: data.update(asn="64512"), "deployment.asn: '64512' is a string, but a whole number is needed"),
        (lambda data: data["gateways"].append(5), "deployment.gateways[2]: a number stands where a dictionary"),
        (lambda data: data.update(sites={}), "deployment.sites: a dictionary stands where a list is needed"),
    ],
)
def test_a_damaged_configuration_file_is_refused_with_what_and_where(change: Change, sentence: str) -> None:
    data = description.to_dict(description.parse(good()))
    change(data)
    with pytest.raises(DescriptionError) as caught:
        description.from_dict(data)
    assert any(one.startswith(sentence) for one in caught.value.sentences), caught.value.sentences


def test_what_is_allowed_but_not_meant_is_remarked() -> None:
    variables = good()
    variables["vpnha_monitors"] = []
    variables["vpnha_sites"][0]["tunnels"].pop()
    remarks = description.remarks(description.parse(variables))
    assert [remark.split(" ")[0:2] for remark in remarks] == [["Site", "hq"], ["There", "is"]]


VGW = {
    "name": "vgw",
    "vpn_gateway": "vgw-0123456789abcdef0",
    "use": "last_resort",
    "probes": {"hq": "192.168.10.10", "plant": "192.168.20.11"},
}


def with_vgw(**changes: Any) -> dict[str, Any]:
    return good() | {"vpnha_managed_gateways": [{key: one for key, one in (VGW | changes).items() if one != "none"}]}


def test_a_managed_gateway_is_read_and_survives_the_configuration_file() -> None:
    parsed = description.parse(with_vgw())
    [one] = parsed.managed_gateways
    assert (one.name, one.vpn_gateway, one.last_resort, one.home_zones) == ("vgw", VGW["vpn_gateway"], True, ())
    assert {probe.site: probe.address for probe in one.probes} == VGW["probes"]
    assert [target.name for target in parsed.targets] == ["gw-a", "gw-b", "vgw"]
    assert parsed.home("eu-central-1a") == parsed.gateways[0]
    assert description.from_dict(json.loads(json.dumps(description.to_dict(parsed)))) == parsed
    assert description.remarks(parsed) == ()
    [remark] = description.remarks(description.parse(with_vgw(probes={"hq": "192.168.10.10"})))
    assert "vgw has no probe for site plant" in remark


def test_a_managed_gateway_may_be_a_zones_home() -> None:
    variables = with_vgw(use="home", home_zones=["eu-central-1a"])
    variables["vpnha_gateways"][0]["home_zones"] = []
    parsed = description.parse(variables)
    assert parsed.home("eu-central-1a") == parsed.managed_gateways[0]
    assert parsed.home("eu-central-1b") == parsed.gateways[1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "gw-a"}, "name: 'gw-a' already names a gateway, monitor or application host; choose another name."),
        ({"vpn_gateway": "igw-1"}, "vpn_gateway: 'igw-1' is no id of a virtual private gateway"),
        ({"vpn_gateway": "none"}, "vpn_gateway: this is missing; give the id of the virtual private gateway"),
        ({"use": "spare"}, "use: 'spare' is unknown; write last_resort or home."),
        ({"home_zones": ["eu-central-1a"]}, "home_zones: a last_resort is nobody's home"),
        ({"use": "home"}, "home_zones: this is missing; name the zones whose home it is."),
        (
            {"use": "home", "home_zones": ["eu-central-1a"]},
            "zone eu-central-1a would have two home gateways, gw-a and vgw; name it in one",
        ),
        ({"use": "home", "home_zones": ["mars"]}, "there is no zone 'mars' in vpnha_zones"),
        (
            {"use": "home", "home_zones": [], "probes": {"hq": "192.168.10.10"}},
            "probes: a home needs a probe for each site, and 'plant' has none.",
        ),
        ({"probes": "none"}, "probes: this is missing; give an address that answers ICMP for each site"),
        ({"probes": ["192.168.10.10"]}, "probes: a list stands where a dictionary is needed; write site: address."),
        (
            {"probes": {"plan": "192.168.20.10"}},
            "probes.plan: there is no site 'plan' in vpnha_sites; did you mean plant?",
        ),
        ({"probes": {"hq": "192.168.20.10"}}, "probes.hq: 192.168.20.10 lies outside the site's prefixes"),
        ({"probes": {"hq": "host"}}, "probes.hq: 'host' is no IPv4 address"),
        ({"gateway": "x"}, "gateway: this key is unknown"),
    ],
)
def test_what_is_wrong_with_a_managed_gateway_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in found and "vpnha_managed_gateways[0]" in found for found in problems(with_vgw(**changes)))


def test_two_application_hosts_of_one_name_are_refused() -> None:
    variables = good()
    variables["vpnha_app_hosts"].append({"name": "app-a", "zone": "eu-central-1b", "address": "10.20.17.50"})
    assert problems(variables) == (
        "vpnha_app_hosts[1].name: 'app-a' already names a gateway, monitor or application host; choose another name.",
    )


def test_a_vpc_has_one_managed_gateway_at_most() -> None:
    variables = with_vgw()
    variables["vpnha_managed_gateways"].append(VGW | {"name": "other"})
    [sentence] = problems(variables)
    assert sentence.startswith("vpnha_managed_gateways[1]: a VPC has at most one virtual private gateway")
