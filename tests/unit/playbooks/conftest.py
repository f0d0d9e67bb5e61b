# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person with an inventory, who runs playbooks by name and reads what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.endpoint_process import endpoint
from tests.unit.plugins.module_utils.test_description import good

ROOT = Path(__file__).resolve().parents[3]
HOSTS = """\
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


@dataclass(frozen=True)
class Told:
    """What a run of a playbook told the person."""

    code: int
    output: str  # standard output and error

    @property
    def readable(self) -> str:
        """Without the line of JSON in which Ansible's default output repeats a failed task's whole result."""
        lines = self.output.splitlines()
        return "\n".join(line for line in lines if not re.match(r"(fatal|failed): \[", line))

    @property
    def changed(self) -> int:
        """Tasks that changed something, in all of the recap."""
        return sum(int(count) for count in re.findall(r"changed=(\d+)", self.output))

    def refused_with(self, *sentences: str) -> None:
        """Asserts that the run failed with these sentences, each there once to be read, and changed nothing."""
        assert self.code != 0
        assert self.changed == 0
        assert "Traceback" not in self.output
        assert "<<< caused by >>>" not in self.output  # Ansible's account of its own insides
        flat = " ".join(self.readable.split())
        for sentence in sentences:
            assert flat.count(sentence) == 1, sentence
            assert " ".join(self.output.replace("\\n", " ").replace('\\"', '"').split()).count(sentence) <= 2, sentence


def book(*parts: str) -> str:
    """A playbook that goes through parts of roles on localhost: ``network/check`` is network's tasks/check.yml."""
    lines = ["- hosts: localhost", "  gather_facts: false", "  tasks:"]
    for role, part in (one.split("/") for one in parts):
        lines.append(f"    - ansible.builtin.include_role: {{name: vpnha.aws.{role}, tasks_from: {part}}}")
    return "\n".join([*lines, ""])


def copied(directory: Path, *parts: str) -> Path:
    """These parts of the collection under ``directory``, where a test may change them."""
    here = directory / "ansible_collections" / "vpnha" / "aws"
    for part in parts:
        shutil.copytree(ROOT / part, here / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "galaxy.yml", here)
    return here


@dataclass
class Person:
    """Has an inventory directory of their own, and no credentials but those given to a run."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def play(
        self, name: str, variables: Mapping[str, Any] | str | None, *options: str, collections: str | None = None
    ) -> Told:
        """Runs ``ansible-playbook vpnha.aws.NAME -i DIRECTORY`` with the variables, or that text, as group_vars.

        ``name`` may also be the path of a playbook. Without variables there is no inventory but that of ``options``.
        ``collections``: where collections are, else this checkout.
        """
        own: tuple[str | Path, ...] = ()
        if variables is not None:
            own = "-i", self.directory
            (self.directory / "group_vars").mkdir(exist_ok=True)
            (self.directory / "hosts.yml").write_text(HOSTS)
            text = variables if isinstance(variables, str) else yaml.safe_dump(dict(variables))
            (self.directory / "group_vars" / "all.yml").write_text(text)
        ours = ("AWS_", "VPNHA_", "ANSIBLE_", "PYTHONPATH")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        environment |= {
            "ANSIBLE_COLLECTIONS_PATH": collections or str(ROOT / ".build" / "collections"),
            "ANSIBLE_CONFIG": str(Path(__file__).with_name("ansible.cfg")),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PWD": str(self.directory),  # as a shell says it
        }
        book = name if "/" in name else f"vpnha.aws.{name}"
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), *own, *options, book],
            env=environment | self.environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout)
        return Told(done.returncode, done.stdout)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """A person without credentials."""
    return Person(tmp_path)


@pytest.fixture
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Playbooks of the AWS side alone: network.yml makes it, remove.yml removes it."""
    directory = tmp_path_factory.mktemp("books")  # not beside the inventory: Ansible would read it all
    (directory / "network.yml").write_text(book("network/main"))
    (directory / "remove.yml").write_text(book("network/remove"))
    return directory


@pytest.fixture
def description() -> dict[str, Any]:
    """A good description, to be spoiled."""
    return {**good(), "vpnha_image": "ami-vpnha0golden"}


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an EC2 endpoint."""
    with endpoint(tmp_path_factory.mktemp("endpoint")) as address:
        yield address


@pytest.fixture
def account(person: Person, url: str) -> Callable[..., Any]:
    """Gives the person credentials for the endpoint; what is returned makes a client of it."""
    import boto3

    secret = "not-needed-here"  # Ansible blanks it wherever it occurs, so no word that is in use
    person.environment |= {
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": url,
        "NO_PROXY": "127.0.0.1",
    }
    make: Any = boto3.client
    return lambda service="ec2": make(
        service, endpoint_url=url, region_name="eu-central-1", aws_access_key_id="lab", aws_secret_access_key=secret
    )
