# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab for another deployment than the shipped one: told once, known to every later command."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from lab import demo_fallback, siteboot, sites
from lab.errors import LabError
from lab.names import REPOSITORY, Names

STATIC = REPOSITORY / "lab" / "deployments" / "static.yml"
ZONES = REPOSITORY / "lab" / "deployments" / "zones.yml"


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names("t1none", tmp_path, 4700)


def test_without_a_word_the_lab_is_the_shipped_one(names: Names) -> None:
    siteboot.choose(names, None, fresh=True)
    assert siteboot.deployment_variables(names) == siteboot.read_variables(siteboot.SHIPPED)


def test_what_was_chosen_lies_over_the_shipped_one_until_the_lab_is_begun_afresh(names: Names) -> None:
    siteboot.choose(names, {"vpnha_asn": 64999}, fresh=True)
    assert siteboot.deployment_variables(names) == {**siteboot.read_variables(siteboot.SHIPPED), "vpnha_asn": 64999}
    siteboot.choose(names, None, fresh=False)
    assert siteboot.deployment_variables(names)["vpnha_asn"] == 64999
    siteboot.choose(names, None, fresh=True)
    assert siteboot.deployment_variables(names) == siteboot.read_variables(siteboot.SHIPPED)


def test_a_lab_that_runs_takes_no_other_deployment(names: Names) -> None:
    siteboot.choose(names, {"vpnha_asn": 64999}, fresh=True)
    siteboot.choose(names, {"vpnha_asn": 64999}, fresh=False)
    with pytest.raises(LabError, match="take it down first"):
        siteboot.choose(names, {"vpnha_asn": 64998}, fresh=False)


@pytest.mark.parametrize("content", [b"- a list\n", b"{", b"\xff", None])
def test_a_file_that_is_no_deployment_is_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "odd.yml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LabError, match=r"^The lab's deployment .*odd\.yml cannot be read: .+$"):
        siteboot.read_variables(file)


def test_the_static_deployment_differs_from_the_shipped_one_in_one_sites_routing(names: Names) -> None:
    shipped = parse(siteboot.deployment_variables(names))
    siteboot.choose(names, siteboot.read_variables(STATIC), fresh=True)
    static = parse(siteboot.deployment_variables(names))
    assert [site.routing for site in shipped.sites] == ["bgp", "bgp"]
    assert [site.routing for site in static.sites] == ["bgp", "static"]
    assert sites.site_hosts(siteboot.deployment_variables(names))
    peers = [[(t.name, t.peer_address, t.inside_cidr) for t in one.tunnels] for one in (shipped, static)]
    assert peers[0] == peers[1]


def test_the_deployment_of_three_zones_has_what_its_lab_shows(names: Names) -> None:
    siteboot.choose(names, siteboot.read_variables(ZONES), fresh=True)
    described = siteboot.deployment_variables(names)
    zones = parse(described)
    assert {zone.name for zone in zones.zones} == {host["zone"] for host in described["vpnha_app_hosts"]}
    assert len({gateway.zone for gateway in zones.gateways}) < len(zones.gateways)
    assert sorted(len(gateway.home_zones) for gateway in zones.gateways) == [0, 1, 2]
    assert len({gateway.capacity for gateway in zones.gateways}) == len(zones.gateways)
    assert {(tunnel.site, tunnel.gateway) for tunnel in zones.tunnels} == {
        (site.name, gateway.name) for site in zones.sites for gateway in zones.gateways
    }


def test_all_hosts_of_a_deployment_and_its_sites_are_counted() -> None:
    shipped = siteboot.read_variables(siteboot.SHIPPED)
    assert siteboot.count(shipped) == 2 + 1 + 2 + 6
    assert siteboot.count({**shipped, **siteboot.read_variables(ZONES)}) == 3 + 1 + 3 + 8


def test_the_managed_vpn_of_the_demo_is_the_last_resort_for_every_site(names: Names, tmp_path: Path) -> None:
    gateway = tmp_path / "gateway.yml"
    text = demo_fallback.GATEWAY.read_text(encoding="utf-8")
    gateway.write_text(text.replace("{{ lab_vpn_gateway }}", "vgw-0123456789abcdef0"), encoding="utf-8")
    described = siteboot.read_variables(demo_fallback.DEPLOYMENT) | siteboot.read_variables(gateway)
    siteboot.choose(names, described, fresh=True)
    deployment = parse(siteboot.deployment_variables(names))
    [managed] = deployment.managed_gateways
    assert (managed.vpn_gateway, managed.use) == ("vgw-0123456789abcdef0", "last_resort")
    assert {probe.site for probe in managed.probes} == {site.name for site in deployment.sites}
