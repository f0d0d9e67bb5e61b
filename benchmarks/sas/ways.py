# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to ask: each says how many tunnels are up, with their IKE SA and their CHILD SA."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import charon, vpn_health
from benchmarks import gateway
from benchmarks.enclosed import ROOM
from benchmarks.gateway import Ends, Wire
from lab import sas


class WayFailed(Exception):
    """A way has got no answer; its last line."""


class Way(ABC):
    """One way to ask. It is in the gateway's network."""

    name: str
    says: str
    at_once = 1  # questions of one run: what takes a moment only is asked more often

    def __init__(self, ends: Ends, wires: Sequence[Wire]) -> None:
        self.ends = ends
        self.subjects = [
            {"name": wire.name, "peer": wire.peer_inside, "source": wire.inside, "targets": []} for wire in wires
        ]

    @abstractmethod
    def up(self) -> int:
        """Ask once: the tunnels that are up. Raises WayFailed."""

    def close(self) -> None:  # noqa: B027
        """End what was kept open between the questions."""


class Module(Way):
    """The module as people run it."""

    name = "vpn_health_info"
    says = (
        "the module, by `ansible localhost -m vpnha.aws.vpn_health_info`; it probes each tunnel too, for half a second"
    )

    count = 10  # probes through each tunnel, as by default

    def up(self) -> int:
        """One ad hoc command."""
        given = {"tunnels": self.subjects, "vici_socket": self.ends.vici(), "count": self.count}
        return _well(json.loads(_ad_hoc("vpnha.aws.vpn_health_info", json.dumps(given)).partition("=>")[2]))


class OneProbe(Module):
    """The module as people run it who want to know at once."""

    name = "vpn_health_info, one probe"
    says = "the same with `count=1`: whether each tunnel carries, and no loss"
    count = 1


class Examination(Way):
    """What the module calls."""

    name = "engine with probes"
    says = "`vpn_health.examine`, which the module calls, in a process that runs already"

    def up(self) -> int:
        """One examination."""
        subjects = tuple(vpn_health.subject({"site": "", "device": "", **each}) for each in self.subjects)
        return _well(vpn_health.examine(vpn_health.Examination(subjects, self.ends.vici())))


class Session(Way):
    """What the agent does each second."""

    name = "engine, one VICI session"
    says = "`charon.list_sas` over a session that stays open, as the agent asks; no probes"
    at_once = 20

    def __init__(self, ends: Ends, wires: Sequence[Wire]) -> None:
        super().__init__(ends, wires)
        self._charon = charon.Charon(ends.vici())

    def up(self) -> int:
        """One command over the session."""
        return sum(sa.has_child for sa in self._charon.list_sas())

    def close(self) -> None:
        """End the session."""
        self._charon.close()


class Text(Way):
    """What scripts do."""

    name = "swanctl --list-sas"
    says = "its text, read with regular expressions; no probes"
    at_once = 5
    arguments: tuple[str, ...] = ()

    def up(self) -> int:
        """One process, and its output."""
        return self.read(_output(self.command(), gateway.environment(), self.ends.root))

    def command(self) -> list[str]:
        """What is run on the gateway."""
        return ["/usr/sbin/swanctl", "--list-sas", *self.arguments, "--uri", f"unix://{self.ends.vici_inside()}"]

    def read(self, said: str) -> int:
        """The tunnels that are up in its output."""
        return sum(bool(sa.esp) for sa in sas.established(said).values())


class Command(Text):
    """What playbooks do that have no module for it."""

    name = "swanctl by Ansible"
    says = "the same text, by `ansible localhost -m ansible.builtin.command -a 'swanctl --list-sas'`; no probes"
    at_once = 1

    def up(self) -> int:
        """One ad hoc command."""
        command = shlex.join(["chroot", str(self.ends.root), *self.command()])
        said = _ad_hoc("ansible.builtin.command", command, gateway.environment())
        return self.read(said.partition(">>")[2])


class Raw(Text):
    """What careful scripts do."""

    name = "swanctl --list-sas --raw"
    says = "its dump of the message, read as the tree that it is; no probes"
    arguments = ("--raw",)

    def read(self, said: str) -> int:
        """The tunnels that are up in its dump."""
        return sum(
            sa.get("state") == "ESTABLISHED"
            and any(child.get("state") == "INSTALLED" for child in sa.get("child-sas", {}).values())
            for event in tree(said)
            for sa in event.values()
        )


WAYS: tuple[type[Way], ...] = (Module, OneProbe, Command, Examination, Session, Text, Raw)
_MARKS = re.compile(r"[{}\[\]]")


def tree(said: str) -> list[dict[str, Any]]:
    """The events of a ``swanctl --raw``: sections are dictionaries, lists are lists, all else is text.

    The dump quotes nothing, so of a distinguished name as an identity all but its first part looks like further keys.
    """
    found = []
    for line in said.splitlines():
        if line.startswith("list-sa event "):
            section, end = _section(line, line.index("{") + 1)
            if end != len(line):
                raise WayFailed(f"swanctl's dump cannot be read after {line[:end][-40:]!r}")
            found.append(section)
    return found


def _section(text: str, at: int) -> tuple[dict[str, Any], int]:
    """The section that begins there, and where it ends."""
    section: dict[str, Any] = {}
    while True:
        mark = _MARKS.search(text, at)
        if mark is None:
            raise WayFailed(f"swanctl's dump ends within {text[at:][:40]!r}")
        *values, last = _words(text[at : mark.start()])
        section |= dict(_pair(word) for word in values)
        if mark[0] == "{":
            section[last], at = _section(text, mark.end())
        elif mark[0] == "[":
            end = text.index("]", mark.end())
            section[last.removesuffix("=")], at = text[mark.end() : end].split(), end + 1
        else:
            section |= dict([_pair(last)] if last else [])
            return section, mark.end()


def _pair(word: str) -> tuple[str, str]:
    key, _equals, value = word.partition("=")
    return key, value


def _words(text: str) -> list[str]:
    """``key=value`` each, and the name of what begins after them; empty where nothing does."""
    words = re.split(r" (?=[\w-]+=)| (?=[^ =]+ $)", text.lstrip())
    return [*words[:-1], words[-1].rstrip()]


def _well(examined: dict[str, Any]) -> int:
    return sum(one["verdict"] == "up" and one["child"] == "installed" for one in examined["tunnels"])


def _ad_hoc(module: str, arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What ``ansible`` says of one module on this machine."""
    return _output(
        [
            str(Path(sys.executable).with_name("ansible")), "localhost", "--inventory", "localhost,",
            "--connection", "local", "--extra-vars", f"ansible_python_interpreter={sys.executable}",
            "--module-name", module, "--args", arguments,
        ],
        {**os.environ, **(environment or {}), "ANSIBLE_HOME": str(ROOM / "tmp" / "ansible"), "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip


def _output(command: list[str], environment: dict[str, str], root: Path | None = None) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False,
        preexec_fn=None if root is None else lambda: os.chroot(root),
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise WayFailed(f"{command[0]}: exit code {done.returncode}: {said}")
    return done.stdout
