# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One row after the other: all is well, break, watch, heal, all is well again. A row never spoils the next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from lab import faults
from lab.errors import LabError
from lab.matrix.judge import judge
from lab.matrix.lookout import GATEWAYS, MONITOR, Lookout, NotSeen, shown, until
from lab.matrix.model import Row
from lab.matrix.results import AS_EXPECTED, NOT_AS_EXPECTED, NOT_STARTED
from lab.matrix.stage import FAULTS, MONITOR_UNIT, Stage
from lab.matrix.watch import Probes, Watch
from lab.names import Names
from lab.steps import commit

ZONE = "eu-central-1a"
TABLES = 3  # of the zone whose gateway is broken, so that six routes have to move
STEADY_SECONDS = 2.0
WELL_SECONDS = 60.0  # until all is well before a row
RECOVERY_SECONDS = 180.0  # until all is well after it
SETTLING_SECONDS = 240.0  # until all is well after a deploy

# As shipped, but for what a person would wait for: a hold-down of a minute to an hour, ten minutes between two steps of
# a repair, an hour after twelve moves.
VARIABLES: Mapping[str, Any] = {
    "vpnha_repair": "restart",
    "vpnha_timing": {
        "hold_down": 2.0,
        "hold_down_max": 64.0,
        "voluntary_moves_per_hour": 1000,
        "repair_after": 45.0,
        "repair_interval": 30.0,
        "repairs_per_day": 10,
    },
}


class Conductor:
    """Goes through rows in a lab that is deployed. ``deploy`` runs the playbook once more, when nothing else helps."""

    def __init__(self, names: Names, lookout: Lookout, env: Mapping[str, str], deploy: Callable[[], None]) -> None:
        self._names, self._lookout, self._env, self._deploy = names, lookout, env, deploy

    def run(self, row: Row, repetition: int, targets: list[str]) -> dict[str, Any]:
        """Run a row; what was seen of it, with the verdict."""
        began = time.time()
        seen: dict[str, Any] = {
            "row": row.number,
            "repetition": repetition,
            "commit": commit(),
            "started": began,
            "facts": [],
            "marks": [],
            "problems": [],
        }
        probes = Probes(self._names, ("app-a", "app-b"), targets)
        watch = Watch(self._names, self._lookout, probes, row.expect.encrypted)
        try:
            try:
                self._make_well()
                watch.start()
                until(lambda: probes.steady_seconds(0.0) >= STEADY_SECONDS, 30.0, "no packet is lost for 2 s")
            except (LabError, VpnhaError, OSError) as error:
                seen |= {"verdict": NOT_STARTED, "problems": [str(error)], "ended": time.time()}
                return seen
            seen |= self._act(row, watch, probes, began)
        finally:
            probes.stop()
        seen["problems"] = judge(row.expect, seen)
        seen["verdict"] = NOT_AS_EXPECTED if seen["problems"] else AS_EXPECTED
        return seen

    def _act(self, row: Row, watch: Watch, probes: Probes, began: float) -> dict[str, Any]:
        home = self._lookout.home()
        stage = Stage(self._names, self._lookout, home=home, number=row.number, env=self._env, variables=VARIABLES)
        act_problem = ""
        undone: list[str] = []
        try:
            row.act(stage)
        except Exception as error:  # whatever a row runs into is its result, and no reason to leave it broken
            act_problem = str(error) or type(error).__name__
        finally:
            healed = time.time()
            stage.mark("healing")
            undone = stage.heal()
        recovery_problem = " ".join(f"Not undone: {what}." for what in undone)
        try:
            self._await_well(RECOVERY_SECONDS, home)
            well = time.time()
            until(lambda: probes.steady_seconds(well) >= STEADY_SECONDS, 30.0, "no packet is lost for 2 s in the end")
        except NotSeen as error:
            recovery_problem = f"{recovery_problem} {error}".strip()
        stage.mark("all is well")
        injected = stage.injected or healed
        return {
            "injected": injected,
            "healed": healed,
            "home": home,
            **watch.finish(began, injected, healed),
            "act_problem": act_problem,
            "recovery_problem": recovery_problem,
            "facts": stage.facts,
            "marks": stage.marks,
            "ended": time.time(),
        }

    # --- All is well ---------------------------------------------------------------------------------------

    def _make_well(self) -> None:
        """Begin with nothing of the row before: no fault, no repair that counts, a monitor that remembers none."""
        self._clear()
        with contextlib.suppress(LabError):  # said below, when it does not answer
            self._lookout.run(MONITOR, "systemctl", "restart", MONITOR_UNIT)
        try:
            self._await_well(WELL_SECONDS)
        except NotSeen:
            self._deploy()
            self._await_well(SETTLING_SECONDS)

    def _clear(self) -> None:
        for fault in faults.in_force(self._names):
            if fault.id.startswith(FAULTS):
                faults.clear(self._names, fault.id)
        for gateway in GATEWAYS:
            with contextlib.suppress(IndexError):
                interface = self._lookout.interface(gateway)
                if tags.REPAIR in tags.to_dict(interface.get("TagSet")):
                    eni = interface["NetworkInterfaceId"]
                    self._lookout.ec2.delete_tags(Resources=[eni], Tags=[{"Key": tags.REPAIR}])

    def _await_well(self, seconds: float, home: dict[str, dict[str, str]] | None = None) -> None:
        left: list[str] = []

        def well() -> bool:
            left[:] = self._lookout.objections()
            if not left and home is not None and self._lookout.home() != home:
                left[:] = ["EC2 shows other routes than before."]
            return not left

        try:
            until(well, seconds, "all is well", poll=0.5)
        except NotSeen as error:
            raise NotSeen(f"{error} {shown(left)}") from None


def more_tables(lookout: Lookout, zone: str = ZONE, number: int = TABLES) -> None:
    """Give a zone so many route tables: what is tagged like the deployment's is looked after without a deploy."""
    tables = lookout.tables()
    model = next(table for table in tables if tags.to_dict(table["Tags"]).get("Name", "").endswith(zone))
    its = [table for table in tables if tags.to_dict(table["Tags"]).get(tags.ZONE) == zone or table is model]
    deployment = tags.to_dict(model["Tags"])[tags.DEPLOYMENT]
    for at in range(len(its), number):
        marks = {tags.DEPLOYMENT: deployment, tags.TABLE: "app", tags.ZONE: zone, "Name": f"matrix-{at}"}
        made = lookout.ec2.create_route_table(
            VpcId=model["VpcId"], TagSpecifications=[{"ResourceType": "route-table", "Tags": tags.to_list(marks)}]
        )["RouteTable"]["RouteTableId"]
        for route in model["Routes"]:
            if route.get("DestinationCidrBlock") in lookout.prefixes:
                lookout.ec2.create_route(
                    RouteTableId=made,
                    DestinationCidrBlock=route["DestinationCidrBlock"],
                    NetworkInterfaceId=route["NetworkInterfaceId"],
                )
