# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball in a stranger's hands: a Python of its own, a collections path of its own, and playbooks run from there.

What they ask of AWS is answered by the lab's endpoint without kernel and hosts, so instances run and none can be
reached: their names resolve nowhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Mapping, Sequence, Set
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tests.tools.policies import POLICY_PAGE, allowed_actions
from tests.unit.endpoint_process import endpoint
from tests.unit.plugins.module_utils.test_description import good

SITE = Path(sysconfig.get_paths()["purelib"])
DEPENDENCY = "amazon/aws"
_IMPORT = """
import importlib, json, pathlib, sys
root = pathlib.Path(sys.argv[1])
paths = root.glob("ansible_collections/vpnha/aws/plugins/**/*.py")
names = [".".join(path.relative_to(root).with_suffix("").parts) for path in paths]
for name in names:
    importlib.import_module(name.removesuffix(".__init__"))
print(len(names))
"""
_INVENTORY = """\
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
  vars:
    ansible_ssh_common_args: -o ConnectTimeout=1 -o BatchMode=yes
"""
_NETWORK = """\
- hosts: localhost
  gather_facts: false
  roles: [vpnha.aws.network]
"""


class ReleaseError(Exception):
    """What is wrong with the release, to be read by a person."""


def command(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints. Raises ReleaseError with its output when it fails."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(argv)} failed with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def use(tarball: Path, directory: Path) -> dict[str, Any]:
    """Installs the tarball in an empty directory and works with it. Raises ReleaseError."""
    collections = directory / "collections"
    galaxy = [str(Path(sysconfig.get_paths()["scripts"]) / "ansible-galaxy"), "collection", "install", "--no-deps"]
    bare = _bare_environment()
    nowhere = {**bare, "ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9/"}
    command([*galaxy, str(tarball), "--collections-path", str(collections)], cwd=directory, env=nowhere)
    installed = collections / "ansible_collections" / "vpnha" / "aws"
    dependency = collections / "ansible_collections" / DEPENDENCY
    dependency.parent.mkdir()
    dependency.symlink_to(SITE / "ansible_collections" / DEPENDENCY)

    python = directory / "venv" / "bin" / "python"
    core = version("ansible-core")
    command([str(Path(sysconfig.get_paths()["scripts"]) / "python"), "-m", "venv", "venv"], cwd=directory)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command([*pip, f"ansible-core=={core}", "-r", str(installed / "requirements.txt")], cwd=directory)
    listed = json.loads(command([str(python), "-m", "pip", "list", "--format=json"], cwd=directory))
    imports = {**bare, "PYTHONPATH": str(collections)}
    imported = int(command([str(python), "-c", _IMPORT, str(collections)], cwd=directory, env=imports))
    with endpoint(directory) as url:
        runs = _play(Stranger(directory, python.with_name("ansible-playbook"), collections, url))
        actions = called(url)
    if problem := policy_problem(actions, POLICY_PAGE.read_text()):
        raise ReleaseError(problem)
    return {
        "python": sysconfig.get_python_version(),
        "packages": {each["name"]: each["version"] for each in listed},
        "imported": imported,
        "ec2_actions": sorted(actions),
        "runs": runs,
    }


def called(url: str) -> set[str]:
    """What was called of EC2 at an endpoint, as IAM names it."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    with direct.open(f"{url}/_lab/calls?since=0") as answer:
        return {f"ec2:{call['action']}" for call in json.load(answer)}


def policy_problem(actions: Set[str], page: str) -> str:
    """What the policies of a page lack of what was called, in one sentence; empty if nothing."""
    if not actions:
        return "The endpoint has recorded no call of EC2, so nothing shows that the policy suffices."
    missing = actions - allowed_actions(page)
    return (
        f"{POLICY_PAGE.name}: the policy lacks what these playbooks called: {', '.join(sorted(missing))}."
        if missing
        else ""
    )


def _bare_environment() -> dict[str, str]:
    ours = ("AWS_", "VPNHA_", "ANSIBLE_", "PYTHONPATH", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


class Stranger:
    """Runs playbooks with nothing but what was installed."""

    def __init__(self, directory: Path, program: Path, collections: Path, url: str) -> None:
        self._directory, self._program = directory, program
        self._environment = {
            **_bare_environment(),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_NOCOLOR": "1",
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "not-needed-here",
            "AWS_ENDPOINT_URL": url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }
        (directory / "inventory" / "group_vars").mkdir(parents=True)
        (directory / "inventory" / "hosts.yml").write_text(_INVENTORY)
        (directory / "network.yml").write_text(_NETWORK)

    def play(
        self, book: str, description: Mapping[str, Any], *options: str, fails: bool = False, says: str
    ) -> dict[str, Any]:
        """Runs a playbook, and tells what came of it. Raises ReleaseError if that is not what was expected."""
        (self._directory / "inventory" / "group_vars" / "all.yml").write_text(yaml.safe_dump(dict(description)))
        argv = [str(self._program), "-i", "inventory", *options, book]
        began = time.monotonic()
        done = subprocess.run(
            argv, cwd=self._directory, env=self._environment, capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
        if (done.returncode != 0) is not fails or says not in " ".join(output.split()):
            wanted = f"should {'fail' if fails else 'succeed'}, and say: {says}"
            raise ReleaseError(f"{book} ended with {done.returncode}, but {wanted}\n{output}")
        return {
            "playbook": book,
            "exit": done.returncode,
            "changed": sum(int(count) for count in re.findall(r"changed=(\d+)", output)),
            "seconds": round(time.monotonic() - began, 1),
        }


def _play(stranger: Stranger) -> list[dict[str, Any]]:
    description = {**good(), "vpnha_image": "ami-vpnha0golden"}
    for kind in ("vpnha_gateways", "vpnha_monitors", "vpnha_app_hosts"):
        description[kind] = [{**host, "ansible_host": f"{host['name']}.lab.invalid"} for host in description[kind]]
    bad = {**description, "vpnha_asn": 0}
    runs = [
        stranger.play("vpnha.aws.deploy", bad, fails=True, says="vpnha_asn: "),
        stranger.play("network.yml", description, says="failed=0"),
        stranger.play("vpnha.aws.status", description, says="No monitor could be asked whether traffic flows."),
        stranger.play("vpnha.aws.teardown", description, "-e", "vpnha_confirm=lab", says="failed=0"),
    ]
    for run, changes in zip(runs, (False, True, False, True), strict=True):
        if (run["changed"] > 0) is not changes:
            raise ReleaseError(f"{run['playbook']} changed {run['changed']} things: {json.dumps(run)}")
    return runs
