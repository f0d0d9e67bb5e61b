# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading single fields of a description, collecting every problem instead of stopping at the first.

No function here ever puts a secret's value into a sentence.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Net = ipaddress.IPv4Network
Net6 = ipaddress.IPv6Network
Address = ipaddress.IPv4Address

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38}[A-Za-z0-9])?")
NAME_RULE = "letters, digits, '-' and '_', at most 40, beginning and ending with a letter or digit"


class Problems:
    """The sentences found so far, each once and in the order found."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}

    def add(self, where: str, sentence: str) -> None:
        """Note a problem at ``where``, a path like ``vpnha_sites[1].prefixes[0]``."""
        self._sentences[f"{where}: {sentence}"] = None

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(self._sentences)


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that a misspelt one probably means."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def shown(value: Any) -> str:
    """A value as a sentence shows it: short, on one line."""
    text = str(value).replace("\n", "\\n")
    return f"'{text[:57]}...'" if len(text) > 60 else f"'{text}'"


def kind(value: Any) -> str:
    """YAML's word for a value's type."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a dictionary" if isinstance(value, Mapping) else "a list"


class Section:
    """One dictionary of the description with the path to it."""

    def __init__(self, problems: Problems, where: str, value: Mapping[str, Any], known: Iterable[str] = ()) -> None:
        self.problems = problems
        self.where = where
        self.value = value
        known = tuple(known)
        for key in value if known else ():
            if key not in known:
                hint = nearest(str(key), known)
                mend = f"did you mean {hint}?" if hint else f"known are {', '.join(known)}."
                problems.add(self.at(str(key)), f"this key is unknown; {mend}")

    def at(self, key: str) -> str:
        """The path of one of this dictionary's keys."""
        return f"{self.where}.{key}" if self.where else key

    def problem(self, key: str, sentence: str) -> None:
        """Note a problem with a key of this dictionary, or with all of it if the key is empty."""
        self.problems.add(self.at(key) if key else self.where, sentence)

    def given(self, key: str) -> bool:
        """Whether the key has a value; None and the empty string count as absent."""
        return self.value.get(key) not in (None, "")

    def text(self, key: str, default: str | None = None, need: str = "") -> str:
        """A string; ``need`` says what to write where it is required and missing."""
        value = self.value.get(key)
        if value in (None, ""):
            if default is None:
                self.problem(key, f"this is missing; give {need or 'a value'}.")
            return default or ""
        if not isinstance(value, str):
            self.problem(key, f"{shown(value)} is {kind(value)}; write a string, in quotes if YAML reads it otherwise.")
            return ""
        return value

    def name(self, key: str = "name", default: str | None = None) -> str:
        """A name that may be part of host, tunnel and tag names."""
        value = self.text(key, default, "a name")
        if value and not NAME.fullmatch(value):
            self.problem(key, f"{shown(value)} is no usable name; write {NAME_RULE}.")
        return value

    def address(self, key: str, need: str = "an IPv4 address") -> Address | None:
        """An IPv4 address; None where there is none to go on with."""
        value = self.text(key, None, need)
        try:
            return Address(value) if value else None
        except ValueError:
            self.problem(key, f"{shown(value)} is no IPv4 address; write one like 10.20.0.10.")
            return None

    def net(self, key: str, need: str = "an IPv4 network") -> Net | None:
        """An IPv4 network; None where there is none to go on with."""
        value = self.text(key, None, need)
        return network(self.problems, self.at(key), value) if value else None

    def items(self, key: str, needed: bool = False) -> Iterator[tuple[str, Any]]:
        """The members of a list with their paths."""
        value = self.value.get(key)
        if value in (None, ""):
            value = []
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            self.problem(key, f"{shown(value)} is {kind(value)}; write a list, also for a single member.")
            return
        members = list(value)
        if needed and not members:
            self.problem(key, "the list is missing or empty; give at least one.")
        for index, member in enumerate(members):
            yield f"{self.at(key)}[{index}]", member

    def sections(self, key: str, known: Iterable[str], needed: bool = False) -> Iterator[Section]:
        """The dictionaries of a list."""
        for where, member in self.items(key, needed):
            if isinstance(member, Mapping):
                yield Section(self.problems, where, member, known)
            else:
                self.problems.add(where, f"{kind(member)} stands where a dictionary is needed; write its keys below.")

    def nets(self, key: str, needed: bool = False) -> tuple[str, ...]:
        """The networks of a list; a malformed one is noted and empty, so that the others keep their places."""
        return tuple(str(network(self.problems, where, member) or "") for where, member in self.items(key, needed))

    def nets6(self, key: str) -> tuple[str, ...]:
        """The same of IPv6."""
        return tuple(str(network6(self.problems, where, member) or "") for where, member in self.items(key))

    def any_nets(self, key: str, needed: bool = False) -> tuple[str, ...]:
        """The same of either family."""
        return tuple(str(any_network(self.problems, where, member) or "") for where, member in self.items(key, needed))

    def share(self, key: str, default: float) -> float:
        """How much something is, compared with others: a number above 0."""
        value = self.value.get(key)
        if value in (None, ""):
            return default
        if isinstance(value, str):
            try:
                value = float(value)  # Ansible hands templated numbers over as strings
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            self.problem(key, f"{shown(self.value[key])} is no number above 0; write how much it takes, like 1 or 2.5.")
            return default
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        """A truth value."""
        value = self.value.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(key, f"{shown(value)} is no truth value; write true or false.")
            return default
        return value

    def secret(self, key: str, least: int, purpose: str) -> None:
        """Check a secret without ever showing it."""
        value = self.value.get(key)
        if value in (None, ""):
            self.problem(key, f"the {purpose} is missing or could not be read; give at least {least} characters.")
        elif not isinstance(value, str):
            self.problem(key, f"the {purpose} is {kind(value)}; write it as a string, in quotes.")
        elif value != value.strip():
            end = "a line break" if value.endswith(("\n", "\r")) else "white space"
            self.problem(key, f"the {purpose} begins or ends with {end}; strip it, for instance with the filter trim.")
        elif not value.isascii() or not value.isprintable():
            self.problem(key, f"the {purpose} has characters that are not printable ASCII; choose others.")
        elif len(value) < least:
            self.problem(key, f"the {purpose} has only {len(value)} characters; take at least {least} random ones.")
        elif value[:2] in ("0x", "0s") or '"' in value or "\\" in value:
            self.problem(
                key,
                f"the {purpose} begins with 0x or 0s or has a quote or backslash, which strongSwan "
                "would read as something else; choose other characters.",
            )

    def asn(self, key: str, default: int | None = None) -> int | None:
        """A BGP autonomous system number."""
        value = self.value.get(key)
        if value in (None, ""):
            value = default
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.problem(key, f"{shown(value)} is no AS number; write a number like 65010.")
            return None
        if not 0 < value < 4294967295 or value in (23456, 65535):
            self.problem(key, f"{value} is no usable AS number; take a private one, 64512 to 65534 for instance.")
            return None
        return value


