# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts are asked as root, wherever Ansible has the user from."""

from __future__ import annotations

import pytest

from .conftest import ROOT, Person, book

SSH = """\
#!/bin/sh
echo "$*" >> {directory}/called
echo '{{"sentence": "It flows."}}'
"""


@pytest.mark.parametrize(
    ("user", "sudo"),
    [
        ("admin", True),
        ("root", False),  # whose image need not have sudo
    ],
)
def test_a_monitor_is_asked_as_root(
    person: Person, tmp_path_factory: pytest.TempPathFactory, user: str, sudo: bool
) -> None:
    here = tmp_path_factory.mktemp("ssh")  # not beside the inventory: Ansible would read it all
    (here / "ssh").write_text(SSH.format(directory=here))
    (here / "ssh").chmod(0o755)
    (here / "book.yml").write_text(book("network/monitors"))
    (here / "monitors.yml").write_text("vpnha_monitors: {hosts: {mon-a: {ansible_host: 192.0.2.1}}}\n")
    person.environment |= {"ANSIBLE_SSH_EXECUTABLE": str(here / "ssh"), "ANSIBLE_PIPELINING": "true"}
    # as AWX hands over a machine credential
    more = ("-u", user, "-e", "ansible_python_interpreter=/usr/bin/python3")
    assert person.play(str(here / "book.yml"), {}, "-i", str(here / "monitors.yml"), *more).code == 0
    asked = (here / "called").read_text().splitlines()
    assert asked and all(("sudo" in line) == sudo for line in asked)


def test_nothing_guesses_from_one_variable_who_the_user_is() -> None:
    """Ansible itself leaves sudo out where the user is root already."""
    books = [path for part in ("roles", "playbooks") for path in (ROOT / part).rglob("*.yml")]
    assert books and not [path for path in books if "ansible_user |" in path.read_text()]
