# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened, as the loop hands it over, and the message that is made of it. Both survive a restart as JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.announced import kind_of
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note

from ..journal import writable


def new_id() -> str:
    """A name that no other fact or message has, also none from before a restart."""
    return uuid.uuid4().hex


def moment(wall: float) -> str:
    """A wall time as people read it, to the second."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@dataclass(frozen=True)
class Fact:
    """A note that may have to be told. ``drill`` is the drill that was running then."""

    id: str
    wall: float
    code: str
    subject: str
    text: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    resolved: bool = False
    drill: str = ""

    @property
    def kind(self) -> str:
        """Of message that it makes."""
        return kind_of(self.code)

    @property
    def key(self) -> tuple[str, str]:
        """By which a matter is told once, and closed by its end."""
        return self.code, self.subject

    def to_json(self) -> str:
        """For the outbox."""
        return json.dumps(asdict(self), default=str)


def fact_of(note: Note, wall: float, drill: str = "") -> Fact:
    """A note as it is handed over."""
    subject, text = writable(note.subject), writable(note.text)  # the outbox has them beside its JSON
    return Fact(new_id(), wall, note.code, subject, text, dict(note.evidence), note.resolved, drill)


def fact_from(text: str) -> Fact:
    """The fact that an outbox has. Raises ValueError or TypeError for what is none."""
    return Fact(**json.loads(text))


@dataclass(frozen=True)
class Message:
    """What people get. ``wall`` is when it happened; ``severity`` is success, info, warning or failure."""

    id: str
    wall: float
    kind: str
    severity: str
    title: str
    body: str

    def to_json(self) -> str:
        """For the outbox and for the process that sends it."""
        return json.dumps(asdict(self))


def message_from(text: str) -> Message:
    """The message that an outbox has. Raises ValueError or TypeError for what is none."""
    return Message(**json.loads(text))
