# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of deployment_check: reads the play's variables one by one.

As an argument of a task, one variable that cannot be read (a secret's file that is missing, a vault whose password is
not given) would end the task with Ansible's own words for it, which name neither the variable nor its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.vpnha.aws.plugins.module_utils.description import ONLY_DEPLOYED, VARIABLES
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads the description, then lets the module check it."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result, or one sentence for each variable that cannot be read."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("description") is None:
            unread: list[str] = []
            wanted = VARIABLES + (ONLY_DEPLOYED if boolean(arguments.get("deploying", False)) else ())
            arguments["description"] = {
                # of others only the name matters: one that looks misspelt is told
                name: self._read(name, value, unread) if name in wanted else None
                for name, value in (task_vars or {}).items()
                if name.startswith("vpnha_") and name != "vpnha_checked"
            }
            if unread:
                return result | {"failed": True, "msg": DescriptionError(unread).message}
        module = "vpnha.aws.deployment_check"
        return result | self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)

    def _read(self, where: str, value: Any, unread: list[str]) -> Any:
        """A value with all that is templated or encrypted in it resolved; what cannot be is noted."""
        if isinstance(value, Mapping):
            return {key: self._read(f"{where}.{key}", member, unread) for key, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._read(f"{where}[{index}]", member, unread) for index, member in enumerate(value)]
        try:
            found = self._templar.template(value)
            # what is encrypted by itself is so until it is looked at
            return str(found) if hasattr(found, "_ciphertext") else found
        except AnsibleError as error:
            unread.append(f"{where}: this cannot be read: {_reason(error, value)}")
            return None


def _reason(error: AnsibleError, value: Any) -> str:
    """What Ansible says, without its hint for its developers and without the value, which may be a secret."""
    said = " ".join(str(error).partition(" Use -v")[0].split())
    return (said.replace(value, "it") if isinstance(value, str) and value else said).rstrip(".") + "."
