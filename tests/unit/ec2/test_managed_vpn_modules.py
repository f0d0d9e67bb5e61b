# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules managed_vpn_info and managed_vpn_alarms as Ansible runs them, against the lab's endpoint."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import ec2

from .conftest import REGION

ADDRESSES = itertools.count(1)


def play(url: str, name: str, **options: Any) -> dict[str, Any]:
    """What a module answers."""
    code = (
        "import sys, json\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        f"from ansible_collections.vpnha.aws.plugins.modules import {name}\n"
        "with patch_module_args(json.load(sys.stdin)):\n"
        f"    {name}.main()\n"
    )
    given = {"region": REGION, "endpoint_url": url, "_ansible_remote_tmp": "/tmp", **options}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "not-needed-here",
        },
        check=False,
    )
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture
def account(url: str, client: Any) -> Any:
    """Makes a client of another service."""
    return lambda service: ec2.make_client(service, region=REGION, endpoint_url=url)


@pytest.fixture
def vpn(client: Any) -> str:
    """The id of a new connection of a virtual private gateway."""
    cgw = client.create_customer_gateway(Type="ipsec.1", PublicIp=f"192.0.2.{next(ADDRESSES)}", BgpAsn=65000)
    vgw = client.create_vpn_gateway(Type="ipsec.1")
    made = client.create_vpn_connection(
        Type="ipsec.1",
        CustomerGatewayId=cgw["CustomerGateway"]["CustomerGatewayId"],
        VpnGatewayId=vgw["VpnGateway"]["VpnGatewayId"],
        Options={"StaticRoutesOnly": True},
    )
    return str(made["VpnConnection"]["VpnConnectionId"])


def test_x(url, client, vpn, account):
    print(client.describe_vpn_connections(VpnConnectionIds=[vpn]))
    for n in range(2):
        print(json.dumps(play(url, "managed_vpn_info"), indent=1))
        print(json.dumps(play(url, "managed_vpn_alarms", deployment="lab", topic="lab-x", subscriptions=[{"protocol": "email", "endpoint": "a@b.c"}]), indent=1))
    print(json.dumps(play(url, "managed_vpn_alarms", deployment="lab", topic="lab-x", state="absent"), indent=1))
    assert 0
