# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it: arguments in, one JSON result out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import description
from ansible_collections.vpnha.aws.plugins.modules import vpn_health_info
from tests.unit.agent.agent_world import DEPLOYMENT
from tests.unit.module_process import run_module


def run(directory: Path, **arguments: Any) -> dict[str, Any]:
    told = run_module("vpn_health_info", _ansible_remote_tmp=str(directory), _ansible_check_mode=True, **arguments)
    return told.result


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"config": "/nonexistent"}, "/nonexistent is not there: run this on a gateway, or describe the tunnels in"),
        ({"tunnels": []}, "'tunnels' is empty: give it some, or leave it out on a gateway"),
        ({"tunnels": [{"name": "t", "peer": "x.y"}]}, "tunnels, t: peer has 'x.y', which is no IPv4 address."),
        ({"tunnels": [{"name": "t", "peer": "192.0.2.1", "targets": ["z"]}]}, "tunnels, t: targets has 'z', which"),
        ({"tunnels": [{"name": "t", "peer": "192.0.2.1"}], "count": 0}, "count has to be from 1 to 1000"),
        ({"tunnels": [{"name": "t"}]}, "missing required arguments: peer found in tunnels"),
    ],
)
def test_bad_arguments_fail_with_one_sentence(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    result = run(tmp_path, **arguments)
    assert result["failed"] and result["msg"].startswith(sentence)


def test_a_gateway_may_be_described_without_tunnels(tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    deployment = {**description.to_dict(DEPLOYMENT), "tunnels": []}
    path.write_text(json.dumps({"gateway": "gw-a", "deployment": deployment, "data_plane": "xfrm"}))
    given = {"count": 1, "interval": 0.05, "tunnels": None, "config": str(path), "vici_socket": None}
    assert vpn_health_info.what_to_examine(given).subjects == ()


def test_the_documentation_matches_the_arguments() -> None:
    documented = yaml.safe_load(vpn_health_info.DOCUMENTATION)["options"]

    def compare(options: dict[str, Any], spec: dict[str, Any]) -> None:
        assert set(options) == set(spec)
        for name, argument in spec.items():
            for key in ("type", "default", "required", "elements"):
                assert options[name].get(key) == argument.get(key), (name, key)
            compare(options[name].get("suboptions", {}), argument.get("options", {}))

    compare(documented, vpn_health_info.SPEC)
