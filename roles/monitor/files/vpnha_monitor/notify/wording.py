# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a message reads: title, what happened, on what evidence, what the monitor did, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Template

from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES

from .facts import Fact, Message, moment, new_id
from .telling import MOVES, SETTLE, Told

TITLE_MOST = 99  # characters, as SNS wants its subjects
BODY_MOST = 4000
LINES_MOST = 40  # of a summary
_EXAMPLES = 3  # of many alike
_TITLE = "[${deployment}] ${title}"
_BODY = """${what}

Evidence: ${evidence}
Done: ${done}
Next: ${next}

Deployment ${deployment}, told by monitor ${monitor}, ${time}."""
_DONE = {
    "swap": "the monitor moves the routes concerned to a gateway that works, unless there is none, or another tunnel "
    "or a neighbour gateway carries their packets already.",
    "move": "the monitor moves the routes concerned without haste, where another gateway works better.",
}
_NOTHING_DONE = "nothing was changed."
_SEVERITIES = {"failback": "success", "drill": "info", "site-down": "failure"}
_FAILURES = ("monitor-isolated", "swap-forbidden", "pinned-to-broken", "repair-needs-person", "gateway-silent")


@dataclass(frozen=True)
class Wording:
    """Makes messages, by the user's templates where there are some and they can be filled in."""

    deployment: str
    monitor: str
    templates: Mapping[str, Mapping[str, str]]

    def message(self, told: Told) -> Message:
        """The message of what is told."""
        first = told.facts[0]
        drill = next((fact.drill for fact in told.facts if fact.drill), "")
        title = _title(told)
        values = {
            "deployment": self.deployment,
            "monitor": self.monitor,
            "kind": told.kind,
            "title": f"Drill {drill}: {title}" if drill and told.kind != "drill" else title,
            "what": _what(told),
            "evidence": _evidence(told.facts),
            "done": _done(told),
            "next": _next(told),
            "time": moment(first.wall),
            "drill": drill,
        }
        return self._filled(told.kind, _severity(told, drill), first.wall, values)

    def test(self, wall: float) -> Message:
        """A message that only shows that messages arrive."""
        values = {
            "deployment": self.deployment,
            "monitor": self.monitor,
            "kind": "test",
            "title": "Test of the notification",
            "what": f"At {moment(wall)} a person ran `vpnha notify-test` on {self.monitor}.",
            "evidence": "none; nothing is the matter.",
            "done": _NOTHING_DONE,
            "next": "`vpnha status`",
            "time": moment(wall),
            "drill": "",
        }
        return self._filled("test", "info", wall, values)

    def summary(self, messages: Sequence[Message], wall: float) -> Message:
        """Many messages that wait for one target, as one: their titles, and where to read more."""
        first, last = messages[0], messages[-1]
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(one.kind for one in messages).most_common())
        said = (
            f"{len(messages)} more messages between {moment(first.wall)} and {moment(last.wall)} ({kinds}) were held "
            "back, because they were too many at a time:"
        )
        see = f"Next: on {self.monitor}: `vpnha status`, then `vpnha events --since {_since(first.wall)}`"
        end = f"Deployment {self.deployment}, told by monitor {self.monitor}, {moment(wall)}."
        title = _line(f"[{self.deployment}] {len(messages)} more messages: see `vpnha events`")
        order = ("success", "info", "warning", "failure")
        severity = max((one.severity for one in messages), key=order.index)
        most = BODY_MOST - len("\n".join([said, "", "", see, "", end]))
        body = "\n".join([said, *_fitting(messages, most), "", see, "", end])
        return Message(new_id(), first.wall, "summary", severity, title, body[:BODY_MOST])

    def _filled(self, kind: str, severity: str, wall: float, values: Mapping[str, str]) -> Message:
        parts = {"title": _TITLE, "body": _BODY}
        given = {**self.templates.get("default", {}), **self.templates.get(kind, {})}
        filled = {}
        for part, built_in in parts.items():
            try:
                filled[part] = Template(given.get(part, built_in)).substitute(values)
            except (
                ValueError,
                KeyError,
            ):  # the check of the configuration refuses it; a message must go out all the same
                filled[part] = Template(built_in).substitute(values)
        return Message(new_id(), wall, kind, severity, _line(filled["title"]), filled["body"][:BODY_MOST])


def late(message: Message) -> Message:
    """The same, marked as one that could not be sent when it was new."""
    said = f"This message is of {moment(message.wall)} and could not be sent before."
    return replace(message, title=_line(f"Late: {message.title}"), body=f"{said}\n\n{message.body}"[:BODY_MOST])


def _fitting(messages: Sequence[Message], most: int) -> list[str]:
    """Their titles as lines, as many as have room: those of the middle go first, others before any failure's."""
    lines = [f"- {moment(one.wall)} {one.title}" for one in messages]
    middle = (len(lines) - 1) / 2
    goes = sorted(range(len(lines)), key=lambda n: (messages[n].severity != "failure", -abs(n - middle)))
    stays = set(goes)
    room = most - len(_more(len(lines)))
    while len(stays) > LINES_MOST or (stays and sum(len(lines[n]) + 1 for n in stays) > room):
        stays.remove(goes.pop())
    gap = next((n for n in range(len(lines)) if n not in stays), -1)
    more = _more(len(lines) - len(stays))
    return [lines[n] if n in stays else more for n in range(len(lines)) if n in stays or n == gap]


def _more(count: int) -> str:
    return f"- … {count} more …"


