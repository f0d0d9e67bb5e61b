# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Having static peers send elsewhere: they go by pings of our inside address, which are left unanswered for a while."""

from __future__ import annotations

from .config import AgentConfig
from .service import BoundedLog, run

TABLE = "inet vpnha_handover"


class PeersPings:
    """The pings of the peers that do not speak BGP. The tunnels go on to carry what comes."""

    def __init__(self, config: AgentConfig, log: BoundedLog) -> None:
        self._log = log
        deployment = config.deployment
        static = [tunnel for tunnel in config.tunnels if deployment.site(tunnel.site).routing == "static"]
        self._ways = [(tunnel.peer_inside_address, tunnel.inside_address) for tunnel in static]
        self._refused: bool | None = None  # None: what an earlier agent left behind is not known

    async def refuse(self, refused: bool) -> None:
        """Leave them unanswered, or answer them again. What nft refuses is logged, and tried again by the next call."""
        if refused == self._refused or not self._ways:
            return
        commands = [f"add table {TABLE}", f"delete table {TABLE}"]
        if refused:
            chain = f"{TABLE} input"
            commands += [f"add table {TABLE}"]
            commands += [f"add chain {chain} {{ type filter hook input priority -1; policy accept; }}"]
            commands += [
                f"add rule {chain} ip saddr {peer} ip daddr {own} icmp type echo-request drop"
                for peer, own in self._ways
            ]
        ended = await run("nft", "; ".join(commands))
        if ended.code != 0:
            said = ended.error.partition("\n")[0] or "nft failed"
            self._log.say("peers-pings", f"which pings of peers are answered cannot be changed: {said}")
            return
        self._refused = refused
