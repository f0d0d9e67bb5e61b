# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the deployment from outside: EC2 past its proxies, the monitor's status and journal, BGP's counters."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import drill_plan
from lab import endpoint, registry, setns
from lab.errors import LabError
from lab.hosts import Hosts
from lab.names import Names

STATUS = "http://127.0.0.1:9784/status"
MONITOR = "mon-a"
GATEWAYS = ("gw-a", "gw-b")
POLL_SECONDS = 0.1


class NotSeen(LabError):
    """Something that was awaited did not come; the text is a sentence."""


class Lookout:
    """Reads only."""

    def __init__(self, names: Names, prefixes: dict[str, str]) -> None:
        """``prefixes``: of the sites, each with its site's name."""
        self.names = names
        self.machines = Hosts(names)
        self.prefixes = prefixes
        self.ec2 = endpoint.client(names, "ec2")
        self.iam = endpoint.client(names, "iam")

    def host_id(self, name: str) -> str:
        """The id of a host of that name."""
        return registry.find(self.names, name)[0]

    def run(self, host: str, *argv: str, stdin: str = "", check: bool = True, timeout: float = 60.0) -> str:
        """Standard output of a command on a host. Raises LabError."""
        return self.machines.run(self.host_id(host), argv, stdin=stdin, check=check, timeout=timeout).stdout

    # --- EC2 ---------------------------------------------------------------------------------------------

    def hosts(self) -> dict[str, str]:
        """Instance ids with their names."""
        return {one["id"]: one["name"] or one["id"] for one in endpoint.instances(self.names)}

    def interface(self, gateway: str) -> dict[str, Any]:
        """What EC2 says of a gateway's interface."""
        wanted = [{"Name": "tag:vpnha:gateway", "Values": [gateway]}]
        return dict(self.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"][0])

    def eni(self, gateway: str) -> str:
        """The id of a gateway's interface."""
        return str(self.interface(gateway)["NetworkInterfaceId"])

    def owners(self) -> dict[str, str]:
        """The gateways' interfaces with the gateways' names."""
        return {self.eni(gateway): gateway for gateway in GATEWAYS}

    def tables(self) -> list[dict[str, Any]]:
        """The deployment's route tables."""
        return list(
            self.ec2.describe_route_tables(Filters=[{"Name": "tag:vpnha:table", "Values": ["app"]}])["RouteTables"]
        )

    def routes(self, owners: Mapping[str, str] | None = None) -> dict[str, str]:
        """Where each managed route leads: "table destination" to a gateway's name, or to what else it is."""
        owners = owners or self.owners()
        found = {}
        for table in self.tables():
            for route in table["Routes"]:
                destination = route.get("DestinationCidrBlock", "")
                if destination in self.prefixes:
                    target = route.get("NetworkInterfaceId") or "elsewhere"
                    found[f"{table['RouteTableId']} {destination}"] = owners.get(target, target)
        return found

    def home(self) -> dict[str, dict[str, str]]:
        """The same when all is well, with each route's site."""
        return {
            route: {"gateway": gateway, "site": self.prefixes[route.split()[1]]}
            for route, gateway in self.routes().items()
        }

    def left(self, home: Mapping[str, Mapping[str, str]], whose: str, owners: Mapping[str, str] | None = None) -> bool:
        """Whether no route of a gateway ("gw-a") or of it for a site ("gw-a/hq") leads to it any more."""
        gateway, _, site = whose.partition("/")
        now = self.routes(owners)
        its = [route for route, of in home.items() if of["gateway"] == gateway and site in ("", of["site"])]
        return all(now.get(route) != gateway for route in its)

    # --- The monitor and the gateways ----------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The monitor's status. Raises OSError when it does not answer."""
        _id, entry = registry.find(self.names, MONITOR)

        def ask() -> dict[str, Any]:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(STATUS, timeout=2) as answer:
                return dict(json.load(answer))

        return setns.inside(entry["netns"], ask)

    def objections(self) -> list[str]:
        """Why not all is well, by the monitor's word: as a drill would have it."""
        try:
            return drill_plan.objections(self.status())
        except (OSError, ValueError) as error:
            return [f"The monitor does not answer: {error}."]

    def await_well(self, seconds: float) -> None:
        """Wait until there is no objection. Raises NotSeen with those that are left."""
        try:
            until(lambda: not self.objections(), seconds, "all is well")
        except NotSeen as error:
            raise NotSeen(f"{error} {shown(self.objections())}") from None

    def events(self, since: float) -> list[dict[str, Any]]:
        """The journal from then on."""
        try:
            return list(json.loads(self.run(MONITOR, "vpnha", "events", "--json", "--since", f"{since:.3f}")))
        except (LabError, ValueError):
            return []

    def sessions_ended(self) -> int | None:
        """How many BGP sessions of the gateways have ended since FRR started; None if one of them cannot be asked."""
        total = 0
        for gateway in GATEWAYS:
            try:
                said = json.loads(self.run(gateway, "vtysh", "-c", "show bgp neighbors json"))
            except (LabError, ValueError):
                return None
            total += sum(int(peer.get("connectionsDropped", 0)) for peer in said.values() if isinstance(peer, dict))
        return total


def until(condition: Callable[[], object], seconds: float, what: str, poll: float = POLL_SECONDS) -> None:
    """Wait until something is so. Raises NotSeen with ``what`` was awaited."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise NotSeen(f"Not within {seconds:g} s: {what}.")
        time.sleep(poll)


def shown(sentences: Sequence[str], most: int = 3) -> str:
    """The first of them, for people."""
    return " ".join(sentences[:most]) + (f" (and {len(sentences) - most} more)" if len(sentences) > most else "")
