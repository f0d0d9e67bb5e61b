# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make adopt` reads out of a deploy, and the files that somebody has written by hand."""

from __future__ import annotations

from lab import by_hand, sites
from lab.adopt import left
from lab.siteboot import SHIPPED, read_variables

OUTPUT = """\
ok: [gw-a] => {
    "msg": "gw-a is left as somebody has set it up, and was not touched. Routes lead to it (\\"rtb-1\\"): move them."
}
ok: [localhost] => {
    "msg": [
        "lab is deployed: gw-a, gw-b watched by mon-a.",
        "gw-a is left as somebody has set it up, and was not touched. Routes lead to it (\\"rtb-1\\"): move them.",
        "gw-b is left as somebody has set it up, and was not touched. Packets from hq still pass gw-b."
    ]
}
"""


def test_each_gateway_that_is_left_is_told_once() -> None:
    assert left(OUTPUT) == [
        'gw-a is left as somebody has set it up, and was not touched. Routes lead to it ("rtb-1"): move them.',
        "gw-b is left as somebody has set it up, and was not touched. Packets from hq still pass gw-b.",
    ]
    assert left("lab is deployed") == []


def test_what_is_written_by_hand_fits_the_peers_and_names_nothing_of_ours() -> None:
    variables = read_variables(SHIPPED)
    values = by_hand.values_of(variables, sites.described(variables), "gw-b")
    connections = sites.render("by-hand.swanctl.conf", values)
    for words in ("remote_addrs = 198.51.100.12", "id = gw-b.lab", 'secret = "lab-only-psk-of-plant-and-gw-b"'):
        assert words in connections
    assert "198.51.100.11" not in connections and "vpnha" not in connections
    routing = sites.render("by-hand.frr.conf", values)
    assert "neighbor 169.254.10.6 route-map SECOND out" in routing and "vpnha" not in routing
    first = sites.render("by-hand.frr.conf", by_hand.values_of(variables, sites.described(variables), "gw-a"))
    assert "neighbor 169.254.10.2 remote-as 65010" in first and "SECOND" not in first