def network(problems: Problems, where: str, value: Any) -> Net | None:
    """An IPv4 network without host bits; None, with the problem noted, where it is none."""
    found = any_network(problems, where, value, "192.168.10.0/24")
    if isinstance(found, Net6):
        problems.add(where, f"{shown(value)} is IPv6; give an IPv4 network here.")
    return found if isinstance(found, Net) else None


def network6(problems: Problems, where: str, value: Any) -> Net6 | None:
    """The same of IPv6."""
    found = any_network(problems, where, value, "2001:db8:10::/64")
    if isinstance(found, Net):
        problems.add(where, f"{shown(value)} is IPv4; give an IPv6 network here.")
    return found if isinstance(found, Net6) else None


def any_network(problems: Problems, where: str, value: Any, like: str = "192.168.10.0/24") -> Net | Net6 | None:
    """The same of either; ``like`` is an example for the sentence."""
    if not isinstance(value, str):
        problems.add(where, f"{shown(value)} is {kind(value)}; write a network as a string like {like}.")
        return None
    if "/" not in value:
        problems.add(where, f"{shown(value)} has no prefix length; write a network like {like}.")
        return None
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        pass
    try:
        loose = ipaddress.ip_network(value, strict=False)
    except ValueError:
        what = "IPv6" if ":" in like else "IPv4"
        problems.add(where, f"{shown(value)} is no {what} network; write one like {like}.")
        return None
    problems.add(where, f"{shown(value)} has bits set beyond its prefix length; write {loose}.")
    return None
