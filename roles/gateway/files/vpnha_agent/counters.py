# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets forwarded from each zone's application subnets, as the gateway's nftables counters have them."""

from __future__ import annotations

import json

from .service import run

TABLE = ("inet", "vpnha")
PREFIX = "zone-"


def parse(text: str) -> dict[str, int]:
    """Packets by zone name, from ``nft -j list counters``. ValueError when it is not that."""
    try:
        objects = json.loads(text)["nftables"]
        counters = [item["counter"] for item in objects if "counter" in item]
        return {
            counter["name"].removeprefix(PREFIX): int(counter["packets"])
            for counter in counters
            if counter["name"].startswith(PREFIX)
        }
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"no list of counters: {exc}") from None


async def read() -> dict[str, int]:
    """The counters now. ValueError when nft cannot say."""
    ended = await run("nft", "-j", "list", "counters", "table", *TABLE)
    if ended.code != 0:
        raise ValueError(ended.error.partition("\n")[0] or "nft failed")
    return parse(ended.output)
