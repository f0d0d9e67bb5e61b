# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module as Ansible runs it: in a process of its own, arguments in on standard input, one JSON result out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "not-needed-here"}


@dataclass(frozen=True)
class Answer:
    """What a module answers."""

    code: int
    result: dict[str, Any]
    output: str  # all that it wrote


def run_module(name: str, **arguments: Any) -> Answer:
    """Runs a module of the collection; it talks to AWS with what the lab takes for credentials."""
    code = (
        "import sys, json\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        f"from ansible_collections.vpnha.aws.plugins.modules import {name}\n"
        "with patch_module_args(json.load(sys.stdin)):\n"
        f"    {name}.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps({"_ansible_remote_tmp": tempfile.gettempdir(), **arguments}),
        capture_output=True,
        text=True,
        env={**os.environ, **CREDENTIALS, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        check=False,
    )
    assert done.stdout and "Traceback" not in done.stderr, done.stderr
    return Answer(done.returncode, json.loads(done.stdout), done.stdout + done.stderr)
