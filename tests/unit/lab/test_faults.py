# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: each is what it says, can be taken back, and leaves nothing in force when it could not be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import endpoint, faults, registry
from lab.errors import LabError
from lab.faults import Options
from lab.names import Names
from lab.net import netns


class Lab:
    """What the faults do, instead of a kernel, proxies and hosts."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}  # namespace -> the script in force
        self.rules: dict[str, list[dict[str, Any]]] = {}
        self.settings: dict[str, Any] = {"route_propagation": [0, 0]}
        self.ran: list[list[str]] = []

    def nft(self, where: str, script: str) -> None:
        if "delete table" in script:
            self.tables.pop(where, None)
        else:
            self.tables[where] = script

    def change(self, _: Names, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        self.settings.update(changes or {})
        return dict(self.settings)


class OneHost:
    """Stands for lab.hosts.Hosts: remembers what was run."""

    lab: Lab

    def __init__(self, _: Names) -> None:
        pass

    def state(self, _: str) -> str:
        return "running"

    def run(self, host_id: str, argv: list[str]) -> None:
        self.lab.ran.append([host_id, *argv])


@pytest.fixture
def names(tmp_path: Path) -> Names:
    names = Names("t1", tmp_path, 4700)
    registry.write(names, "i-1", name="gw-a", netns="t1-i-1", kind="ec2")
    registry.write(names, "site-cgw-hq-a", name="cgw-hq-a", netns="t1-site-cgw-hq-a", kind="site")
    return names


@pytest.fixture
def lab(names: Names, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = OneHost.lab = Lab()
    instance = {"id": "i-1", "interfaces": ["eni-1"], "addresses": ["10.20.0.10"], "public": ["203.0.113.1"]}
    monkeypatch.setattr(netns, "nft", lab.nft)
    monkeypatch.setattr(netns, "exists", lambda where: where in lab.tables)
    monkeypatch.setattr(endpoint, "instances", lambda _: [instance])
    monkeypatch.setattr(endpoint, "settings", lab.change)
    monkeypatch.setattr(endpoint, "set_rules", lambda _, side, rules: lab.rules.update({side: rules}))
    monkeypatch.setattr(faults, "Hosts", OneHost)
    return lab


def drops(script: str) -> list[str]:
    return [line.removesuffix(" counter drop") for line in script.splitlines() if line.endswith("drop")]


def test_a_blocked_tunnel_of_an_instance_is_cut_in_its_card_both_ways(names: Names, lab: Lab) -> None:
    fault = faults.add(names, "tunnel-block", ["gw-a", "cgw-hq-a"], Options())
    script = lab.tables["t1-card-eni-1"]
    assert f"table inet vpnha-fault-{fault.id} {{" in script
    towards = 'iifname "r0" ip saddr 198.51.100.11'
    away = 'iifname "h0" ip daddr 198.51.100.11'
    matches = ("meta l4proto esp", "udp dport { 500, 4500 }", "udp sport { 500, 4500 }")
    assert drops(script) == [f"{way} {match}" for way in (towards, away) for match in matches]
    faults.clear(names, fault.id)
    assert lab.tables == {} and faults.in_force(names) == []


def test_a_site_sees_an_instance_by_its_public_address_and_sends_by_postrouting(names: Names, lab: Lab) -> None:
    faults.add(names, "cut", ["cgw-hq-a", "gw-a"], Options(direction="out"))
    script = lab.tables["t1-site-cgw-hq-a"]
    assert "hook postrouting" in script and "hook prerouting" not in script
    assert drops(script) == ['oifname != "lo" ip daddr 203.0.113.1']


@pytest.mark.parametrize(
    ("kind", "esp", "ike"), [("esp-block", "!= 0", None), ("ike-block", None, "@th,64,32 0"), ("blackout", None, None)]
)
def test_esp_and_ike_are_told_apart_by_the_marker(
    names: Names, lab: Lab, kind: str, esp: str | None, ike: str | None
) -> None:
    faults.add(names, kind, ["gw-a"] if kind == "blackout" else ["gw-a", "198.51.100.11"], Options())
    rules = drops(lab.tables["t1-card-eni-1"])
    in_nat_t = [rule for rule in rules if "4500" in rule]
    assert bool(in_nat_t) == (kind != "blackout")
    assert all((esp or ike or "") in rule for rule in in_nat_t)
    assert ("meta l4proto esp" in rules[0]) == (esp is not None)


def test_loss_is_a_share_of_the_packets(names: Names, lab: Lab) -> None:
    faults.add(names, "loss", ["gw-a", "12.5"], Options(direction="in"))
    assert drops(lab.tables["t1-card-eni-1"]) == ['iifname "r0" numgen random mod 10000 < 1250']


def test_a_lowered_mtu_spares_small_packets_and_tcp_from_the_vpc(names: Names, lab: Lab) -> None:
    faults.add(names, "mtu", ["gw-a", "1200"], Options(direction="out", peer="198.51.100.11"))
    expected = 'iifname "h0" ip daddr 198.51.100.11 meta l4proto { udp, esp } meta length > 1200'
    assert drops(lab.tables["t1-card-eni-1"]) == [expected]


def test_a_namespace_made_anew_gets_its_faults_again(names: Names, lab: Lab) -> None:
    faults.add(names, "blackout", ["cgw-hq-a"], Options())
    script = lab.tables.pop("t1-site-cgw-hq-a")
    faults.reapply(names, "t1-site-cgw-hq-b")
    assert lab.tables == {}
    faults.reapply(names, "t1-site-cgw-hq-a")
    assert lab.tables == {"t1-site-cgw-hq-a": script}


def test_clearing_a_fault_whose_namespace_is_gone_is_no_error(names: Names, lab: Lab) -> None:
    fault = faults.add(names, "blackout", ["gw-a"], Options())
    lab.tables.clear()
    faults.clear(names, fault.id)
    assert faults.in_force(names) == []


@pytest.mark.parametrize(
    ("name", "back"),
    [("STOP", ["systemctl", "kill", "--signal=SIGCONT", "frr"]), ("sigkill", ["systemctl", "start", "frr"])],
)
def test_a_signal_is_sent_and_taken_back(names: Names, lab: Lab, name: str, back: list[str]) -> None:
    fault = faults.add(names, "signal", ["gw-a", "frr", name], Options())
    sent = f"--signal=SIG{name.upper().removeprefix('SIG')}"
    assert lab.ran == [["i-1", "systemctl", "kill", sent, "frr"]]
    faults.clear(names, fault.id)
    assert lab.ran[1:] == [["i-1", *back]]


def test_api_faults_add_up_on_both_sides_and_go_one_by_one(names: Names, lab: Lab) -> None:
    faults.add(names, "api-latency", ["150"], Options(), "slow")
    options = Options(action="ReplaceRoute", side="hosts", times=2)
    faults.add(names, "api-error", ["InternalError", "500"], options, "bad")
    slow = {"service": "*", "latency": 150.0}
    error = {"code": "InternalError", "status": 500}
    bad = {"service": "ec2", "error": error, "operation": "ReplaceRoute", "times": 2}
    assert lab.rules == {"controller": [slow], "hosts": [slow, bad]}
    faults.clear(names, "slow")
    assert lab.rules == {"controller": [], "hosts": [bad]}


@pytest.mark.parametrize(
    ("action", "rule"),
    [
        ("dynamodb:Query", {"service": "dynamodb", "operation": "Query"}),
        ("dynamodb:", {"service": "dynamodb"}),
    ],
)
def test_an_action_may_be_that_of_another_service(names: Names, lab: Lab, action: str, rule: dict[str, str]) -> None:
    faults.add(names, "api-reset", [], Options(action=action, side="hosts"))
    assert lab.rules["hosts"] == [{"reset": True, **rule}]


def test_a_setting_goes_back_to_what_it_was(names: Names, lab: Lab) -> None:
    fault = faults.add(names, "setting", ["route_propagation", "1.5"], Options())
    assert lab.settings["route_propagation"] == 1.5
    faults.clear(names, fault.id)
    assert lab.settings["route_propagation"] == [0, 0]


@pytest.mark.parametrize(
    ("kind", "args", "options", "sentence"),
    [
        ("earthquake", [], {}, "no fault called 'earthquake': there are tunnel-block"),
        ("loss", ["gw-a"], {}, "takes HOST PERCENT, but was given gw-a"),
        ("loss", ["gw-a", "x"], {}, "'x' is no number of percent"),
        ("loss", ["gw-a", "0"], {}, "not possible"),
        ("loss", ["gw-a", "101"], {}, "not possible"),
        ("blackout", ["gw-z"], {}, "no host called gw-z"),
        ("blackout", ["gw-a"], {"action": "RunInstances"}, "no use for --action"),
        ("signal", ["gw-a", "frr", "BANG"], {}, "no signal 'BANG'"),
        ("api-latency", ["fast"], {}, "no number of milliseconds"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_in_force(  # noqa: PLR0917
    names: Names, lab: Lab, kind: str, args: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LabError, match=sentence):
        faults.add(names, kind, args, Options(**options))
    assert faults.in_force(names) == [] and lab.tables == {} and lab.rules == {} and lab.ran == []


def test_an_id_is_used_once_and_is_safe(names: Names, lab: Lab) -> None:
    faults.add(names, "blackout", ["gw-a"], Options(), "one")
    with pytest.raises(LabError, match="fault one is in force already"):
        faults.add(names, "blackout", ["gw-a"], Options(), "one")
    with pytest.raises(LabError, match="not usable"):
        faults.add(names, "blackout", ["gw-a"], Options(), "../one")
    with pytest.raises(LabError, match="no fault 'two' in force: there are one"):
        faults.clear(names, "two")


def test_a_table_that_nft_refuses_is_not_in_force(names: Names, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_where: str, script: str) -> None:
        if "delete" not in script:
            raise netns.KernelError("nft: no")

    monkeypatch.setattr(netns, "nft", refuse)
    with pytest.raises(netns.KernelError):
        faults.add(names, "blackout", ["gw-a"], Options())
    assert faults.in_force(names) == []
