# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person gives as ``-e NAME=VALUE`` is text, also where it is a number or a truth value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .conftest import ROOT, Person

BOOK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "VALUES"}
"""


def defaults(kind: type | tuple[type, ...]) -> list[str]:
    """The roles' variables whose defaults are numbers, or truth values."""
    found: list[str] = []
    for path in ROOT.glob("roles/*/defaults/main.yml"):
        given: dict[str, Any] = yaml.safe_load(path.read_text())
        found += [
            name
            for name, value in given.items()
            if isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        ]
    return found


def lines() -> Iterator[tuple[str, str]]:
    """Every line in which a role or playbook may reckon."""
    wanted: list[Path] = [*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/templates/*.j2")]
    wanted += [*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/vars/**/*.yml")]
    for path in wanted:
        name = str(path.relative_to(ROOT))
        yield from ((name, line.strip()) for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))


def test_nobody_reckons_with_text() -> None:
    names = "|".join(defaults((int, float)))
    after, before = (
        rf"\b({names})\b *(\)* *[-+*/<>] |\)* *[=!]= )",
        rf"(?<=[\w)}}\]]) (//|[-+*/<>]|[<>=!]=) \(*({names})\b(?! \|)",
    )
    assert [found for found in lines() if re.search(f"{after}|{before}", found[1])] == []


def test_nobody_takes_text_for_a_truth_value() -> None:
    names = "|".join(defaults(bool))
    bare = rf"(when: |\bif |\bnot |\band |\bor |'\w+': )({names})\b(?! \| bool)"
    assert [found for found in lines() if re.search(bare, found[1])] == []


def test_what_is_reckoned_is_the_same_with_text(person: Person) -> None:
    """The expressions themselves, with text for each number."""
    sources = {
        "roles/drill/tasks/probe_start.yml": "max_seconds: ", "roles/drill/tasks/recover.yml": "retries: ",
        "roles/drill/tasks/inject/planned.yml": "pin_minutes: ", "roles/awx/tasks/configure.yml": "retries: ",
    }  # fmt: skip
    values = []
    for name, key in sources.items():
        text = next(line for _name, line in lines() if _name == name and line.startswith(key))
        values.append(text.removeprefix(key).strip('"'))
    [mss] = [line for name, line in lines() if name.endswith("firewall.nft.j2") and "20 }}" in line]
    values.append(mss.split("set ")[1])
    book = person.directory / "book.yml"
    book.write_text(BOOK.replace("VALUES", " ".join(values)))
    given = {
        "vpnha_drill_failover_timeout": 30, "vpnha_drill_recovery_timeout": 100, "vpnha_drill_undo_seconds": 90,
        "vpnha_awx_sync_seconds": 9, "vpnha_gateway_mss": 1300,
    }  # fmt: skip
    options = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
    told = person.play(str(book), {}, *options)
    assert told.code == 0 and "350 50 2 5 1280" in told.output
