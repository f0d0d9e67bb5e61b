# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of a running deployment costs in packets: each part is measured, its facts checked, all reported.

Application hosts in every zone send to every site 100 times a second while a part goes on, and every answer counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from lab import endpoint, reports, siteboot
from lab.errors import LabError
from lab.matrix.lookout import Lookout, NotSeen, until
from lab.matrix.watch import Probes, grown
from lab.names import Names
from lab.steps import circumstances, commit, console, lab_environment, lab_program, playbook, run

HOSTS = ("app-a", "app-b")
WELL_SECONDS = 180.0

_RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", flags=re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEADY = 2.0  # s without a lost packet, before a part and at its end
_WITHIN = 60.0


@dataclass(frozen=True)
class Played:
    """What a playbook's run said."""

    code: int
    seconds: float
    changed: Mapping[str, int]  # tasks that changed something, by host
    output: str

    @property
    def words(self) -> str:
        """All of it on one line, as a person reads it."""
        return " ".join(self.output.split())


@dataclass
class Part:
    """One change."""

    name: str
    what: str
    facts: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # sentences of the product, word for word
    seconds: float = 0.0  # of all its playbooks, as the next
    changed: dict[str, int] = field(default_factory=dict)
    streams: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    lost: int = 0
    longest_ms: float = 0.0
    swaps: int = 0  # routes that anybody moved
    sessions_ended: int | None = None  # of BGP
    problem: str = ""

    def fact(self, text: str, true: object) -> None:
        """Something that must be so."""
        self.facts.append({"text": text, "true": bool(true)})

    def take(self, played: Played) -> None:
        """Another run of a playbook, on top of those that it had before."""
        self.seconds = round(self.seconds + played.seconds, 1)
        self.changed = dict(Counter(self.changed) + Counter(played.changed))

    @property
    def passed(self) -> bool:
        """Whether no packet was lost and everything is as it must be."""
        return not self.problem and self.sent > 0 and self.lost == 0 and all(fact["true"] for fact in self.facts)


