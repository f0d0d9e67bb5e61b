# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a row's fault is caused, awaited and healed. Whatever a row did is undone, also when it failed half-way."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.holds import hold_down, remember
from ansible_collections.vpnha.aws.plugins.module_utils.model import Timing, Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.state import Health
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import Judgement
from lab import endpoint, faults
from lab.errors import LabError
from lab.matrix.lookout import MONITOR, Lookout, until
from lab.names import REPOSITORY, Names
from lab.steps import playbook

MONITOR_UNIT = "vpnha-monitor"
FAULTS = "matrix-"  # begins the ids of all faults of rows
PEERS = {"gw-a": ("cgw-hq-a", "cgw-plant-a"), "gw-b": ("cgw-hq-b", "cgw-plant-b")}
GONE_SECONDS = 20.0  # for the routes of a gateway that is gone
MOVED_SECONDS = 90.0  # for a voluntary move: the grey window, then half a minute
PLAYBOOK_SECONDS = 600


class Stage:
    """One row's."""

    def __init__(
        self,
        names: Names,
        lookout: Lookout,
        *,
        home: dict[str, dict[str, str]],
        number: int,
        env: Mapping[str, str],
        variables: Mapping[str, Any],
    ) -> None:
        """``home``: where the routes lead when all is well. ``variables``: the deployment's, for playbooks."""
        self.names, self.lookout, self.home = names, lookout, home
        self.facts: list[dict[str, Any]] = []
        self.marks: list[dict[str, Any]] = []
        self.injected: float | None = None
        self._env, self._variables = env, variables
        self._number = number
        self._faults = count(1)
        self._undo: list[tuple[str, Callable[[], object]]] = []

    # --- Cause -------------------------------------------------------------------------------------------

    def fault(self, kind: str, *args: str, **options: Any) -> str:
        """Bring one of the lab's faults into force (``lab fault kinds``); returns its id."""
        fault_id = f"{FAULTS}{self._number}-{next(self._faults)}"
        self.inject(" ".join([kind, *args]))
        faults.add(self.names, kind, args, faults.Options(**options), fault_id)
        self.undo(f"clear {kind}", lambda: self.clear(fault_id))
        return fault_id

    def clear(self, fault_id: str) -> None:
        """Take a fault back now; nothing happens when it has been taken back already."""
        if any(fault.id == fault_id for fault in faults.in_force(self.names)):
            faults.clear(self.names, fault_id)

    def inject(self, what: str) -> None:
        """Note that the fault begins now; only the first time sets the row's moment."""
        self.mark(what)
        if self.injected is None:
            self.injected = time.time()

    def mark(self, what: str) -> None:
        """Note a moment."""
        self.marks.append({"wall": time.time(), "text": what})

    def undo(self, what: str, how: Callable[[], object]) -> None:
        """Do this when the row is healed; the last one first."""
        self._undo.append((what, how))

    def undo_now(self, what: str) -> None:
        """Undo now what was to be undone under that name."""
        due = [how for name, how in self._undo if name == what]
        self._undo = [(name, how) for name, how in self._undo if name != what]
        self.mark(f"undone: {what}")
        for how in reversed(due):
            how()

    def heal(self) -> list[str]:
        """Undo everything; what could not be undone."""
        failed = []
        while self._undo:
            what, how = self._undo.pop()
            try:
                how()
            except Exception as error:
                failed.append(f"{what}: {error}")
        return failed

    # --- Await -------------------------------------------------------------------------------------------

    def watch(self, seconds: float) -> None:
        """Let it work."""
        time.sleep(seconds)

    def until_left(self, whose: str, seconds: float = GONE_SECONDS) -> None:
        """Wait until EC2 shows that the routes of "gw-a", or "gw-a/hq", lead elsewhere. Raises NotSeen."""
        owners = self.lookout.owners()
        until(lambda: self.lookout.left(self.home, whose, owners), seconds, f"every route of {whose} leads elsewhere")

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for something else. Raises NotSeen."""
        until(condition, seconds, what)

    def until_told(self, code: str, seconds: float, subject: str = "") -> None:
        """Wait until the monitor has told something since the row began. Raises NotSeen."""

        def told() -> bool:
            with contextlib.suppress(OSError, ValueError):
                return any(
                    event["code"] == code and event["wall"] >= (self.injected or 0.0) and subject in event["subject"]
                    for event in self.lookout.status()["events"]
                )
            return False

        until(told, seconds, f"{code} is told", poll=0.5)

    def fact(self, text: str, true: object) -> None:
        """Something of this row that must be so."""
        self.facts.append({"text": text, "true": bool(true)})

    def calls(self, action: str, since: float | None = None) -> list[dict[str, Any]]:
        """EC2's record of one action since the row's moment, or since then."""
        begin = since if since is not None else self.injected or 0.0
        return [call for call in self.all_calls(begin) if call["action"] == action]

    def all_calls(self, since: float) -> list[dict[str, Any]]:
        """EC2's record from then on."""
        return endpoint.calls(self.names, since)

    @property
    def timing(self) -> Timing:
        """The deployment's."""
        return Timing(**self._variables.get("vpnha_timing", {}))

    # --- Do ----------------------------------------------------------------------------------------------

    def run(self, host: str, *argv: str, stdin: str = "", check: bool = True) -> str:
        """Standard output of a command on a host. Raises LabError."""
        return self.lookout.run(host, *argv, stdin=stdin, check=check)

    def shell(self, host: str, script: str, check: bool = True) -> str:
        """The same of a script."""
        return self.run(host, "sh", "-c", script, check=check)

    def instance(self, name: str) -> str:
        """The id of an instance."""
        return self.lookout.host_id(name)

    def play(self, name: str, **variables: Any) -> None:
        """Run a playbook of the collection, as a person does. Raises LabError with its last words."""
        self.mark(f"playbook {name}")
        done = subprocess.run(
            playbook(name, **{**self._variables, **variables}),
            env={**self._env, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=PLAYBOOK_SECONDS, cwd=REPOSITORY,
        )  # fmt: skip
        if done.returncode:
            log = self.names.logs / f"matrix-{self._number}-{name}.log"
            log.write_text(done.stdout, encoding="utf-8")
            raise LabError(f"The playbook {name} failed; its output is in {log}.")

    @contextlib.contextmanager
    def monitor_paused(self) -> Iterator[None]:
        """The monitor's process stands still within."""
        fault = self.fault("signal", MONITOR, MONITOR_UNIT, "STOP")
        try:
            yield
        finally:
            self.clear(fault)

    def policy(self, change: Callable[[dict[str, Any]], bool]) -> None:
        """Keep only those statements of the monitor's IAM policies for which ``change`` is true; undone later."""
        iam = self.lookout.iam
        arn = self.lookout.ec2.describe_instances(InstanceIds=[self.instance(MONITOR)])["Reservations"][0]["Instances"][
            0
        ]["IamInstanceProfile"]["Arn"]
        profile = iam.get_instance_profile(InstanceProfileName=arn.rpartition("/")[2])["InstanceProfile"]
        role = profile["Roles"][0]["RoleName"]
        self.inject("policy changed")
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            kept = [statement for statement in document["Statement"] if change(statement)]

            def put(body: Mapping[str, Any], name: str = name) -> None:
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(body))

            self.undo("policy", lambda put=put, document=document: put(document))  # type: ignore[misc]
            put({**document, "Statement": kept})

    def replace_route(self, route: str, eni: str) -> None:
        """A person points a route at an interface."""
        table, destination = route.split()
        self.lookout.ec2.replace_route(RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=eni)

    def on(self, gateway: str, site: str = "") -> list[str]:
        """The routes whose home a gateway is, of one site or of all."""
        return [route for route, of in self.home.items() if of["gateway"] == gateway and site in ("", of["site"])]

    def state(self, gateway: str) -> str:
        """What EC2 says of a gateway's instance."""
        found = self.lookout.ec2.describe_instances(InstanceIds=[self.instance(gateway)])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])


def several(stage: Stage, kind: str, pairs: Sequence[tuple[str, str]], **options: Any) -> list[str]:
    """The same fault between several pairs of hosts; their ids."""
    return [stage.fault(kind, host, peer, **options) for host, peer in pairs]


def tunnels_of(*gateways: str) -> list[tuple[str, str]]:
    """Each gateway with each of its peers."""
    return [(gateway, peer) for gateway in gateways for peer in PEERS[gateway]]


def hold_after(falls: int, every: float, timing: Timing) -> float:
    """How long a gateway must be well, by the engine's own count, after it fell so often, once in ``every`` seconds."""
    health = Health()
    for at in (each * every for each in range(falls)):
        health = remember(health, Judgement(Verdict.UP, "", ""), at, timing)
        health = remember(health, Judgement(Verdict.DOWN, "", ""), at + every / 2, timing)
    return hold_down(health, falls * every, timing)
