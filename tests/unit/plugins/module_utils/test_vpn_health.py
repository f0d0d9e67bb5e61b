# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examination of a gateway's tunnels, over loopback, against a daemon that answers as strongSwan 6.0.1 did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import description, vpn_health
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import IcmpSocket
from ansible_collections.vpnha.aws.plugins.module_utils.vpn_health import Examination, Subject, examine
from tests.unit.agent.agent_world import DEPLOYMENT, settings
from tests.unit.plugins.module_utils.fake_vici import Handler, serve_nothing, serve_sas, served
from tests.unit.plugins.module_utils.test_vici_health import CAPTURED, NAME

SITE = "127.0.0.2"


def raw_sockets_allowed() -> bool:
    sock = IcmpSocket()
    try:
        sock.open()
    except OSError:
        return False
    finally:
        sock.close()
    return True


needs_raw = pytest.mark.skipif(not raw_sockets_allowed(), reason="needs CAP_NET_RAW")


def examined(directory: Path, handler: Handler, *subjects: Subject) -> dict[str, Any]:
    with served(directory / "charon.vici", handler) as path:
        result = examine(Examination(subjects, path, count=3, interval=0.01))
    json.dumps(result)  # plain data
    return result


def subject(name: str = NAME, device: str = "") -> Subject:
    return Subject(name, "hq", "127.0.0.1", "", device, (SITE,))


def dead(name: str = NAME) -> Subject:
    return subject(name, "no-such-device")


@needs_raw
def test_a_tunnel_that_carries_is_up(tmp_path: Path) -> None:
    result = examined(tmp_path, serve_sas(CAPTURED["established"]), subject())
    assert result["healthy"] and result["charon"] == {"state": "alive", "version": "6.0.1"}
    (tunnel,) = result["tunnels"]
    assert (tunnel["verdict"], tunnel["reasons"], tunnel["ike"]) == ("up", ["tunnel-up"], "established")
    assert (tunnel["probe"]["sent"], tunnel["probe"]["received"], tunnel["probe"]["loss"]) == (3, 3, 0.0)
    assert 0 < tunnel["probe"]["rtt_ms"]["min"] <= tunnel["probe"]["rtt_ms"]["max"]
    assert [target["target"] for target in tunnel["targets"]] == [SITE]
    assert result["sites"][0]["name"] == "hq" and result["sites"][0]["loss"] == 0.0
    assert result["summary"] == [f"{NAME}: Tunnel carries packets"]


@needs_raw
@pytest.mark.parametrize(
    ("sample", "reasons"),
    [
        ("established", ["tunnel-nothing-returns"]),
        ("connecting", ["ike-sa-missing", "peer-not-answering"]),
        ("psk_wrong", ["ike-sa-missing"]),
        ("child_missing", ["child-sa-missing"]),
    ],
)
def test_one_that_carries_nothing_is_down_with_its_reasons(tmp_path: Path, sample: str, reasons: list[str]) -> None:
    result = examined(tmp_path, serve_sas(CAPTURED[sample]), dead())
    (tunnel,) = result["tunnels"]
    assert (tunnel["verdict"], tunnel["reasons"]) == ("down", reasons)
    assert tunnel["probe"]["error"] == "ENODEV" and tunnel["probe"]["rtt_ms"] is None
    assert not result["healthy"] and tunnel["advice"]


@needs_raw
def test_a_hung_charon_is_a_verdict(tmp_path: Path) -> None:
    result = examined(tmp_path, serve_nothing, dead())
    assert result["charon"]["state"] == "hung"
    assert result["tunnels"][0]["reasons"] == ["charon-hung"]


@needs_raw
def test_associations_of_no_tunnel_are_shown_apart(tmp_path: Path) -> None:
    result = examined(tmp_path, serve_sas(CAPTURED["established"]), subject("another"))
    assert [sa["name"] for sa in result["other_sas"]] == [NAME]
    assert result["tunnels"][0]["reasons"] == ["ike-down-esp-passes"]


@needs_raw
def test_a_peer_that_answers_no_pings_is_judged_by_the_sites_answers(tmp_path: Path) -> None:
    mute = Subject(NAME, "hq", "127.255.255.255", "", "", (SITE,))
    result = examined(tmp_path, serve_sas(CAPTURED["established"]), mute)
    assert result["tunnels"][0]["probe"]["received"] == 0
    assert result["tunnels"][0]["verdict"] == "up"


@needs_raw
def test_a_gateway_without_tunnels_has_none_that_is_ill(tmp_path: Path) -> None:
    result = examined(tmp_path, serve_sas(CAPTURED["established"]))
    assert result["healthy"] and result["tunnels"] == [] and not vpn_health.ailing(result)


@needs_raw
def test_without_strongswan_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vpn_health, "_BINARIES", ("no-such-program",))
    with pytest.raises(VpnhaError, match=r"^strongSwan is not installed on this host: run the role vpnha.aws.gateway"):
        examine(Examination((subject(),), str(tmp_path / "charon.vici")))


@needs_raw
def test_a_charon_without_socket_is_a_matter_of_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vpn_health, "_BINARIES", ("sh",))
    what = Examination((dead(),), str(tmp_path / "charon.vici"), count=1)
    comm = Path("/proc/self/comm").read_text().strip()
    monkeypatch.setattr(vpn_health, "_PROCESSES", (comm,))
    with pytest.raises(VpnhaError, match="charon runs, but its socket"):
        examine(what)
    monkeypatch.setattr(vpn_health, "_PROCESSES", ("no-such-process",))
    assert examine(what)["tunnels"][0]["reasons"] == ["charon-dead"]


def test_the_agents_configuration_names_the_tunnels(tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    path.write_text(json.dumps(settings(vici_socket="/run/other.vici")))
    subjects, socket, grey_loss = vpn_health.from_agent_config(str(path))
    assert subjects[0] == Subject("hq-gw-a", "hq", "169.254.10.2", "169.254.10.1", "vpnha10", ("192.168.10.10",))
    assert [each.name for each in subjects] == ["hq-gw-a", "plant-gw-a"]
    assert (socket, grey_loss) == ("/run/other.vici", DEPLOYMENT.timing.grey_loss)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "is not there: run this on a gateway"),
        ("{", "is no agent's configuration"),
        ("[]", "is no agent's configuration"),
        (json.dumps(settings(data_plane="x")), "the data plane 'x' is unknown"),
        (
            json.dumps({**settings(), "deployment": {"name": 1, **description.to_dict(DEPLOYMENT)} | {"asn": "x"}}),
            "asn",
        ),
    ],
)
def test_a_bad_configuration_is_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "agent.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(VpnhaError, match=sentence):
        vpn_health.from_agent_config(str(path))
