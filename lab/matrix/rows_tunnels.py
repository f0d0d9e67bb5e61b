# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows whose fault is in a tunnel, in what makes it, or at a site."""

from __future__ import annotations

import time

from lab import sas
from lab.matrix.model import Expect, row
from lab.matrix.stage import MOVED_SECONDS, Stage, several, tunnels_of

ALL_PEERS = ("cgw-hq-a", "cgw-plant-a", "cgw-hq-b", "cgw-plant-b")
TUNNEL_MS = 1200.0  # the longest outage that the design allows when a tunnel dies


@row(
    1,
    "SIGKILL to charon of gw-a; 12 s",
    Expect(may_leave="gw-a", outage_ms=TUNNEL_MS, encrypted=True),
)
def charon_killed(stage: Stage) -> None:
    stage.inject("SIGKILL to strongswan of gw-a")
    stage.run("gw-a", "systemctl", "kill", "--signal=SIGKILL", "strongswan")
    stage.undo("start charon", lambda: stage.run("gw-a", "systemctl", "start", "strongswan"))
    stage.watch(12.0)
    stage.fact(
        "charon runs again by itself",
        "active" in stage.run("gw-a", "systemctl", "is-active", "strongswan", check=False),
    )


@row(
    2,
    "SIGSTOP to charon of gw-a, until its routes have left",
    Expect(leaves="gw-a", told=("charon-hung",), outage_ms=TUNNEL_MS, encrypted=True),
)
def charon_hung(stage: Stage) -> None:
    stage.fault("signal", "gw-a", "strongswan", "STOP")
    stage.until_left("gw-a", MOVED_SECONDS)


@row(
    3,
    "ESP between gw-a and both its peers dropped, until its routes have left",
    Expect(leaves="gw-a", told=("tunnel-nothing-returns",), outage_ms=TUNNEL_MS, encrypted=True),
)
def esp_dropped(stage: Stage) -> None:
    several(stage, "esp-block", tunnels_of("gw-a"))
    stage.until_left("gw-a", MOVED_SECONDS)


@row(
    4,
    "IKE between gw-a and both its peers dropped, then the hourly rekeying; 30 s, before charon gives up after 41 s",
    Expect(told=("ike-down-esp-passes",), once=("ike-down-esp-passes",), outage_ms=0.0),
)
def ike_dropped(stage: Stage) -> None:
    several(stage, "ike-block", tunnels_of("gw-a"))
    for tunnel in ("hq-gw-a", "plant-gw-a"):  # while ESP passes, nothing else would ask the peer for an answer
        stage.shell("gw-a", f"timeout 2 swanctl --rekey --child {tunnel}", check=False)
    stage.watch(30.0)


@row(
    5,
    "ESP from both peers to gw-a dropped, the other way not; until its routes have left",
    Expect(leaves="gw-a", told=("tunnel-nothing-returns",), outage_ms=TUNNEL_MS, encrypted=True),
)
def esp_one_way(stage: Stage) -> None:
    several(stage, "esp-block", tunnels_of("gw-a"), direction="in")
    stage.until_left("gw-a", MOVED_SECONDS)


@row(
    9,
    "every packet of both gateways dropped for 2 s; 10 s later every tunnel's for 2 s; 10 s",
    Expect(),
)
def blackout_of_all_paths(stage: Stage) -> None:
    for kind, where in (("blackout", [("gw-a",), ("gw-b",)]), ("tunnel-block", tunnels_of("gw-a", "gw-b"))):
        cut = [stage.fault(kind, *args) for args in where]
        stage.watch(2.0)
        for fault in cut:
            stage.clear(fault)
        stage.watch(10.0)


@row(
    23,
    "every packet of all customer gateways of both sites dropped; 15 s",
    Expect(told=("site-down",), once=("site-down",)),
)
def sites_down(stage: Stage) -> None:
    for peer in ALL_PEERS:
        stage.fault("blackout", peer)
    stage.watch(15.0)
    told = [event for event in stage.lookout.events(stage.injected or 0.0) if event["code"] == "site-down"]
    stage.fact("site-down is told once for each site", sorted(event["subject"] for event in told) == ["hq", "plant"])


@row(
    24,
    "every packet of both customer gateways of hq dropped; 15 s",
    Expect(told=("site-down",), once=("site-down",)),
)
def one_site_down(stage: Stage) -> None:
    stage.fault("blackout", "cgw-hq-a")
    stage.fault("blackout", "cgw-hq-b")
    stage.watch(15.0)
    told = [event for event in stage.lookout.events(stage.injected or 0.0) if event["code"] == "site-down"]
    stage.fact("site-down is told of hq alone", [event["subject"] for event in told] == ["hq"])


@row(
    25,
    "charon of both gateways stopped for 60 s, longer than a repair waits",
    Expect(told=("site-down",), encrypted=True),
)
def all_tunnels_down(stage: Stage) -> None:
    for gateway in ("gw-a", "gw-b"):
        stage.fault("unit-stop", gateway, "strongswan")
    stage.watch(60.0)


