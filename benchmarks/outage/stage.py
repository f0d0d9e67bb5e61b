# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab with the deployment, in which one run follows the other, and what can go wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.vpnha.aws.plugins.module_utils import outage, traffic
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from lab import siteboot
from lab.errors import LabError
from lab.matrix.lookout import GATEWAYS, Lookout, NotSeen
from lab.matrix.watch import Probes
from lab.names import Names
from lab.steps import API_DELAY_MS, lab_environment, playbook, run

from .ways import well

HOST = "app-a"
PACKAGES = {"strongSwan": "charon-systemd", "FRR": "frr"}
# As in the shipped deployment, and without the limit of moves home in an hour: here they are wanted.
VARIABLES = {"vpnha_timing": {"hold_down": 2.0, "voluntary_moves_per_hour": 1000}}
# By which a run ends that the lab has spoilt, whatever step of it was under way.
SPOILT = (
    LabError, VpnhaError, BotoCoreError, ClientError, OSError, ValueError, LookupError, subprocess.SubprocessError,
)  # fmt: skip


class PacedProbes(Probes):
    """They also say how well they kept their time: a figure of a starved machine should not be believed blindly."""

    def pace(self) -> dict[str, Any]:
        """The ticks that should have been sent since the start, those that were missed, and those that came late."""
        [host] = self._hosts
        return asdict(outage.pace(traffic.load(self._path(host))))


class Stage:
    """A fresh lab; ``versions`` are of what its gateways run."""

    def __init__(self, names: Names) -> None:
        """Start it, and deploy. Raises StepFailed."""
        lab = [sys.executable, "-m", "lab"]
        run("Lab down, if it was left up", [*lab, "down"], os.environ)
        run("Lab up", [*lab, "up"], os.environ)
        self._env = lab_environment(names)
        self._deploy()
        run("EC2 API delayed", [*lab, "fault", "add", "api-latency", str(API_DELAY_MS)], self._env)
        sites = siteboot.deployment_variables(names)["vpnha_sites"]
        self.lookout = Lookout(names, {prefix: site["name"] for site in sites for prefix in site["prefixes"]})
        self.target: str = sites[0]["probe_targets"][0]
        self.probes = PacedProbes(names, (HOST,), (self.target,))
        self.versions = {name: self._version(package) for name, package in PACKAGES.items()}

    def ready(self) -> None:
        """Wait until all is well. Raises LabError."""
        try:
            well(self.lookout)
        except NotSeen:  # whatever the last run has left: a person would do the same
            self._deploy()
            well(self.lookout)

    def _version(self, package: str) -> str:
        return self.lookout.run(GATEWAYS[0], "dpkg-query", "--show", "--showformat=${Version}", package).strip()

    def _deploy(self) -> None:
        run("Deploy", playbook("deploy", **VARIABLES), self._env)
