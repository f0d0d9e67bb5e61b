# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which diagnoses are sent to people, and as what kind of message; and how it is said where to send them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

from .description_fields import Problems, Section, kind, nearest, shown
from .diagnoses import DIAGNOSES

KINDS: dict[str, str] = {
    "failover": "Routes leave a gateway, in haste or without.",
    "failback": "Routes go back to their home gateway.",
    "redundancy": "A gateway, a tunnel or a way to a site does not work as it should.",
    "site-down": "A site, or a zone's way to it, works through no gateway, or nothing of the site answers.",
    "repair": "The monitor repairs a gateway, or cannot.",
    "trouble": "The monitor, a route or a call to EC2 is not as it should be.",
    "drill": "A drill is running, and what came of it.",
}

_REDUNDANCY = (  # people are told of these, and they are about gateways, tunnels and ways
    "gateway-unheard", "gateway-absent", "agent-silent", "status-check-impaired", "ike-down-esp-passes",
    "charon-silent-esp-passes", "flapping", "filter-missing", "mesh-down",
    "forwarding-partly-off",
)  # fmt: skip
_KIND_OF = {
    **dict.fromkeys(_REDUNDANCY, "redundancy"),
    **dict.fromkeys(("failover", "voluntary-move"), "failover"),
    "failback": "failback",
    **dict.fromkeys(("site-down", "site-silent", "no-healthy-gateway"), "site-down"),
    **dict.fromkeys(("repair-under-way", "repair-failed", "repair-waits", "repair-needs-person"), "repair"),
    **dict.fromkeys(("drill-running", "drill-result"), "drill"),
    # a person's own doing, or told by what comes of it
    **dict.fromkeys(("pinned", "paused", "swap-unknown", "gateway-new-interface"), ""),
}
_KIND_BY_ACTION = {"swap": "redundancy", "move": "redundancy", "told": "trouble"}

TARGETS_MOST = 8  # each may have a process of its own at work
RATE = 30  # messages an hour and target
RATE_MOST = 1000
FIELDS = ("deployment", "monitor", "kind", "title", "what", "evidence", "done", "next", "time", "drill")
_PARTS = ("title", "body")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://\S+", re.IGNORECASE)


def kind_of(code: str) -> str:
    """The kind of message that a diagnosis makes; empty: none. One that nobody has put anywhere goes by its action."""
    if code in _KIND_OF:
        return _KIND_OF[code]
    diagnosis = DIAGNOSES.get(code)
    return "" if diagnosis is None else _KIND_BY_ACTION.get(diagnosis.action, "")


@dataclass(frozen=True)
class Announcing:
    """Where messages go and how they look. The addresses are secrets: they appear in no log and no error."""

    sns_topic: str = ""
    apprise: tuple[str, ...] = field(default=(), repr=False)
    templates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # kind or "default" -> part -> text
    rate: int = RATE

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.sns_topic or self.apprise)


def scheme_of(address: str) -> str:
    """What an Apprise address begins with, such as slack; the only part of it that may be shown."""
    return address.partition("://")[0].lower()


def announcing(section: Section, prefix: str = "") -> Announcing:
    """What a section says of it; its keys begin with ``prefix``. No sentence has an address in it."""
    topic = section.text(f"{prefix}sns_topic", "")
    if topic.endswith(".fifo"):
        section.problem(f"{prefix}sns_topic", "this is a FIFO topic; give a standard one, messages need no order.")
    elif topic and not _TOPIC.fullmatch(topic):
        example = "arn:aws:sns:eu-central-1:123456789012:vpn"
        what = shown(topic) if topic.startswith("arn:") else "this"  # it may be an address that is a secret
        section.problem(f"{prefix}sns_topic", f"{what} is no ARN of an SNS topic; write one like {example}.")
    addresses = []
    given = section.value.get(f"{prefix}apprise")
    if given not in (None, "") and not isinstance(given, (list, tuple)):  # never show it
        section.problem(
            f"{prefix}apprise", f"{kind(given)} stands where a list of addresses is needed; write one below."
        )
        given = []
    for number, address in enumerate(given or []):
        where = f"{section.at(f'{prefix}apprise')}[{number}]"
        if isinstance(address, str) and _ADDRESS.fullmatch(address):
            addresses.append(address)
        else:  # never show it
            section.problems.add(
                where, "this is no Apprise address; write one such as slack://… or mailto://…, as a string on one line."
            )
    if len(addresses) + bool(topic) > TARGETS_MOST:
        section.problem(f"{prefix}apprise", f"there are more than {TARGETS_MOST} targets; name fewer, a topic is one.")
    return Announcing(topic, tuple(addresses), _templates(section, f"{prefix}templates"), _rate(section, prefix))


def _rate(section: Section, prefix: str) -> int:
    rate = section.value.get(f"{prefix}rate")
    if rate in (None, ""):
        return RATE
    if isinstance(rate, str) and rate.isdigit():
        rate = int(rate)
    if isinstance(rate, bool) or not isinstance(rate, int) or not 1 <= rate <= RATE_MOST:
        section.problem(
            f"{prefix}rate", f"{shown(rate)} is no number of messages an hour; write one from 1 to {RATE_MOST}."
        )
        return RATE
    return rate


def _templates(section: Section, key: str) -> dict[str, dict[str, str]]:
    value = section.value.get(key)
    if value in (None, ""):
        return {}
    if not isinstance(value, Mapping):
        section.problem(key, f"{kind(value)} stands where a dictionary is needed; write kinds of messages as its keys.")
        return {}
    found: dict[str, dict[str, str]] = {}
    kinds = Section(section.problems, section.at(key), value, (*KINDS, "default"))
    for name, parts in value.items():
        if not isinstance(parts, Mapping):
            kinds.problem(str(name), f"{kind(parts)} stands where a dictionary with title and body is needed.")
            continue
        inner = Section(section.problems, kinds.at(str(name)), parts, _PARTS)
        found[str(name)] = {part: inner.text(part, "") for part in _PARTS if inner.given(part)}
        for part, text in found[str(name)].items():
            if problem := template_problem(text):
                inner.problem(part, problem)
    return found


def template_problem(text: str) -> str:
    """What is wrong with a template, one sentence; empty: nothing."""
    template = Template(text)
    if not template.is_valid():
        return "a $ stands by itself; write $$ for a dollar sign, and ${name} for a value."
    for name in template.get_identifiers():
        if name not in FIELDS:
            hint = nearest(name, FIELDS)
            mend = f"did you mean ${{{hint}}}?" if hint else f"there are {', '.join(FIELDS)}."
            return f"${{{name}}} is unknown; {mend}"
    return ""


def from_mapping(value: Any, problems: Problems, where: str) -> Announcing:
    """The same out of the monitor's configuration, under a key of its own; nothing there: nobody is told."""
    if value in (None, ""):
        return Announcing()
    if not isinstance(value, Mapping):
        problems.add(where, f"{kind(value)} stands where a dictionary is needed.")
        return Announcing()
    return announcing(Section(problems, where, value, ("sns_topic", "apprise", "templates", "rate")))
