# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball that `make build` makes, installed where nothing else is, and used from there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from tests.tools.release import BYTES, content_problems

from .conftest import ROOT, Person

PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


def galaxy(*arguments: object, cwd: Path) -> None:
    """Runs ``ansible-galaxy collection``; a server of collections is nowhere to be reached."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ANSIBLE_COLLECTIONS_PATH")
    }
    environment |= {"ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9/", "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).with_name("ansible-galaxy")), "collection", *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def builder(*arguments: object) -> str:
    """What ``ansible-builder`` prints; there is no container runtime to be used."""
    command = [str(Path(sys.executable).with_name("ansible-builder")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection, built as `make build` does."""
    output = tmp_path_factory.mktemp("artifacts")
    galaxy("build", "--output-path", output, cwd=ROOT)
    (made,) = output.glob("vpnha-aws-*.tar.gz")
    return made


@pytest.fixture(scope="module")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path that has only what the tarball brought."""
    path = tmp_path_factory.mktemp("collections")
    galaxy("install", tarball, "--collections-path", path, cwd=path)
    assert [each.name for each in (path / "ansible_collections").iterdir() if each.is_dir()] == ["vpnha"]
    return path


def test_the_tarball_has_what_git_has_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as tar:
        files = {member.name for member in tar.getmembers() if not member.isdir()}
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert files - set(known) == {"MANIFEST.json", "FILES.json"}
    assert not [
        name for name in files if PurePosixPath(name).parts[0] in (".ci", ".venv", ".lab", ".build", "artifacts")
    ]
    assert content_problems(tarball) == []
    parts = ("plugins/", "roles/", "playbooks/", "meta/")
    existing = {name for name in known if name.startswith(parts) and (ROOT / name).exists()}
    assert existing <= files
    assert tarball.stat().st_size < BYTES


def test_every_playbook_is_there_and_reads(person: Person, installed: Path, description: dict[str, Any]) -> None:
    others = [f"vpnha.aws.{name}" for name in PLAYBOOKS[1:]]
    told = person.play(PLAYBOOKS[0], description, "--syntax-check", *others, collections=str(installed))
    assert told.code == 0
    for name in PLAYBOOKS:
        assert f"playbook: {installed}/ansible_collections/vpnha/aws/playbooks/{name}.yml" in told.output


def test_a_playbook_runs_from_there(person: Person, installed: Path, description: dict[str, Any]) -> None:
    description["vpnha_sites"][0]["prefixes"] = ["10.20.0.0/16"]
    description["vpnha_sites"][0]["probe_targets"] = ["10.20.0.99"]
    told = person.play("deploy", description, collections=str(installed))
    told.refused_with("vpnha_sites[0].prefixes[0]: 10.20.0.0/16 overlaps the VPC's 10.20.0.0/16")
    assert f"{installed}/ansible_collections/vpnha/aws/roles/network/tasks/check.yml" in told.output


def test_the_roles_bring_the_daemons_from_there(person: Person, installed: Path, tmp_path: Path) -> None:
    """Packed by the role's own task in check mode, which ends where the packed code would go to a host."""
    person.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    book = tmp_path / "book.yml"
    book.write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: vpnha.aws.runtime, tasks_from: code}\n"
    )
    person.play(str(book), {}, "--check", collections=str(installed))
    (archive,) = (tmp_path / "cache" / "vpnha").glob("vpnha-*.tar.gz")
    (tmp_path / "lib").mkdir()
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", tmp_path / "lib"], check=True)
    (release,) = (tmp_path / "lib").iterdir()
    environment = {**os.environ, "PYTHONPATH": str(release)}
    for daemon in ("vpnha_monitor", "vpnha_agent"):
        command = [sys.executable, "-m", daemon, "--config", str(tmp_path / "none")]
        said = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert said.returncode == 78, said.stderr
        assert said.stderr.startswith(f"{tmp_path / 'none'}: the file cannot be read (No such file or directory)")


def test_the_execution_environment_s_definition_is_accepted(tmp_path: Path) -> None:
    builder(
        "create",
        "--file",
        ROOT / "execution-environment.yml",
        "--context",
        tmp_path,
        "--output-filename",
        "Containerfile",
    )
    (collection,) = yaml.safe_load((tmp_path / "_build" / "requirements.yml").read_text())["collections"]
    galaxy_yml = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    assert collection["name"] == f"{galaxy_yml['repository']}.git"
    image = (tmp_path / "Containerfile").read_text()
    assert "ansible-core>=2.19" in image
    assert image.index("RUN dnf install -y git") < image.index("ansible-galaxy collection install")


def test_an_execution_environment_gets_what_the_collection_needs(installed: Path) -> None:
    needed = yaml.safe_load(builder("introspect", installed))
    python = {line.split("#")[0].strip() for line in needed["python"]}
    system = {line.split("#")[0].split("[")[0].strip() for line in needed["system"]}
    assert python == set((ROOT / "requirements.txt").read_text().split("\n")[1:-1])
    assert {"openssh-client", "openssh-clients"} <= system