def _line(text: str) -> str:
    """One line of at most `TITLE_MOST` characters."""
    text = " ".join(text.split())
    return text if len(text) <= TITLE_MOST else f"{text[: TITLE_MOST - 1]}…"


def _title(told: Told) -> str:
    moves = [fact for fact in told.facts if fact.code in MOVES]
    if moves:
        hasty = any(fact.code == "failover" for fact in moves)
        word = "Failback" if told.kind == "failback" else "Failover" if hasty else "Routes moved"
        return f"{word}: {_routes(moves)} from {_named(moves, 'from')} to {_named(moves, 'to')}"
    first = told.facts[0]
    title = DIAGNOSES[first.code].title if first.code in DIAGNOSES else first.code
    if first.code == "drill-result":
        title = f"Drill {first.subject} {'passed' if first.evidence.get('passed') else 'did not pass'}"
    elif told.kind == "trouble":
        title += f" ({first.subject})" if first.subject and len(told.facts) == 1 else ""
        title += f" ({len(told.facts)} times)" if len(told.facts) > 1 else ""
    else:
        title = f"{first.subject}: {title}" if first.subject else title
        title += f" and {len(told.facts) - 1} more" if len(told.facts) > 1 else ""
    if told.over:
        return f"Partly over: {title}" if told.remains else f"Over: {title}"
    return title


def _what(told: Told) -> str:
    sentences = []
    for fact in told.facts[:_EXAMPLES]:
        text = fact.text.removeprefix("Over: ")
        said = f"{moment(fact.wall)}: {_sentence(text)}"
        if told.over:
            began = told.since.get(fact.key)
            lasted = (
                "" if began is None else f" It was told at {moment(began)}, and lasted {_lasted(fact.wall - began)}."
            )
            said = f"Over since {moment(fact.wall)}: {_sentence(text)}{lasted}"
        elif fact.key in told.ended:
            said += " This is over already."
        sentences.append(said)
    more = len(told.facts) - _EXAMPLES
    if more > 0:
        sentences.append(f"And {more} more like that.")
    if told.remains:
        still = " ".join(_sentence(text) for text in told.remains[:_EXAMPLES])
        rest = len(told.remains) - _EXAMPLES
        sentences.append(f"Not over: {still}" + (f" And {rest} more." if rest > 0 else ""))
    return " ".join(sentences)


def _evidence(facts: Sequence[Fact]) -> str:
    found: dict[str, str] = {}
    for fact in facts:
        for name, value in fact.evidence.items():
            if name in ("from", "to", "count", "zone", "site", "drill") or value in (None, "", [], {}):
                continue
            found.setdefault(name.replace("_", " "), _value(value))
    routes = [str(route) for fact in facts for route in fact.evidence.get("routes", ())]
    if routes:
        total = max(len(routes), sum(_count(fact) for fact in facts if fact.code in MOVES))
        rest = total - len(routes[:_EXAMPLES])
        found["routes"] = ", ".join(routes[:_EXAMPLES]) + (f" and {rest} more" if rest else "")
    return f"{'; '.join(f'{name}: {value}' for name, value in found.items())}." if found else "see the journal."


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(str(one) for one in value[:_EXAMPLES])
        return shown + (f" and {len(value) - _EXAMPLES} more" if len(value) > _EXAMPLES else "")
    return str(value)


def _done(told: Told) -> str:
    moves = [fact for fact in told.facts if fact.code in MOVES]
    if moves:
        said = [f"the monitor began to move {_routes(moves)} to {_named(moves, 'to')}"]
        said += [f"within {SETTLE:g} s EC2 accepted {count} swaps to {name}" for name, count in told.accepted.items()]
        return f"{'; '.join(said)}."
    if told.over:
        return _NOTHING_DONE
    first = told.facts[0]
    if first.code == "repair-under-way":
        return _sentence(first.text)
    diagnosis = DIAGNOSES.get(first.code)
    return _DONE.get(diagnosis.action, _NOTHING_DONE) if diagnosis else _NOTHING_DONE


def _next(told: Told) -> str:
    see = f"`vpnha status`, then `vpnha events --since {_since(min(fact.wall for fact in told.facts))}`"
    if told.over:
        return see
    mends = [DIAGNOSES[fact.code].what_to_do for fact in told.facts if fact.code in DIAGNOSES]
    return " ".join([f"{see}.", *dict.fromkeys(mend for mend in mends if mend)])


def _since(wall: float) -> str:
    return moment(wall - 60.0)[:16].replace(" ", "T")


def _severity(told: Told, drill: str) -> str:
    if told.over:
        return "warning" if told.remains else "success"
    if told.facts[0].code == "drill-result":
        return "success" if told.facts[0].evidence.get("passed") else "failure"
    if drill:
        return "info"
    if any(fact.code in _FAILURES for fact in told.facts):
        return "failure"
    if all(fact.code == "site-silent" for fact in told.facts):
        return "warning"  # a server that is off, more often than a site
    return _SEVERITIES.get(told.kind, "warning")


def _routes(moves: Sequence[Fact]) -> str:
    count = sum(_count(fact) for fact in moves)
    return f"{count} route{'' if count == 1 else 's'}"


def _count(fact: Fact) -> int:
    count = fact.evidence.get("count", 1)
    return count if isinstance(count, int) else 1


def _named(moves: Sequence[Fact], which: str) -> str:
    return " and ".join(dict.fromkeys(str(fact.evidence.get(which) or fact.subject) for fact in moves))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _lasted(seconds: float) -> str:
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