@row(
    34,
    "both ends of a tunnel rekey CHILD and IKE SA at the same moment, three times, their IKE packets lost for 1 s",
    Expect(outage_ms=TUNNEL_MS, encrypted=True),
)
def rekey_collides(stage: Stage) -> None:
    before = _up(stage)
    for peer, tunnel in (("cgw-hq-a", "hq-gw-a"), ("cgw-plant-a", "plant-gw-a"), ("cgw-hq-a", "hq-gw-a")):
        block = stage.fault("ike-block", "gw-a", peer)
        for end in ("gw-a", peer):
            stage.shell(end, f"swanctl --rekey --child {tunnel} & swanctl --rekey --ike {tunnel} &", check=False)
        stage.watch(1.0)
        stage.clear(block)
        stage.watch(8.0)
    after = _up(stage)
    stage.fact(
        "both tunnels have other IKE SAs than before",
        len(before) == len(after) == 2 and all(after[name].number != sa.number for name, sa in before.items()),
    )


@row(
    35,
    "gw-a authenticates its IKE SAs anew, then starts the same tunnels a second time; 10 s",
    Expect(outage_ms=TUNNEL_MS, encrypted=True),
)
def duplicates(stage: Stage) -> None:
    before = _up(stage)
    stage.inject("reauthentication of both tunnels of gw-a")
    for tunnel in ("hq-gw-a", "plant-gw-a"):
        stage.run("gw-a", "swanctl", "--rekey", "--ike", tunnel, "--reauth")
    stage.watch(5.0)
    after = _up(stage)
    stage.fact(
        "both tunnels were authenticated anew",
        {sa.number for sa in before.values()}.isdisjoint(sa.number for sa in after.values()) and len(after) == 2,
    )
    stage.mark("both tunnels of gw-a initiated once more")
    for tunnel in ("hq-gw-a", "plant-gw-a"):
        stage.run("gw-a", "swanctl", "--initiate", "--child", tunnel, check=False)
        children = stage.run("gw-a", "swanctl", "--list-sas", "--child", tunnel).count("INSTALLED")
        stage.mark(f"{tunnel} has {children} CHILD SAs")
    stage.watch(10.0)


@row(
    50,
    "UDP and ESP packets over 1420 bytes between gw-a and hq's peer dropped, until the routes to hq have left gw-a",
    Expect(leaves="gw-a/hq", told=("tunnel-mtu",), outage_ms=0.0),
)
def mtu_lowered(stage: Stage) -> None:
    # 1300 bytes in the tunnel, and no full segment: those are 1456 bytes outside, or more
    stage.fault("mtu", "gw-a", "1420", peer="cgw-hq-a")
    stage.until_left("gw-a/hq", MOVED_SECONDS)


@row(
    51,
    "hq's peer of gw-a shuts its BGP session, until the routes to hq have left gw-a",
    Expect(leaves="gw-a/hq", outage_ms=TUNNEL_MS, encrypted=True),
)
def bgp_down(stage: Stage) -> None:
    # not by stopping FRR there: without its blackhole route the peer itself would answer in clear
    def session(words: str) -> None:
        stage.run("cgw-hq-a", "vtysh", "-c", "configure", "-c", "router bgp 65010", "-c", f"{words} shutdown")

    stage.inject("BGP session shut by cgw-hq-a")
    stage.undo("BGP session", lambda: session("no neighbor 169.254.10.1"))
    session("neighbor 169.254.10.1")
    stage.until_left("gw-a/hq", MOVED_SECONDS)


@row(
    62,
    "ESP and IKE of all tunnels of both gateways dropped; 15 s of packets captured on the internet",
    Expect(told=("site-down",), encrypted=True),
)
def no_plaintext(stage: Stage) -> None:
    several(stage, "tunnel-block", tunnels_of("gw-a", "gw-b"))
    stage.watch(15.0)


@row(
    64,
    "hq's tunnel of gw-a blocked until its routes have left, then healed; plant's blocked when hq's is up again",
    Expect(leaves="gw-a", outage_ms=TUNNEL_MS, encrypted=True),
)
def one_fails_while_the_other_goes_home(stage: Stage) -> None:
    first = stage.fault("tunnel-block", "gw-a", "cgw-hq-a")
    stage.until_left("gw-a/hq", MOVED_SECONDS)
    stage.clear(first)
    stage.mark("hq's tunnel healed")

    def verdict(site: str) -> str:
        return next(
            str(path["verdict"])
            for path in stage.lookout.status()["paths"]
            if (path["gateway"], path["site"]) == ("gw-a", site)
        )

    stage.until(lambda: verdict("hq") == "up", 30.0, "hq's tunnel of gw-a is up again")
    stage.fault("tunnel-block", "gw-a", "cgw-plant-a")
    began = time.monotonic()
    hq = stage.on("gw-a", "hq")
    stage.until(lambda: all(stage.lookout.routes()[one] == "gw-a" for one in hq), 30.0, "hq's routes are home")
    stage.fact("hq's routes are home before plant's leave", not stage.lookout.left(stage.home, "gw-a/plant"))
    stage.mark(f"hq's routes home after {time.monotonic() - began:.1f} s")
    stage.until_left("gw-a/plant", MOVED_SECONDS)


def _up(stage: Stage) -> dict[str, sas.Sa]:
    """gw-a's tunnels that are up."""
    return sas.established(stage.run("gw-a", "swanctl", "--list-sas"))
