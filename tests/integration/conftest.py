# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for the whole run, beside any that a person has up: its own name, its own ports, the same images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "lab" / "inventory" / "hosts.yml"


@dataclass(frozen=True)
class Played:
    """What a playbook's run said: exit code, all output, and per host the counts of the recap."""

    code: int
    output: str
    recap: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Lab:
    """A running lab, driven by the commands that a person would type."""

    env: Mapping[str, str]

    def command(self, *argv: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Runs ``python -m lab …``; the caller looks at the exit code."""
        return subprocess.run(
            [sys.executable, "-m", "lab", *argv],
            env=dict(self.env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def shell(self, host: str, *argv: str) -> str:
        """Standard output of a command on a host; fails the test if the command fails."""
        done = self.command("shell", host, *argv)
        assert done.returncode == 0, f"{host}: {' '.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout

    def play(self, name: str, *options: str, timeout: float = 1200, **variables: object) -> Played:
        """Runs a playbook of the collection; its output goes to the test's log as well."""
        argv = ["ansible-playbook", f"vpnha.aws.{name}", "-i", str(INVENTORY), *options]
        if variables:
            argv += ["-e", json.dumps(variables)]
        env = {**self.env, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False
        )
        print(f"$ {' '.join(argv)}\n{done.stdout}")
        recap = {
            host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)}
            for host, counts in re.findall(r"^(\S+)\s+: (ok=.*)$", done.stdout, flags=re.M)
        }
        return Played(done.returncode, done.stdout, recap)


def lab_env() -> dict[str, str]:
    """The environment that names the tests' own lab."""
    return {**os.environ, "VPNHA_LAB_NAME": "vpnhatest", "VPNHA_LAB_PORT": "4866"}


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab that is up; taken down at the end, whatever happened."""
    assert os.geteuid() == 0, "the lab needs root: run `make integration`"
    env = lab_env()
    starter = Lab(env)
    up = starter.command("up", timeout=1500)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        for line in starter.command("env").stdout.splitlines():
            key, equals, value = line.removeprefix("export ").partition("=")
            if equals:
                env[key] = value.strip("'\"")
        yield Lab(env)
    finally:
        down = starter.command("down")
        assert down.returncode == 0, down.stdout + down.stderr


@pytest.fixture(scope="session")
def deployed(lab: Lab) -> Lab:
    """The shipped deployment, built by the playbook that users run."""
    played = lab.play("deploy")
    assert played.code == 0, "deploy failed; its output stands above"
    return lab