class Changes:
    """The parts of one report."""

    def __init__(self, title: str, output: Path, names: Names, env: Mapping[str, str]) -> None:
        """Of a lab with a deployment; ``env``: of playbooks."""
        self.title, self.output = title, output
        self.parts: list[Part] = []
        sites = siteboot.deployment_variables(names)["vpnha_sites"]
        self.lookout = Lookout(names, {prefix: site["name"] for site in sites for prefix in site["prefixes"]})
        self._env = dict(env)
        self._probes = Probes(names, HOSTS, [site["probe_targets"][0] for site in sites])

    def well(self) -> None:
        """Wait until the monitor calls everything well. Raises NotSeen."""
        self.lookout.await_well(WELL_SECONDS)

    def carry_out(self, name: str, what: str, act: Callable[[Part], None]) -> Part:
        """Do one part while packets are sent. What goes wrong in it is its problem, and the report is written anew."""
        console.rule(f"[bold]{what}")
        part = Part(name, what)
        self.parts.append(part)
        try:
            self._measured(part, act)
        except LabError as error:
            part.problem = str(error)
        self.write()
        return part

    def play(
        self, name: str, part: Part, *options: str, env: Mapping[str, str] | None = None, **variables: Any
    ) -> Played:
        """Run a playbook with its output shown and kept beside the report."""
        argv = [*playbook(name, **variables), *options]
        console.print(f"$ {' '.join(argv)}", style="dim", soft_wrap=True, markup=False)
        began = time.monotonic()
        lines = []
        environment = {**self._env, **(env or {}), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
        with subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                console.print(line.rstrip("\n"), markup=False, soft_wrap=True)
        output = _COLOUR.sub("", "".join(lines))
        with (self.output / f"{part.name}.log").open("a", encoding="utf-8") as log:
            log.write(output)
        found = Played(process.returncode, time.monotonic() - began, recap(output), output)
        part.take(found)
        return found

    @property
    def passed(self) -> bool:
        """Whether all parts have passed so far."""
        return bool(self.parts) and all(part.passed for part in self.parts)

    def report(self) -> dict[str, Any]:
        """All that is known so far."""
        return {
            "title": self.title,
            "passed": self.passed,
            "written": time.time(),
            "parts": [{**asdict(part), "passed": part.passed} for part in self.parts],
            "environment": circumstances(),
            "commit": commit(),
        }

    def write(self) -> None:
        """Write report.json and report.html."""
        found = self.report()
        reports.write(self.output / "report.json", found)
        (self.output / "report.html").write_text(page(found), encoding="utf-8")

    def show(self) -> bool:
        """Print the table, and what is not as it must be; true if all parts passed."""
        table = Table(title=self.title)
        for column in ("part", "seconds", "changed", "sent", "lost", "routes moved", "BGP ended", "verdict"):
            table.add_column(column, justify="left" if column in ("part", "verdict") else "right")
        for part in self.parts:
            ended = "-" if part.sessions_ended is None else str(part.sessions_ended)
            numbers = (f"{part.seconds:.0f}", str(sum(part.changed.values())), str(part.sent), str(part.lost))
            verdict = "[green]passed" if part.passed else "[red]failed"
            table.add_row(part.what, *numbers, str(part.swaps), ended, verdict)
        console.print(table)
        for part in self.parts:
            for problem in problems(asdict(part)):
                console.print(f"{part.name}: {problem}", style="red", markup=False, soft_wrap=True)
            for sentence in part.said:
                console.print(f"{part.name} said: {sentence}", markup=False, soft_wrap=True)
        console.print(f"report: {self.output / 'report.json'}\n        {self.output / 'report.html'}", soft_wrap=True)
        return self.passed

    def _measured(self, part: Part, act: Callable[[Part], None]) -> None:
        sessions = self.lookout.sessions_ended()
        self._probes.start()
        try:
            until(lambda: self._probes.steady_seconds(0.0) >= _STEADY, _WITHIN, "packets pass before anything is done")
            began = time.time()
            try:
                act(part)
            finally:
                done = time.time()
                with contextlib.suppress(NotSeen):
                    until(lambda: self._probes.steady_seconds(done) >= _STEADY, _WITHIN, "packets pass at the end")
                part.streams = self._probes.measured(began, None)
        finally:
            self._probes.stop()
        part.sent = sum(stream["sent"] for stream in part.streams)
        part.lost = sum(stream["lost"] for stream in part.streams)
        part.longest_ms = max((stream["longest_ms"] for stream in part.streams), default=0.0)
        part.swaps = sum(
            call["action"] == "ReplaceRoute" and not call["error"] and call["before"] != call["after"]
            for call in endpoint.calls(self.lookout.names, began)
        )
        part.sessions_ended = grown(sessions, self.lookout.sessions_ended())


def show_in_the_lab(
    output: Path, tell: Callable[[Names, Mapping[str, str]], Changes], *, keep: bool, deploy: bool = True
) -> int:
    """Start the lab, deploy, and have ``tell`` carry its parts out; the exit code says whether all of them passed.

    ``deploy``: whether to, or to leave the lab empty for ``tell``.
    """
    names = Names.from_env()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    with lab_program(keep=keep, stays="what was measured so far stays"):
        run("Lab up", [sys.executable, "-m", "lab", "up"], os.environ)
        env = lab_environment(names)
        if deploy:
            run("Deploy", playbook("deploy"), env)
        return 0 if tell(names, env).show() else 1


def recap(output: str) -> dict[str, int]:
    """How many tasks changed something, by host, in a playbook's output."""
    return {host: int(changed) for host, changed in _RECAP.findall(output)}


def problems(part: Mapping[str, Any]) -> list[str]:
    """Why a part has not passed, a sentence each."""
    found = [part["problem"]] if part["problem"] else []
    if part["lost"]:
        found.append(f"{part['lost']} of {part['sent']} packets were lost, for up to {part['longest_ms']:.0f} ms.")
    return found + [f"Not so: {fact['text']}." for fact in part["facts"] if not fact["true"]]


def page(report: Mapping[str, Any]) -> str:
    """The report as HTML."""
    return reports.render(Path(__file__).with_name("changes.html.j2"), filters={"problems": problems}, report=report)
