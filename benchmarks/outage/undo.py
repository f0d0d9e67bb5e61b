# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has done to the lab, and its undoing."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType


class Undo(ExitStack):
    """Undoes in the end; but not when somebody stops the benchmark: the lab goes then, and repairs take minutes."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool:
        if isinstance(error, KeyboardInterrupt):
            self.pop_all()
        return bool(super().__exit__(kind, error, trace))
