# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Having static peers send elsewhere: they go by pings of our inside address, which are left unanswered for a while."""

from __future__ import annotations

from ansible_collections.vpnha.aws.plugins.module_utils import handover

from .config import AgentConfig
from .service import BoundedLog, run

TABLE = "inet vpnha_handover"


class PeersPings:
    """The pings of the peers that do not speak BGP. The tunnels go on to carry what comes."""

    def __init__(self, config: AgentConfig, log: BoundedLog) -> None:
        self._log = log
        deployment = config.deployment
        static = [tunnel for tunnel in config.tunnels if deployment.site(tunnel.site).routing == "static"]
        self._ways = [f"{tunnel.peer_inside_address} . {tunnel.inside_address}" for tunnel in static]
        self._told: str | None = None  # None: what an earlier agent left behind is not known

    async def refuse(self, request: str) -> None:
        """Leave them unanswered while there is a request, else answer them.

        What nft refuses is logged, and tried again by the next call.
        """
        if request == self._told or not self._ways:
            return
        commands = [f"add table {TABLE}", f"delete table {TABLE}"]
        seconds = int(handover.left(request))
        if seconds > 0:
            # the kernel keeps to the time: an agent that ends meanwhile may not come back
            lasting = ", ".join(f"{way} timeout {seconds}s" for way in self._ways)
            commands += [
                f"add table {TABLE}",
                f"add set {TABLE} peers {{ type ipv4_addr . ipv4_addr; flags timeout; }}",
                f"add element {TABLE} peers {{ {lasting} }}",
                f"add chain {TABLE} input {{ type filter hook input priority -1; policy accept; }}",
                f"add rule {TABLE} input ip saddr . ip daddr @peers icmp type echo-request drop",
            ]
        ended = await run("nft", "; ".join(commands))
        if ended.code != 0:
            said = ended.error.partition("\n")[0] or "nft failed"
            self._log.say("peers-pings", f"which pings of peers are answered cannot be changed: {said}")
            return
        self._told = request
