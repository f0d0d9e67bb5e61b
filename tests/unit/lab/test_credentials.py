# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of the lab's rotation: playbooks are told where they are, and never what they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_config import psks
from lab.credentials import Keys
from lab.siteboot import SHIPPED, read_variables


@pytest.fixture
def keys() -> Keys:
    return Keys(read_variables(SHIPPED)["vpnha_sites"])


def test_every_tunnel_gets_another_key(keys: Keys) -> None:
    assert set(keys.new) == set(keys.old)
    assert len({*keys.new.values(), *keys.old.values()}) == 2 * len(keys.old)


def test_the_inventory_has_lookups_of_what_is_stored(keys: Keys) -> None:
    stored: dict[str, str] = {}

    class Client:
        def create_secret(self, **request: Any) -> None:
            stored[request["Name"]] = request["SecretString"]

    keys.store(Client())
    sites = keys.inventory("old", "new")
    assert not any(key in json.dumps(sites) for key in stored.values())
    for which, version in (("psk", "old"), ("psk_next", "new")):
        lookups = psks(sites, which)
        assert len(lookups) == len(keys.old)
        for tunnel, lookup in lookups.items():
            assert f"'vpn/lab/{tunnel}/{version}'" in lookup and f"vpn/lab/{tunnel}/{version}" in stored
    assert psks(keys.inventory("new"), "psk_next") == {}


def test_peers_have_the_keys_themselves(keys: Keys) -> None:
    both = keys.peers("new", "old")
    assert psks(both) == keys.new and psks(both, "psk_next") == keys.old
    assert psks(keys.peers("new"), "psk_next") == {}
