# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VPC with gateways made by hand is taken over, shown: tags, one gateway after the other, a drill, and the way back.

``python -m lab.adopt`` starts the lab, makes such a VPC with plain EC2 calls and packages, and counts packets while the
steps of docs/adopting.md are done. It stops the lab, also when something failed or was interrupted.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lab import endpoint, siteboot
from lab.by_hand import CONNECTIONS, VPC_NAME, ByHand
from lab.changes import Changes, Part, Played, show_in_the_lab
from lab.matrix.lookout import GATEWAYS, MONITOR, until
from lab.names import REPOSITORY, Names
from lab.sas import established
from lab.steps import console

OUTPUT = REPOSITORY / "artifacts" / "adopt"
GIVEN: dict[str, Any] = {"vpnha_vpc": {"tags": {"Name": VPC_NAME}}}  # what the inventory says otherwise
READS = ("Describe", "Get")
WELL_SECONDS = 180.0


class Adoption:
    """The parts of the report."""

    def __init__(self, names: Names, env: Mapping[str, str], output: Path = OUTPUT) -> None:
        self._names, self._output = names, output
        self._variables = siteboot.deployment_variables(names)
        self.changes = Changes("A VPC with gateways made by hand is taken over", output, names, env)
        self._lookout = self.changes.lookout
        self.network = ByHand(names, self._variables)
        self.before: dict[str, str] = {}  # where the routes lead before all this

    def all(self) -> Changes:
        """Carry all parts out."""
        self.make()
        for name, what in (
            ("refused", "a deploy before anything is tagged"),
            ("contradicting", "a deploy with tags that contradict each other"),
            ("check", "what the first deploy would do"),
            ("first", "the first deploy with all tags, while both gateways carry packets"),
            ("move_a", "the routes of gw-a moved to gw-b"),
            ("early", "a deploy while a site still sends through gw-a"),
            ("stop_a", "gw-a's BGP and tunnels stopped, and its configuration moved away"),
            ("take_a", "a deploy that takes gw-a over"),
            ("stop_b", "all routes moved to gw-a, and the same done on gw-b"),
            ("take_b", "a deploy that takes gw-b over"),
            ("home", "the routes moved home"),
            ("again", "the same deploy once more"),
            ("drill", "a drill: routes moved by hand and back"),
            ("back", "the way back: a teardown"),
        ):
            self.changes.carry_out(name.replace("_", "-"), what, getattr(self, name))
        return self.changes

    def make(self) -> None:
        """Make the VPC, and wait until both gateways have all their tunnels and packets pass."""
        console.rule("[bold]A VPC made by hand")
        self.network.make()
        wanted = len(GATEWAYS) * len(self._variables["vpnha_sites"])
        until(
            lambda: sum(len(self._tunnels(gateway)) for gateway in GATEWAYS) == wanted,
            WELL_SECONDS,
            "both gateways have their tunnels",
        )
        self.before = self.network.routes()

    # --- Before ------------------------------------------------------------------------------------------

    def refused(self, part: Part) -> None:
        """Nothing is tagged but the VPC, by whose name it is found."""
        self._refuse(
            part,
            "which is not the deployment's; tag it vpnha:deployment=lab, vpnha:table=app",
            "or tag it vpnha:deployment=lab and Name=gw-a to have it taken over",
        )

    def contradicting(self, part: Part) -> None:
        """All tags, but two interfaces are called gw-a, one instance has none, and a table is another deployment's."""
        network, zone = self.network, self._variables["vpnha_zones"][0]
        self.tag()
        other = network.card(zone["gateway_subnet"])
        network.tag([other], vpnha_deployment="lab", Name="gw-a")
        network.untag(network.instances["gw-b"], "vpnha:deployment")
        network.tag([network.tables[zone["name"]]], vpnha_deployment="other")
        self._refuse(
            part,
            "are all tagged as gw-a: leave the tags vpnha:deployment=lab and Name=gw-a on one of them only",
            f"is that of {network.instances['gw-b']}, which is not tagged as gw-b",
            f"uses {network.tables[zone['name']]}, which the deployment other looks after",
        )
        network.ec2.delete_network_interface(NetworkInterfaceId=other)
        self.tag()

    def tag(self) -> None:
        """All the tags that the guide tells of."""
        network = self.network
        for name, interface in network.interfaces.items():
            network.tag([interface, network.instances[name]], vpnha_deployment="lab", Name=name)
        for zone, table in network.tables.items():
            network.tag([table], vpnha_deployment="lab", vpnha_table="app", vpnha_zone=zone)

    def check(self, part: Part) -> None:
        """With all tags, by check mode."""
        began = time.time()
        played = self.changes.play("deploy", part, "--check", **GIVEN)
        part.said = self._left(played)
        part.fact("it succeeds, and says that gw-a and gw-b would be left", self._left_alone(part, "gw-a", "gw-b"))
        part.fact("it has changed nothing in EC2", not self._done(began))

    # --- One gateway after the other -----------------------------------------------------------------------

    def first(self, part: Part) -> None:
        """Network and monitor; the gateways carry packets, so they are left."""
        before = {gateway: self._tunnels(gateway) for gateway in GATEWAYS}
        played = self._deploy(part)
        part.said = self._left(played)
        part.fact("the deploy succeeds, and leaves gw-a and gw-b", self._left_alone(part, "gw-a", "gw-b"))
        part.fact("no tunnel was opened anew", all(self._tunnels(gateway) == before[gateway] for gateway in GATEWAYS))
        part.fact("no route was moved", self.network.routes() == self.before)
        part.fact("no file of the product is on the gateways", not any(self._ours(gateway) for gateway in GATEWAYS))
        part.fact("the Elastic IPs are the same", self._public() == self.network.public)
        state = self._lookout.run(MONITOR, "systemctl", "is-active", "vpnha-monitor", check=False)
        part.fact("the monitor runs", state.strip() == "active")

    def move_a(self, part: Part) -> None:
        """Nobody knows gw-b yet, so it is insisted."""
        played = self.changes.play("failover", part, **GIVEN, vpnha_from="gw-a", vpnha_to="gw-b", vpnha_force=True)
        part.fact("the playbook succeeds", played.code == 0)
        part.fact("all routes lead to gw-b", set(self.network.routes().values()) == {"gw-b"})

    def early(self, part: Part) -> None:
        """The way back of the packets, and the configuration, were forgotten."""
        before = self._tunnels("gw-a")
        played = self._deploy(part)
        part.said = self._left(played)
        said = " ".join(part.said)
        part.fact("the deploy succeeds, and leaves gw-a and gw-b", self._left_alone(part, "gw-a", "gw-b"))
        part.fact("it says which site still sends", "Packets from hq still pass gw-a" in said)
        part.fact("it names the configuration that is left", f"{CONNECTIONS} names the peer" in said)
        part.fact("no tunnel was opened anew", self._tunnels("gw-a") == before)

    def stop_a(self, part: Part) -> None:
        """By hand, as nobody else knows what runs there."""
        self._stop("gw-a", part)

    def take_a(self, part: Part) -> None:
        """The first gateway becomes one of the deployment; gw-b works on."""
        before = self._tunnels("gw-b")
        played = self._deploy(part)
        part.said = self._left(played)
        part.fact("the deploy succeeds, and leaves gw-b only", self._left_alone(part, "gw-b"))
        part.fact("gw-a has its tunnels", set(self._tunnels("gw-a")) == {"hq-gw-a", "plant-gw-a"})
        part.fact("gw-b's tunnels are the same", self._tunnels("gw-b") == before)
        part.fact("all routes lead to gw-b", set(self.network.routes().values()) == {"gw-b"})

    def stop_b(self, part: Part) -> None:
        """The monitor knows gw-a, so nothing has to be insisted on."""
        played = self.changes.play("failover", part, **GIVEN, vpnha_from="gw-b", vpnha_to="gw-a")
        part.fact("the playbook succeeds", played.code == 0)
        part.fact("all routes lead to gw-a", set(self.network.routes().values()) == {"gw-a"})
        self._stop("gw-b", part)

    def take_b(self, part: Part) -> None:
        """The last one."""
        before = self._tunnels("gw-a")
        played = self._deploy(part)
        part.fact("the deploy succeeds, and leaves no gateway", played.code == 0 and not self._left(played))
        part.fact("gw-b has its tunnels", set(self._tunnels("gw-b")) == {"hq-gw-b", "plant-gw-b"})
        part.fact("gw-a's tunnels are the same", self._tunnels("gw-a") == before)

    # --- After -------------------------------------------------------------------------------------------

    def home(self, part: Part) -> None:
        """Every zone uses its own gateway again, and no pin is left."""
        until(self._all_fit, WELL_SECONDS, "the monitor calls both gateways fit for all sites")
        played = self.changes.play("failback", part, **GIVEN)
        part.fact("the playbook succeeds", played.code == 0)
        part.fact("every route leads where it led before all this", self.network.routes() == self.before)
        self.changes.well()
        part.fact("the Elastic IPs are the same", self._public() == self.network.public)

    def again(self, part: Part) -> None:
        """Nothing is due."""
        played = self._deploy(part)
        part.fact("the deploy succeeds and changes nothing", played.code == 0 and not any(played.changed.values()))

    def drill(self, part: Part) -> None:
        """As on any deployment."""
        self.changes.well()
        folder = self._output / "drill"
        given: dict[str, Any] = {"vpnha_drill_scenarios": ["planned"], "vpnha_drill_output": str(folder)}
        played = self.changes.play("failover_drill", part, **GIVEN, **given)
        part.fact("the drill succeeds", played.code == 0)
        report = folder / "report.json"
        [scenario] = json.loads(report.read_text(encoding="utf-8"))["scenarios"] if report.exists() else [{}]
        lost = [scenario.get(key) for key in ("packets_lost", "failback_lost")]
        part.fact("its own report says that no packet was lost", lost == [0, 0])
        part.fact("every route leads where it led before all this", self.network.routes() == self.before)

    def back(self, part: Part) -> None:
        """The deployment goes; what was there before stays, and carries on without a monitor."""
        played = self.changes.play("teardown", part, **GIVEN, vpnha_confirm="lab")
        part.fact("the playbook succeeds", played.code == 0)
        part.fact("every route leads where it led before all this", self.network.routes() == self.before)
        part.fact("instances, Elastic IPs and groups are as before", self._as_before())
        part.fact("no tag of the product is left", not self._tags_left())
        part.fact("the tunnels go on", all(len(self._tunnels(gateway)) == 2 for gateway in GATEWAYS))

    # --- What the parts share ----------------------------------------------------------------------------

    def _deploy(self, part: Part) -> Played:
        return self.changes.play("deploy", part, **GIVEN)

    def _refuse(self, part: Part, *sentences: str) -> None:
        """A deploy that says all of those sentences, and changes nothing in EC2."""
        began = time.time()
        played = self._deploy(part)
        part.fact("the deploy fails", played.code != 0)
        for sentence in sentences:
            part.fact(f"it says: … {sentence} …", sentence in played.words)
        part.fact("it has changed nothing in EC2", not self._done(began))
        part.fact("no route was moved", self.network.routes() == self.before)

    def _done(self, since: float) -> list[str]:
        """The calls of EC2 since then that change something."""
        actions = [str(call["action"]) for call in endpoint.calls(self._names, since)]
        return [action for action in actions if not action.startswith(READS)]

    def _stop(self, gateway: str, part: Part) -> None:
        self.network.leave_bgp(gateway)
        self.network.stop(gateway)
        part.fact(f"{gateway} has no tunnel", not self._tunnels(gateway))

    def _tunnels(self, gateway: str) -> dict[str, str]:
        """Those that are up, each with the number of its IKE SA."""
        said = self.network.run(gateway, "sh", "-c", "swanctl --list-sas 2>/dev/null || true")
        return {name: sa.number for name, sa in established(said).items()}

    def _all_fit(self) -> bool:
        paths = self._lookout.status()["paths"]
        return {path["gateway"] for path in paths} == set(GATEWAYS) and {path["verdict"] for path in paths} == {"up"}

    def _ours(self, gateway: str) -> str:
        found = (
            "ls -d /opt/vpnha /etc/vpnha /etc/swanctl/conf.d/vpnha-* /etc/systemd/system/vpnha-* 2>/dev/null || true"
        )
        return self.network.run(gateway, "sh", "-c", found)

    def _left_alone(self, part: Part, *gateways: str) -> bool:
        return not part.problem and [sentence.split()[0] for sentence in part.said] == list(gateways)

    @staticmethod
    def _left(played: Played) -> list[str]:
        return left(played.output) if played.code == 0 else []

    def _public(self) -> dict[str, str]:
        cards = self._cards()
        return {gateway: str(cards[gateway].get("Association", {}).get("PublicIp")) for gateway in GATEWAYS}

    def _cards(self) -> dict[str, Any]:
        asked = list(self.network.interfaces.values())
        found = self.network.ec2.describe_network_interfaces(NetworkInterfaceIds=asked)["NetworkInterfaces"]
        cards = {card["NetworkInterfaceId"]: card for card in found}
        return {name: cards[card] for name, card in self.network.interfaces.items()}

    def _as_before(self) -> bool:
        cards = self._cards()
        groups = {group["GroupId"] for card in cards.values() for group in card["Groups"]}
        holders = {name: card["Attachment"]["InstanceId"] for name, card in cards.items()}
        return (
            groups == {self.network.group}
            and holders == self.network.instances
            and self._public() == self.network.public
        )

    def _tags_left(self) -> list[str]:
        network = self.network
        kept = [network.vpc, *network.tables.values(), *network.interfaces.values(), *network.instances.values()]
        found = network.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": kept}])["Tags"]
        return [f"{tag['ResourceId']} {tag['Key']}" for tag in found if tag["Key"].startswith("vpnha:")]


def left(output: str) -> list[str]:
    """The sentences about gateways that a deploy leaves, in its output; each once, as its end says them again."""
    found = re.findall(r'"((?:[^"\\]|\\.)* is left as somebody has set it up(?:[^"\\]|\\.)*)"', output)
    return [sentence.replace('\\"', '"') for sentence in dict.fromkeys(found)]


def main(
    keep: Annotated[bool, typer.Option(help="Leave the lab up in the end.")] = False,
) -> None:
    """Take a VPC over in the lab; the exit code says whether no packet was lost and all was as it must be."""
    tell = show_in_the_lab(OUTPUT, lambda names, env: Adoption(names, env).all(), keep=keep, deploy=False)
    raise typer.Exit(tell)


if __name__ == "__main__":
    typer.run(main)
