# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module managed_tunnel_replace as Ansible runs it, against the lab's endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.endpoint_process import endpoint

from .conftest import _until
from .test_managed_vpn_modules import Office, play


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the endpoint looks which tunnels are up."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def url(directory: Path) -> Iterator[str]:
    """The endpoint's address."""
    with endpoint(directory) as address:
        yield address


def replace(office: Office, **options: Any) -> dict[str, Any]:
    return play(office.url, "managed_tunnel_replace", connection=office.id, **options)


def statuses(office: Office) -> list[str]:
    [shown] = office.client.describe_vpn_connections(VpnConnectionIds=[office.id])["VpnConnections"]
    return [each["Status"] for each in shown["VgwTelemetry"]]


def test_the_one_that_is_down_is_replaced_once_and_not_again(client: Any, url: str, directory: Path) -> None:
    office = Office(client, url)
    office.make()
    one, two = office.addresses

    refused = replace(office)
    assert refused["failed"] and refused["msg"].startswith(
        f"No other tunnel of {office.id} is up ({one} DOWN, {two} DOWN)"
    )

    (directory / "up").write_text(two)
    _until(lambda: statuses(office) == ["DOWN", "UP"])
    would = replace(office, _ansible_check_mode=True)
    assert (would["changed"], would["tunnel"], would["last_replaced"]) == (True, one, None)
    assert statuses(office) == ["DOWN", "UP"]

    done = replace(office, wait_timeout=120)
    assert (done["changed"], done["tunnel"], done["before"], done["after"]) == (True, one, "DOWN", "UP")
    assert statuses(office) == ["UP", "UP"]
    assert replace(office)["text"] == f"All tunnels of {office.id} are up; nothing is replaced."

    (directory / "up").write_text("")
    _until(lambda: statuses(office) == ["UP", "DOWN"])
    again = replace(office)
    assert again["failed"] and f"was replaced at {done['last_replaced']}, and the next may be at" in again["msg"]
    assert statuses(office) == ["UP", "DOWN"]


def test_bad_options_are_one_sentence(url: str) -> None:
    nobody = {"connection": "vpn-0123456789abcdef0"}
    told = play(url, "managed_tunnel_replace", **nobody, also_when_up=True)
    assert told["msg"] == "also_when_up needs tunnel: name the tunnel that shall be replaced although it is up."
    told = play(url, "managed_tunnel_replace", **nobody, hours_between=0)
    assert told["msg"] == "hours_between is 0; give at least 1."
    told = play(url, "managed_tunnel_replace", **nobody)
    assert told["msg"].startswith("reading the VPN connections: InvalidVpnConnectionID.NotFound: ")
