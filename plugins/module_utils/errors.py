# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that the engine raises; each says in one sentence what, where and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence


class VpnhaError(Exception):
    """Something that a person has to know; ``str()`` is one sentence for that person."""


class DescriptionError(VpnhaError):
    """A deployment's description is wrong. ``sentences`` has every problem found, one sentence each."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences: tuple[str, ...] = tuple(sentences)
        super().__init__(" ".join(self.sentences))

    @property
    def message(self) -> str:
        """All of it for a person who looks at a task that failed: a line for each sentence where there are several."""
        if len(self.sentences) == 1:
            return f"The deployment's description is wrong. {self.sentences[0]}"
        lines = "\n".join(f"- {sentence}" for sentence in self.sentences)
        return f"The deployment's description has {len(self.sentences)} problems:\n{lines}"


class Ec2Error(VpnhaError):
    """A call to EC2 failed: ``doing`` is what was being done, ``code`` AWS's error code or ``"timeout"``.

    ``applied`` is None where the call may have been carried out all the same (timeouts, server errors).
    """

    def __init__(self, doing: str, code: str, message: str, applied: bool | None = False) -> None:
        self.doing = doing
        self.code = code
        self.message = message
        self.applied = applied
        super().__init__(f"{doing}: {code}: {message}" if code else f"{doing}: {message}")


class InvariantViolation(VpnhaError):
    """An action would break a promise of the design; ``number`` is the promise's. The action is dropped."""

    def __init__(self, number: int, message: str) -> None:
        self.number = number
        super().__init__(f"invariant {number}: {message}")
