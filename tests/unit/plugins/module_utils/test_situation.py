# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for a person who was woken: the worst first, and what is not known is said."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import situation
from ansible_collections.vpnha.aws.plugins.module_utils.situation import Asked

STATUS = {
    "sentence": "Traffic flows to every site.",
    "reasons": ["EC2 was last read 20 s ago."],
    "gateways": [{"name": "gw-a", "verdict": "up", "text": "It answers."}],
    "tunnels": [{"name": "hq-gw-a", "verdict": "grey", "text": "It loses packets."}],
}
STANDING = {
    "summary": ["eu-central-1a uses gw-a (at home)."],
    "gateways": [
        {
            "name": "gw-a",
            "state": "running",
            "system_status": "ok",
            "instance_status": "impaired",
            "carries": ["rtb-1 192.168.10.0/24"],
        }
    ],
    "route_tables": [
        {
            "id": "rtb-1",
            "zone": "eu-central-1a",
            "routes": [
                {"destination": "192.168.10.0/24", "gateway": "gw-a", "target": "eni-1", "blackhole": False},
                {"destination": "192.168.20.0/24", "gateway": None, "target": "vgw-1", "blackhole": True},
            ],
        }
    ],
}


def connection(vpn: str, state: str, name: str = "") -> dict[str, Any]:
    tunnel = {"address": "203.0.113.1", "state": state, "reason": "EC2 says that it is down."}
    return {"id": vpn, "name": name, "state": state, "reason": "203.0.113.1 is down.", "tunnels": [tunnel]}


def asked(**given: Any) -> Asked:
    full: dict[str, Any] = {
        "deployment": "lab",
        "at": "2026-01-01T00:00:00Z",
        "alarm": "lab-vpn-2-connection",
        "connection": "vpn-2",
        "managed": {"connections": [connection("vpn-1", "degraded"), connection("vpn-2", "down", "hq")]},
        "standing": STANDING,
        "monitors": {"mon-a": STATUS},
        "events": {"mon-a": ["12:00:00 gateway-down gw-a"]},
        "gateways": {
            "gw-a": {"tunnels": [{"name": "hq-gw-a", "verdict": "up", "reasons_text": ["It carries packets"]}]}
        },
    }
    return Asked(**{**full, **given})


def test_the_headline_begins_with_what_the_alarm_is_about() -> None:
    assert situation.headline(asked()) == ("lab: vpn-2 (hq) is down. vpn-1 is degraded. Traffic flows to every site.")
    assert situation.headline(asked(managed={"connections": [connection("vpn-1", "up")]})) == (
        "lab: All managed connections are up. Traffic flows to every site."
    )
    assert situation.headline(asked(managed={}, monitors={})) == "lab: little could be found out."


def test_the_text_has_all_that_was_answered() -> None:
    assert (
        situation.text(asked())
        == """\
lab: vpn-2 (hq) is down. vpn-1 is degraded. Traffic flows to every site.
Found out at 2026-01-01T00:00:00Z because of the alarm lab-vpn-2-connection.

Managed VPN connections
  vpn-1: degraded. 203.0.113.1 is down.
    tunnel 203.0.113.1: degraded. EC2 says that it is down.
  vpn-2 (hq): down. 203.0.113.1 is down.
    tunnel 203.0.113.1: down. EC2 says that it is down.

Routes
  eu-central-1a uses gw-a (at home).
  rtb-1 (eu-central-1a): 192.168.10.0/24 -> gw-a
  rtb-1 (eu-central-1a): 192.168.20.0/24 -> vgw-1 (blackhole)

Gateways
  gw-a: running, system status ok, instance status impaired, routes carried: 1.
    tunnel hq-gw-a: up. It carries packets

Monitors
  mon-a: Traffic flows to every site.
    EC2 was last read 20 s ago.
    gw-a: up. It answers.
    hq-gw-a: grey. It loses packets.

The monitors' last events
  mon-a: 12:00:00 gateway-down gw-a
"""
    )


def test_what_is_not_known_is_said_with_the_reason() -> None:
    gaps = asked(
        managed={"msg": "reading the VPN connections: UnauthorizedOperation: no\nTraceback"},
        standing={"failed": False},
        notes=["The hosts could not be found."],
        monitors={},
        silent=["mon-a"],
        gateways={"gw-a": {"unreachable": True, "msg": "Failed to connect to the host via ssh: timed out"}},
    )
    assert situation.missing(gaps) == [
        "The hosts could not be found.",
        "AWS's word on the managed connections is not known: reading the VPN connections: UnauthorizedOperation: no",
        "How the deployment stands in EC2 is not known: the answer is empty",
        "mon-a does not answer; look at its service vpnha-monitor.",
        "The health of gw-a is not known: Failed to connect to the host via ssh: timed out",
    ]
    assert "What could not be found out\n  The hosts could" in situation.text(gaps)
    assert situation.missing(asked()) == []
    assert situation.missing(Asked("lab", "2026-01-01T00:00:00Z")) == []  # nothing was asked for


def test_sns_gets_what_it_takes() -> None:
    long = asked(
        managed={"connections": [connection(f"vpn-{number}", "down", "bureau-é") for number in range(20)]},
        events={"mon-a": ["x" * 10_000] * 40},
    )
    subject = situation.subject(long)
    assert len(subject) == situation.SUBJECT_CHARACTERS and subject.isascii() and subject.endswith("...")
    message = situation.message(long, "/reports/lab.json")
    assert len(message.encode()) <= 256 * 1024
    assert message.endswith("(cut here; all of it: /reports/lab.json)\n")
    assert situation.message(asked(), "/r.json").endswith("The same with all details: /r.json\n")


def test_the_document_is_json_and_has_everything() -> None:
    found = json.loads(json.dumps(situation.document(asked())))
    assert found["monitors"] == {"mon-a": STATUS} and found["standing"] == STANDING
    assert found["headline"] == situation.headline(asked()) and found["missing"] == []
