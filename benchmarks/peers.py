# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people's programs that we are compared with: fetched as they are published, unpacked, and never installed."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote

PEERS = Path(".build/peers")
AWSCLI = "awscli==1.46.3"
_WHOLE = "whole"  # a file that is written last


class PeerMissing(Exception):
    """A program could not be fetched; one sentence."""


def fetch() -> None:
    """Get what is not there yet. Raises PeerMissing."""
    PEERS.mkdir(parents=True, exist_ok=True)
    cli = PEERS / "awscli"
    if not (cli / _WHOLE).exists():
        print("fetching the AWS CLI from PyPI (once)", flush=True)
        shutil.rmtree(cli, ignore_errors=True)
        _get([sys.executable, "-m", "venv", str(cli)])
        _get([str(cli / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", AWSCLI])
        (cli / _WHOLE).touch()
    agents, new = PEERS / "resource-agents", PEERS / "resource-agents.new"
    if not agents.exists():
        print("fetching Debian's resource-agents (once)", flush=True)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        _download("resource-agents", new)
        [package] = new.glob("*.deb")
        _get(["dpkg-deb", "--extract", str(package.resolve()), str(new.resolve())])
        new.rename(agents)


def versions() -> dict[str, str]:
    """Of what was fetched."""
    asked = subprocess.run([str(aws()), "--version"], env=environment(), capture_output=True, text=True, check=False)
    [package] = (PEERS / "resource-agents").glob("*.deb")
    return {"awscli": (asked.stdout or asked.stderr).split()[0], "resource-agents": unquote(package.name.split("_")[1])}


def libraries() -> dict[str, str]:
    """Of what is installed in the environment that Ansible runs in: a figure is of these too."""
    found = importlib.util.find_spec("ansible_collections.amazon.aws")
    places = found.submodule_search_locations if found is not None else None
    about = json.loads((Path(next(iter(places or ["."]))) / "MANIFEST.json").read_text(encoding="utf-8"))
    return {
        "amazon.aws": about["collection_info"]["version"],
        **{name: metadata.version(name) for name in ("ansible-core", "botocore")},
        "Python": platform.python_version(),
    }


def aws() -> Path:
    """The AWS CLI, in a virtual environment of its own: it wants a botocore of its own."""
    return (PEERS / "awscli" / "bin" / "aws").resolve()


def agent(name: str) -> list[str]:
    """The command of one of Pacemaker's agents, to which the action is added."""
    return ["bash", str(_ocf() / "resource.d" / "heartbeat" / name)]


def environment() -> dict[str, str]:
    """What a program of others inherits: all that is not meant for ours, which have their own Python packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def agent_environment(resource: str, directory: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What Pacemaker gives an agent: its options, and the lab's credentials in the profile that it wants."""
    home = directory / "home"
    (home / ".aws").mkdir(parents=True, exist_ok=True)
    (home / ".aws" / "credentials").write_text("[default]\naws_access_key_id=lab\naws_secret_access_key=lab\n")
    return {
        **{f"OCF_RESKEY_{name}": value for name, value in given.items()},
        "OCF_ROOT": str(_ocf()), "OCF_RESOURCE_INSTANCE": resource, "OCF_RESKEY_CRM_meta_timeout": "3600000",
        "HOME": str(home), "HA_LOGFACILITY": "none", "HA_LOGFILE": str(directory / "agent.log"),
        "HA_RSCTMP": str(directory), "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip


def _ocf() -> Path:
    return (PEERS / "resource-agents" / "usr" / "lib" / "ocf").resolve()


def _download(package: str, directory: Path) -> None:
    """By apt, whose lists may be missing, or name a version that is gone."""
    try:
        _get(["apt-get", "download", package], directory)
    except PeerMissing:
        _get(["apt-get", "update", "-qq"])
        _get(["apt-get", "download", package], directory)


def _get(argv: list[str], directory: Path | None = None) -> None:
    done = subprocess.run(argv, cwd=directory, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it said nothing"]
        raise PeerMissing(f"{argv[0]} failed, and the comparison needs what it gets: {said[-1]}")
