# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For modules with secrets deep in their arguments, which the host's journal shall not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class QuietLog:
    """A base before AnsibleModule: which arguments a module was given is logged, and not what they are.

    Ansible logs a list as Python writes it, with line breaks and quotes escaped, and does not find a secret with any of
    these in it there. Results and ``invocation`` are masked by value, so ``no_log`` is needed as well.
    """

    def log(self, msg: Any, log_args: Mapping[str, Any] | None = None) -> None:
        """As AnsibleModule's, without the values of arguments."""
        log: Any = getattr(super(), "log")  # noqa: B009 (the base that comes after is not known here)
        log(f"Invoked with {', '.join(sorted(log_args))}" if log_args else msg)
