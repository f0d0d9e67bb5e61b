# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that makes a gateway's devices, run with tools that only write down what they are told; filter and FRR.

Promise 20, that no packet of a site leaves unencrypted, has a test for each of the things that keep it. What they come
to together is seen in the lab, in captured packets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from tests.unit.plugins.module_utils.test_description import good
from tests.unit.plugins.module_utils.test_dual_stack import dual

ROLE = Path(__file__).resolve().parents[3] / "roles" / "gateway"
LAST = "metric 4278198272"  # which FRR reads as distance 255
Run = Callable[[tunnel_config.GatewayView, set[str]], list[str]]


def view(data_plane: str, **changes: Any) -> tunnel_config.GatewayView:
    return replace(tunnel_config.gateway_view(parse(good()), "gw-a", data_plane), **changes)


def rendered(template: str, wanted: tunnel_config.GatewayView, **variables: Any) -> str:
    """A template as the role writes it, with the role's defaults and some variables more."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        autoescape=False,
    )
    env.filters["to_json"] = env.filters["to_nice_json"] = json.dumps
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    as_a_module_returns_it = json.loads(json.dumps(asdict(wanted)))
    known = {"__vpnha_gateway_view": as_a_module_returns_it}
    return env.get_template(template).render({**defaults, **known, **variables})


def chain(wanted: tunnel_config.GatewayView, name: str) -> list[str]:
    """The rules of a chain of the filter, in their order."""
    text = rendered("firewall.nft.j2", wanted)
    (body,) = re.findall(rf"\tchain {name} {{\n(.*?)\t}}", text, re.DOTALL)
    return [line.strip() for line in body.splitlines() if not line.strip().startswith("#")]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the script for a view, on a host that has such devices; the commands that it gave."""
    tools, log = tmp_path / "bin", tmp_path / "log"
    tools.mkdir()
    for tool in ("ip", "nft", "bridge"):
        (tools / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >> {log}\n')
        (tools / tool).chmod(0o755)

    def script(wanted: tunnel_config.GatewayView, present: set[str]) -> list[str]:
        devices = tmp_path / "net"
        for device in present:
            (devices / device).mkdir(parents=True)
        text = rendered("dataplane.sh.j2", wanted)
        assert "/sys/class/net" in text
        path = {"PATH": f"{tools}:{os.environ['PATH']}"}
        log.unlink(missing_ok=True)
        subprocess.run(["sh", "-c", text.replace("/sys/class/net", str(devices))], env=path, check=True)
        return log.read_text().splitlines()

    return script


def test_each_tunnel_gets_a_device_with_its_if_id(run: Run) -> None:
    wanted = view("xfrm")
    done = run(wanted, set())
    assert wanted.tunnels
    for tunnel in wanted.tunnels:
        assert f"ip link add {tunnel.device} type xfrm if_id {tunnel.if_id}" in done
        assert f"ip link set {tunnel.device} mtu 1400 up" in done


def test_devices_that_are_there_stay_and_those_of_former_tunnels_go(run: Run) -> None:
    wanted = view("xfrm")
    done = run(wanted, {tunnel.device for tunnel in wanted.tunnels} | {"vpnha9", "vpnhavx", "ens5"})
    assert not any("type xfrm" in command for command in done)
    assert [command for command in done if command.startswith("ip link del vpnha")] == [
        "ip link del vpnhavx",
        "ip link del vpnha9",
    ]


def test_a_gateway_without_tunnels_has_no_device_to_remove(run: Run) -> None:
    done = run(view("xfrm", tunnels=(), devices=()), set())
    assert not any("link del" in command and "[" in command for command in done), done


@pytest.mark.parametrize("data_plane", ["xfrm", "libipsec"])
def test_a_gateway_without_tunnels_has_a_filter_that_lets_the_neighbours_ones_be_used(data_plane: str) -> None:
    variables = dual()
    for site in variables["vpnha_sites"]:
        site["tunnels"] = [tunnel for tunnel in site["tunnels"] if tunnel["gateway"] != "gw-a"]
    wanted = tunnel_config.gateway_view(parse(variables), "gw-a", data_plane)
    assert not wanted.tunnels and wanted.neighbours
    assert not re.search(r"\{\s*\}", rendered("firewall.nft.j2", wanted))
    back = [rule for rule in chain(wanted, "forward") if rule.endswith("accept") and rule.startswith("ip saddr { 192.")]
    assert len(back) == 1 and ("oifname" in back[0]) == bool(wanted.devices)


def test_libipsec_makes_its_device_itself(run: Run) -> None:
    assert not any("type xfrm" in command for command in run(view("libipsec"), set()))


# --- Promise 20: no packet of a site leaves unencrypted -------------------------------------------------------------


def test_20_the_filter_is_there_before_anything_else(run: Run) -> None:
    assert run(view("xfrm"), set())[0] == "nft -f /etc/vpnha/firewall.nft"


def test_20_the_blackholes_are_there_also_where_the_filter_is_refused(run: Run, tmp_path: Path) -> None:
    """At boot packets are forwarded by then, and FRR does not come after this."""
    wanted = view6("xfrm")
    with (tmp_path / "bin" / "nft").open("a") as tool:
        tool.write("exit 1\n")
    with pytest.raises(subprocess.CalledProcessError):
        run(wanted, set())
    done = (tmp_path / "log").read_text().splitlines()
    made = [command.split()[-3] for command in done if "route replace blackhole" in command]
    assert wanted.ipv6 and made == [*wanted.site_prefixes, *wanted.ipv6.site_prefixes]
    assert not any(" link " in command for command in done)


def test_ssh_is_let_in_from_networks_of_either_family() -> None:
    wanted = view("xfrm")
    for sources in ([], ["0.0.0.0/0"], ["2001:db8::/32"], ["203.0.113.0/24", "2001:db8::/32"]):
        text = rendered("firewall.nft.j2", wanted, vpnha_gateway_ssh_sources=sources)
        let_in = re.findall(r"(ip6?) saddr (\S+) tcp dport 22 accept", text)
        assert let_in == [("ip6" if ":" in source else "ip", source) for source in sources]


@pytest.mark.parametrize(
    ("source", "through_tunnels"), [("0.0.0.0/0", False), ("::/0", False), ("192.168.10.0/24", True)]
)
def test_ssh_through_a_tunnel_is_for_named_networks_only(source: str, through_tunnels: bool) -> None:
    wanted = view("xfrm")
    text = rendered("firewall.nft.j2", wanted, vpnha_gateway_ssh_sources=[source])
    [rule] = [line.strip() for line in text.splitlines() if "dport 22 accept" in line]
    assert rule.startswith("iifname !=") is not through_tunnels
    assert through_tunnels or all(f'"{device}"' in rule for device in (*wanted.devices, "vpnhavx"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace")
@pytest.mark.parametrize(
    ("rule", "good"),
    [
        ('iifname "eth0" tcp dport 9100 accept', True),
        ('iif "lo" accept', True),
        ('iif "eth0" tcp dport 9100 accept', False),
        ("ip saddr prometheus.example.org tcp dport 9100 accept", False),
    ],
)
def test_a_filter_is_good_that_can_be_loaded_at_boot(rule: str, good: bool, tmp_path: Path) -> None:
    written = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__vpnha_gateway_written"]
    (command,) = [file["validate"] for file in written if file["path"].endswith("firewall.nft")]
    (tmp_path / "filter").write_text(rendered("firewall.nft.j2", view6("xfrm"), vpnha_gateway_extra_input_rules=[rule]))
    steps = ["unshare", "-n", "sh", "-c", f"ip link add eth0 type veth && {command % (tmp_path / 'filter')}"]
    done = subprocess.run(steps, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == good, done.stderr


def test_20_what_no_tunnel_takes_ends_in_a_blackhole_of_the_kernels(run: Run) -> None:
    wanted = view("xfrm")
    done = run(wanted, set())
    assert wanted.site_prefixes
    for prefix in wanted.site_prefixes:
        assert f"ip route replace blackhole {prefix} {LAST}" in done


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace")
def test_20_the_kernels_blackhole_of_a_single_address_stays_and_a_former_one_goes(tmp_path: Path) -> None:
    """With the real ip, which names a route to one address without its length; devices are not its matter here."""
    variables = dual()
    variables["vpnha_sites"][0]["prefixes"] += ["203.0.113.5/32", "2001:db8:a11::5/128"]
    text = rendered("dataplane.sh.j2", tunnel_config.gateway_view(parse(variables), "gw-a", "libipsec"))
    passed_on = f'case " $* " in *" link "* | *" neigh "*) ;; *) exec {shutil.which("ip")} "$@" ;; esac'
    for tool, does in (("ip", passed_on), ("nft", ":"), ("bridge", ":")):
        (tmp_path / tool).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "dataplane").write_text(text.replace("/sys/class/net", str(tmp_path)))
    steps = f"""
      set -e
      ip route add blackhole 203.0.113.6 {LAST}; ip -6 route add blackhole 2001:db8:a11::6 {LAST}
      sh {tmp_path}/dataplane; sh {tmp_path}/dataplane
      ip -4 -o route show type blackhole; ip -6 -o route show type blackhole
    """
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["unshare", "-n", "sh", "-c", steps], env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    there = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"203.0.113.5", "2001:db8:a11::5", "2001:db8:a10::/48"} <= there, done.stdout
    assert not there & {"203.0.113.6", "2001:db8:a11::6"}, done.stdout


def test_20_a_probe_goes_through_its_own_tunnel_or_nowhere(run: Run) -> None:
    wanted = view("xfrm")
    done = run(wanted, set())
    for tunnel in wanted.tunnels:
        assert f"ip route replace blackhole default table {tunnel.table} {LAST}" in done
        assert f"ip rule add priority 7000 from {tunnel.inside_address} table {tunnel.table}" in done


def test_20_frr_has_a_blackhole_of_its_own_and_resolves_nothing_through_a_default_route() -> None:
    wanted = view("xfrm")
    lines = rendered("frr.conf.j2", wanted).splitlines()
    assert "no ip nht resolve-via-default" in lines
    for prefix in wanted.site_prefixes:
        assert f"ip route {prefix} blackhole 250" in lines


@pytest.mark.parametrize("data_plane", ["xfrm", "libipsec"])
def test_20_the_filter_drops_what_would_leave_another_way_before_it_accepts_anything(data_plane: str) -> None:
    wanted = view(data_plane)
    sites = ", ".join(wanted.site_prefixes)
    ways = ", ".join(f'"{device}"' for device in (*wanted.devices, "vpnhavx"))
    to_a_site = f"ip daddr {{ {sites} }} oifname != {{ {ways} }} counter name plaintext drop"
    from_a_site = f"ip saddr {{ {sites} }} iifname != {{ {ways} }} counter name plaintext drop"
    assert chain(wanted, "forward")[:2] == [to_a_site, from_a_site]
    assert chain(wanted, "output") == [to_a_site]


def test_20_the_filter_lets_nothing_pass_that_no_rule_names() -> None:
    text = rendered("firewall.nft.j2", view("xfrm"))
    assert "chain forward { type filter hook forward priority filter; policy drop; }" in text


# --- IPv6 beside IPv4 ------------------------------------------------------------------------------------------------


def view6(data_plane: str) -> tunnel_config.GatewayView:
    return tunnel_config.gateway_view(parse(dual()), "gw-a", data_plane)


def test_20_ipv6_has_blackholes_of_the_kernels_and_of_frrs_too(run: Run) -> None:
    wanted = view6("xfrm")
    assert f"ip -6 route replace blackhole 2001:db8:a10::/48 {LAST}" in run(wanted, set())
    lines = rendered("frr.conf.j2", wanted).splitlines()
    assert {"no ipv6 nht resolve-via-default", "ipv6 route 2001:db8:a10::/48 blackhole 250"} <= set(lines)


@pytest.mark.parametrize("data_plane", ["xfrm", "libipsec"])
def test_20_the_filter_drops_what_of_ipv6_would_leave_another_way_before_it_accepts_anything(data_plane: str) -> None:
    wanted = view6(data_plane)
    ways = ", ".join(f'"{device}"' for device in (*wanted.devices, "vpnhavx"))
    to_a_site = f"ip6 daddr {{ 2001:db8:a10::/48 }} oifname != {{ {ways} }} counter name plaintext drop"
    from_a_site = f"ip6 saddr {{ 2001:db8:a10::/48 }} iifname != {{ {ways} }} counter name plaintext drop"
    forward = chain(wanted, "forward")
    accepts = next(n for n, rule in enumerate(forward) if rule.endswith("accept"))
    assert forward.index(to_a_site) < accepts and forward.index(from_a_site) < accepts
    assert to_a_site in chain(wanted, "output")


def test_20_a_probe_of_ipv6_goes_through_its_own_tunnel_or_nowhere(run: Run) -> None:
    wanted = view6("xfrm")
    done = run(wanted, set())
    [tunnel] = [tunnel for tunnel in wanted.tunnels if tunnel.inside_ipv6]
    assert f"ip -6 route replace blackhole default table {tunnel.table} {LAST}" in done
    assert f"ip -6 rule add priority 7000 from fd76:706e:6861:1::a01 table {tunnel.table}" in done
    assert f"ipv6 route ::/0 {tunnel.device} table {tunnel.table}" in rendered("frr.conf.j2", wanted)


def test_a_neighbour_is_known_in_the_mesh_by_ipv6_without_being_asked(run: Run) -> None:
    done = run(view6("xfrm"), set())
    assert "ip -6 neigh replace fd76:706e:6861:2::ff02 lladdr 02:76:0a:14:01:0a dev vpnhavx nud permanent" in done


def test_ipv6_goes_over_the_sessions_of_ipv4_with_next_hops_that_are_written_down() -> None:
    text = rendered("frr.conf.j2", view6("libipsec"))
    (family,) = re.findall(r" address-family ipv6 unicast\n(.*?) exit-address-family", text, re.DOTALL)
    assert "neighbor 169.254.10.2 activate" in family and "neighbor 169.254.255.2 activate" in family
    assert "169.254.20.2" not in family  # its site has none
    for name, prefixes, hop in (
        ("FROM6-hq-gw-a", "SITE6-hq", "fd76:706e:6861:1::a02"),
        ("TO6-hq-gw-a", "PLAIN6", "fd76:706e:6861:1::a01"),
        ("MESH6-gw-b", "SITES6", "fd76:706e:6861:2::ff02"),
        ("MESH6", "SITES6", "fd76:706e:6861:2::ff01"),
    ):
        head = f"route-map {name} permit 10\n match ipv6 address prefix-list {prefixes}\n"
        assert f"{head} set ipv6 next-hop global {hop}\n" in text
        assert family.count(f"route-map {name} ") == 1


def test_segments_of_ipv6_are_as_much_smaller_as_its_header_is_longer() -> None:
    forward = chain(view6("xfrm"), "forward")
    sizes = [rule for rule in forward if "maxseg" in rule]
    assert [rule.split()[-1] for rule in sizes] == ["1360", "1340"]
    assert sizes[1].startswith("meta nfproto ipv6 ")


@pytest.mark.parametrize("template", ["dataplane.sh.j2", "firewall.nft.j2", "frr.conf.j2", "sysctl.conf.j2"])
def test_without_ipv6_nothing_of_it_is_written(template: str) -> None:
    there = "ipv6|ip6|ip -6|fd76"
    assert re.search(there, rendered(template, view6("xfrm")))
    without = rendered(template, view("xfrm")).replace("meta l4proto icmpv6 accept", "")
    assert not re.search(there, without)


def test_a_site_of_ipv6_only_leaves_no_empty_set_in_the_filter() -> None:
    variables = dual()
    del variables["vpnha_sites"][1]
    variables["vpnha_sites"][0] |= {"prefixes": ["2001:db8:a10::/48"], "probe_targets": ["2001:db8:a10::10"]}
    wanted = tunnel_config.gateway_view(parse(variables), "gw-a", "xfrm")
    text = rendered("firewall.nft.j2", wanted)
    assert "{  }" not in text and "ip6 daddr { 2001:db8:a10::/48 }" in text
