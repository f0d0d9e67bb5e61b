# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's configuration file: read, checked as a whole, or refused with every problem as a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import charon, tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.description_fields import Problems, Section, kind
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import MIN_KEY_CHARS, PORT
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Gateway, Tunnel
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_probe import LARGE_BYTES

DEFAULT_PATH = Path("/etc/vpnha/agent.json")
_KEYS = ("gateway", "deployment", "keys", "listen", "port", "vici_socket", "data_plane", "large_bytes")
_LARGE = (576, 9000)  # what every host has to take, and jumbo frames


@dataclass(frozen=True)
class AgentConfig:
    """What an agent needs to know."""

    gateway: str  # its own gateway's name
    deployment: Deployment
    keys: tuple[str, ...]  # heartbeat secrets; the first signs
    data_plane: str  # "xfrm": a device for each tunnel, or "libipsec": one for all
    listen: str = "0.0.0.0"
    port: int = PORT
    vici_socket: str = charon.SOCKET
    large_bytes: int = LARGE_BYTES  # of a large probe, with its headers: of the largest packet that goes into a tunnel

    @property
    def tunnels(self) -> tuple[Tunnel, ...]:
        """The tunnels of this gateway."""
        return tuple(tunnel for tunnel in self.deployment.tunnels if tunnel.gateway == self.gateway)

    @property
    def others(self) -> tuple[Gateway, ...]:
        """The other gateways of the deployment."""
        return tuple(gateway for gateway in self.deployment.gateways if gateway.name != self.gateway)

    def device(self, tunnel: Tunnel) -> str:
        """The device through which a tunnel's packets go."""
        return tunnel_config.tunnel_device(tunnel, self.data_plane)


def load(path: Path) -> AgentConfig:
    """The configuration in a file. Raises DescriptionError with every problem found."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DescriptionError(
            [f"{path}: the file cannot be read ({error.strerror}); write it anew with the gateway role."]
        ) from None
    except ValueError as error:
        raise DescriptionError([f"{path}: this is not JSON ({error}); write it anew with the gateway role."]) from None
    if not isinstance(value, Mapping):
        raise DescriptionError(
            [f"{path}: the file holds {kind(value)} where a dictionary with {', '.join(_KEYS)} is needed."]
        )
    return parse(value, str(path))


def parse(value: Mapping[str, Any], where: str) -> AgentConfig:
    """The configuration in a mapping; ``where`` begins each sentence. Raises DescriptionError with every problem."""
    problems = Problems()
    section = Section(problems, where, value, _KEYS)
    gateway = section.text("gateway", need="the gateway's name in the deployment")
    data_plane = section.text("data_plane", need=" or ".join(tunnel_config.DATA_PLANES))
    if data_plane and data_plane not in tunnel_config.DATA_PLANES:
        section.problem("data_plane", f"'{data_plane}' is none; write {' or '.join(tunnel_config.DATA_PLANES)}.")
    port = value.get("port", PORT)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        section.problem("port", f"'{port}' is no UDP port; write a number from 1 to 65535.")
    large, (least, most) = value.get("large_bytes", LARGE_BYTES), _LARGE
    if isinstance(large, bool) or not isinstance(large, int) or not least <= large <= most:
        section.problem("large_bytes", f"'{large}' is no size of a large probe; write a number from {least} to {most}.")
    keys = []
    for at, key in section.items("keys", needed=True):
        if isinstance(key, str) and len(key) >= MIN_KEY_CHARS:
            keys.append(key)
        else:  # never show it
            problems.add(at, f"this heartbeat key is no string of at least {MIN_KEY_CHARS} characters.")
    deployment = _deployment(section)
    if deployment is not None and gateway and gateway not in {each.name for each in deployment.gateways}:
        section.problem("gateway", f"'{gateway}' is no gateway of the deployment; name one of its gateways.")
    listen, vici_socket = section.text("listen", "0.0.0.0"), section.text("vici_socket", charon.SOCKET)
    if problems.sentences or deployment is None:
        raise DescriptionError(problems.sentences)
    return AgentConfig(gateway, deployment, tuple(keys), data_plane, listen, port, vici_socket, large)


def _deployment(section: Section) -> Deployment | None:
    raw = section.value.get("deployment")
    if not isinstance(raw, Mapping):
        section.problem("deployment", f"{kind(raw)} stands where the deployment's dictionary is needed.")
        return None
    try:
        return from_dict(raw)
    except DescriptionError as error:
        for sentence in error.sentences:
            section.problem("deployment", sentence)
    return None
