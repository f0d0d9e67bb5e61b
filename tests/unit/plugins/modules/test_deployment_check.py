# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it: arguments in on standard input, one JSON result out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.modules import deployment_check
from tests.unit.module_process import run_module
from tests.unit.plugins.module_utils.test_description import KEY, PSK, good


def run(variables: dict[str, Any], check_mode: bool = False) -> tuple[int, dict[str, Any], str]:
    answer = run_module("deployment_check", description=variables, _ansible_check_mode=check_mode)
    return answer.code, answer.result, answer.output


def test_a_good_description_is_returned_normalised_and_without_secrets() -> None:
    code, result, output = run(good(), check_mode=True)
    assert (code, result["changed"], result["remarks"]) == (0, False, [])
    assert result["deployment"]["tunnels"][0]["name"] == "hq-gw-a"
    assert PSK not in output
    assert KEY not in output


def test_more_rules_than_a_security_group_has_room_for_are_told() -> None:
    variables = good()
    hq = variables["vpnha_sites"][0]
    hq["prefixes"] += [f"172.16.{2 * n}.0/24" for n in range(45)]  # none of them adjacent
    assert run(variables)[1]["remarks"] == []  # 12 of the peers, 1 of the VPC, 47 of the sites
    hq["prefixes"].append("172.17.0.0/24")
    [remark] = run(variables)[1]["remarks"]
    assert remark.startswith(
        "The security group of the gateways needs 61 inbound rules for IPv4 and those of vpnha_admin"
    )
    assert "'Inbound or outbound rules per security group'" in remark


def test_a_bad_one_fails_with_all_sentences_and_without_secrets() -> None:
    variables = good()
    variables["vpnha_region"] = ""
    variables["vpnha_sites"][0]["tunnels"][0]["psk"] = PSK + "\n"
    variables["vpnha_notify_apprise"] = [address := "slack://s3cr3t-t0ken/x"]
    code, result, output = run(variables)
    assert code == 1
    first, *lines = result["msg"].splitlines()
    assert "2 problems" in first
    assert len(lines) == 2
    assert PSK not in output
    assert address not in output
    assert "Traceback" not in output


def test_the_documented_return_values_are_the_deployments() -> None:
    text = Path(deployment_check.__file__).read_text()
    _code, result, _output = run(good())
    for key in result["deployment"]:
        assert f"    {key}:\n" in text
