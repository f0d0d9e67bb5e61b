# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contenders: what stands between a broken gateway and an application host that is cut off."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.matrix.lookout import GATEWAYS, MONITOR, Lookout, NotSeen, shown, until

from .cluster import CORE, Cluster, Pace
from .scenarios import BROKEN
from .undo import Undo

OTHER = "gw-b"
WELL_SECONDS = 240.0
CALM_SECONDS = 5.0  # a monitor that has just started is content before it has looked at everything
UNITS = {MONITOR: "vpnha-monitor", **dict.fromkeys(GATEWAYS, "vpnha-agent")}  # who acts first


class Way(ABC):
    """One contender. ``standing`` is given the lab with everything as it is deployed, and leaves it so."""

    name: str
    says: str
    patience: float = 20.0  # seconds after which it does not recover by itself, and is repaired

    def __init__(self, lookout: Lookout, target: str, directory: Path) -> None:
        """``target``: the address at a site whose outage is measured. ``directory``: for logs."""
        self.lookout, self.target, self.directory = lookout, target, directory

    @abstractmethod
    def standing(self) -> AbstractContextManager[None]:
        """A context in which it watches."""


class Ours(Way):
    """The collection."""

    name = "vpnha.aws"
    says = (
        "as it is deployed: a monitor, agents, and BGP with BFD also between the gateways. For the sake of the next "
        "run it goes home after 2 s rather than 60, as often as it likes, and the monitor is restarted before each run"
    )
    patience = 60.0

    @contextmanager
    def standing(self) -> Iterator[None]:
        """It stands already; its monitor has forgotten the failures before, as after a quiet hour."""
        self.lookout.run(MONITOR, "systemctl", "restart", UNITS[MONITOR])
        well(self.lookout)
        yield


class BgpAlone(Way):
    """What FRR does by itself."""

    name = "BGP alone"
    says = "the same gateways with the same BGP and BFD, without monitor and agents; route tables are fixed"

    @contextmanager
    def standing(self) -> Iterator[None]:
        """No process of ours runs meanwhile. The monitor goes first and comes last: it would act on silent agents."""
        with Undo() as stack:
            for host, unit in UNITS.items():
                stack.callback(self.lookout.run, host, "systemctl", "start", unit)
                self.lookout.run(host, "systemctl", "stop", unit)
            stack.callback(self._repaired)
            yield

    def _repaired(self) -> None:
        """A monitor that began before BGP is back would move routes, and back again."""
        until(lambda: set(sessions(self.lookout).values()) == {"Established"}, WELL_SECONDS, "BGP is back")


class NoHa(BgpAlone):
    """What most begin with."""

    name = "no HA"
    says = "one gateway: no monitor, no agents, and no BGP between the gateways; route tables are fixed"

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The gateways do not speak with each other meanwhile; what is shut is gw-b's end, which is never broken."""
        with super().standing(), Undo() as stack:
            session = neighbour(self.lookout, OTHER, BROKEN)
            stack.callback(self._configure, session, f"no neighbor {session['address']} shutdown")
            self._configure(session, f"neighbor {session['address']} shutdown")
            until(lambda: neighbour(self.lookout, OTHER, BROKEN)["state"] != "Established", 10.0, "they are apart")
            yield

    def _configure(self, session: Mapping[str, Any], line: str) -> None:
        lines = ("configure terminal", f"router bgp {session['asn']}", line)
        self.lookout.run(OTHER, "vtysh", *(word for each in lines for word in ("-c", each)))


class MoveIp(NoHa):
    """Pacemaker's agent for routes of a VPC: who has it has one active gateway, and nothing else leads to the other."""

    name = "aws-vpc-move-ip"
    says = (
        f"Pacemaker's agent asked every 60 s, its default; {CORE}; no BGP between the gateways. The cluster's "
        "consensus, Pacemaker's own time and fencing are left out, to its advantage"
    )
    pace = Pace(interval=60.0, silence=3.0)
    patience = 90.0

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The cluster has started its resource on gw-a."""
        with super().standing(), Cluster(self.lookout, self.target, (BROKEN, OTHER), self.directory).run(self.pace):
            yield


class MoveIpFast(MoveIp):
    """The same without any waiting."""

    name = "aws-vpc-move-ip, at once"
    says = "the same, and the agent is asked again as soon as it has answered; a dead node is known at once"
    pace = Pace(interval=0.0, silence=0.0)
    patience = 60.0


WAYS: Sequence[type[Way]] = (Ours, BgpAlone, MoveIp, MoveIpFast, NoHa)


def well(lookout: Lookout) -> None:
    """Wait until nothing has spoken against breaking something for a while. Raises NotSeen with what does."""
    since = float("inf")

    def calm() -> bool:
        nonlocal since
        since = float("inf") if unwell(lookout) else min(since, time.monotonic())
        return time.monotonic() - since >= CALM_SECONDS

    try:
        until(calm, WELL_SECONDS, f"all is well for {CALM_SECONDS:.0f} s")
    except NotSeen as error:
        raise NotSeen(f"{error} {shown(unwell(lookout))}") from None


def unwell(lookout: Lookout) -> list[str]:
    """What speaks against breaking something, a sentence each."""
    found = lookout.objections()
    if (leads := set(lookout.routes().values())) != set(GATEWAYS):
        found.append(f"Routes lead to {', '.join(sorted(leads))} only.")
    return found + [f"{name} is {state}." for name, state in sessions(lookout).items() if state != "Established"]


def sessions(lookout: Lookout) -> dict[str, str]:
    """The BGP sessions of the gateway that is broken, and how they stand."""
    try:
        said = json.loads(lookout.run(BROKEN, "vtysh", "-c", "show bgp neighbors json"))
    except (LabError, ValueError) as error:
        return {f"BGP on {BROKEN}": f"not there ({error})"}
    return {f"{BROKEN}'s session with {one['nbrDesc']}": one["bgpState"] for one in said.values()}


def neighbour(lookout: Lookout, gateway: str, other: str) -> dict[str, Any]:
    """A gateway's BGP session with another gateway: ``address``, ``asn`` and ``state``."""
    said = json.loads(lookout.run(gateway, "vtysh", "-c", "show bgp neighbors json"))
    [(address, found)] = [each for each in said.items() if each[1].get("nbrDesc") == f"gateway {other}"]
    return {"address": address, "asn": found["localAs"], "state": found["bgpState"]}
