# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that turn a checked deployment into what the role ``gateway`` writes on one host."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vpnha.aws.plugins.module_utils import gateway_turn as turns
from ansible_collections.vpnha.aws.plugins.module_utils import peers, tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.description_certificates import AUTHORITIES, credentials
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.model import PSK, Deployment


def _deployment(checked: Mapping[str, Any]) -> Deployment:
    # Ansible's strings carry their origin in a subclass; the description is read by exact types
    return from_dict(json.loads(json.dumps(checked)))


def gateway_view(checked: Mapping[str, Any], name: str, data_plane: str) -> dict[str, Any]:
    """``tunnel_config.GatewayView`` as a dictionary."""
    try:
        view = asdict(tunnel_config.gateway_view(_deployment(checked), name, data_plane))
    except VpnhaError as error:
        raise AnsibleFilterError(str(error)) from error
    result: dict[str, Any] = json.loads(json.dumps(view))  # lists for tuples, as templates expect
    return result


def gateway_tunnels(
    checked: Mapping[str, Any], name: str, data_plane: str, sites: Sequence[Mapping[str, Any]], **options: Any
) -> list[dict[str, Any]]:
    """One gateway's tunnels with their keys, as the module ``gateway_tunnels`` takes them."""
    deployment = _deployment(checked)
    keys = {key: tunnel_config.psks(sites, key) for key in ("psk", "psk_next")}
    return [
        {
            "name": tunnel.name,
            "connection": tunnel_config.connection(deployment, tunnel, data_plane, **options),
            **({key: of[tunnel.name] for key, of in keys.items() if tunnel.name in of and tunnel.auth == PSK}),
            "owners": [tunnel.local_id, tunnel.peer_id],
        }
        for tunnel in deployment.tunnels
        if tunnel.gateway == name
    ]


def peer_settings(checked: Mapping[str, Any], name: str, data_plane: str, **own: Any) -> list[dict[str, Any]]:
    """What the far end of each of a gateway's tunnels must be set to."""
    plain = json.loads(json.dumps(own))
    try:
        found = peers.settings(_deployment(checked), name, data_plane, peers.Own(**plain))
    except VpnhaError as error:
        raise AnsibleFilterError(str(error)) from error
    result: list[dict[str, Any]] = json.loads(json.dumps(found))
    return result


def peer_lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same to be read by a person, all tunnels one after the other."""
    return [line for each in found for line in peers.lines(dict(each))]


def gateway_turn(checked: Mapping[str, Any], name: str, **found: Any) -> dict[str, Any]:
    """``gateway_turn.Turn`` as a dictionary."""
    others = len(_deployment(checked).gateways) - 1
    plain = json.loads(json.dumps(found))
    result: dict[str, Any] = json.loads(json.dumps(asdict(turns.turn(name, others, turns.Differences(**plain)))))
    return result


def gateway_credentials(gateways: Sequence[Mapping[str, Any]], name: str, authorities: str = "") -> dict[str, Any]:
    """One gateway's certificate, key and peers' CAs as the module ``gateway_tunnels`` takes them; {} without any."""
    return credentials({"vpnha_gateways": gateways, AUTHORITIES: authorities}, name) or {}


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "gateway_view": gateway_view,
            "gateway_tunnels": gateway_tunnels,
            "gateway_credentials": gateway_credentials,
            "gateway_turn": gateway_turn,
            "peer_lines": peer_lines,
            "peer_settings": peer_settings,
        }
