# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of composite alarms: ``ALARM("a") AND NOT (OK(b) OR INSUFFICIENT_DATA(arn:…))``, TRUE and FALSE."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_WORD = re.compile(
    r"""\s*(?:
        (?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[^\s()"]+))\s*\)
        |(?P<word>AND|OR|NOT|TRUE|FALSE)\b
        |(?P<bracket>[()])
    )""",
    re.VERBOSE,
)

States = Mapping[str, str]


@dataclass(frozen=True)
class Rule:
    """A rule that can be applied: ``names`` are names or ARNs of the alarms that it speaks of."""

    names: frozenset[str]
    holds: Callable[[States], bool]


def parse(text: str) -> Rule:
    """Read a rule; NOT binds more than AND, AND more than OR. Raises ValueError with what is wrong."""
    words = list(_words(text))
    rule = _either(words, text)
    if words:
        raise ValueError(f"The alarm rule {text!r} has {words[0][1]!r} where AND or OR is expected.")
    return rule


def _words(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        found = _WORD.match(text, at)
        if found is None:
            raise ValueError(f"The alarm rule {text!r} cannot be read from {text[at:].strip()!r} on.")
        name = found["quoted"] or found["plain"]
        yield (found["state"], name) if found["state"] else ("", found["word"] or found["bracket"])
        at = found.end()


def _either(words: list[tuple[str, str]], text: str) -> Rule:
    rule = _both(words, text)
    while words and words[0] == ("", "OR"):
        words.pop(0)
        rule = _joined(rule, _both(words, text), any)
    return rule


def _both(words: list[tuple[str, str]], text: str) -> Rule:
    rule = _one(words, text)
    while words and words[0] == ("", "AND"):
        words.pop(0)
        rule = _joined(rule, _one(words, text), all)
    return rule


def _joined(first: Rule, second: Rule, how: Callable[[list[bool]], bool]) -> Rule:
    return Rule(first.names | second.names, lambda states: how([first.holds(states), second.holds(states)]))


def _one(words: list[tuple[str, str]], text: str) -> Rule:
    state, word = words.pop(0) if words else ("", "its end")
    if state:
        return Rule(frozenset({word}), lambda states: states.get(word) == state)
    if word in ("TRUE", "FALSE"):
        return Rule(frozenset(), lambda _states: word == "TRUE")
    if word == "NOT":
        inner = _one(words, text)
        return Rule(inner.names, lambda states: not inner.holds(states))
    if word == "(":
        inner = _either(words, text)
        if not words or words.pop(0) != ("", ")"):
            raise ValueError(f"The alarm rule {text!r} has a bracket that is not closed.")
        return inner
    raise ValueError(f"The alarm rule {text!r} has {word!r} where an alarm is expected.")
