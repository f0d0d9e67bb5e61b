# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules in place of those that would ask AWS, systemd or charon.

Ansible hands their arguments over in a file (``WANT_JSON``): a play runs dozens of them, and what an ordinary module
brings along is packed, unpacked and compiled each time, which takes many times as long as all that these do.
"""

from __future__ import annotations

from collections.abc import Iterable

_TEXT = """\
#!/usr/bin/python
# WANT_JSON
import json, os, sys, time
from pathlib import Path
task = json.loads(Path(sys.argv[1]).read_text())
given = {key: value for key, value in task.items() if value is not None and not key.startswith("_ansible_")}
check, answer = task["_ansible_check_mode"], {"changed": True}
def answered():
    print(json.dumps({**answer, "failed": "msg" in answer}))
    sys.exit()
if unknown := given.keys() - set(OPTIONS):
    answer["msg"] = f"It has no option {', '.join(sorted(unknown))}."
    answered()
BODY
answered()
"""
_NOTE = """\
host = os.environ["STUB_HOST"]
call = " ".join([host, NAME, str(given.get("state", ""))]).strip()
with open(os.environ["STUBS"] + "/calls", "a") as calls:
    calls.write(json.dumps([call, given | ({"_check": True} if check else {})]) + "\\n")
answer |= json.loads(Path(os.environ["STUBS"], "answers.json").read_text()).get(call, {})
"""


def stub(options: Iterable[str], body: str) -> str:
    """A module's text. ``body`` reads ``given`` and ``check``, and sets ``answer``: with ``msg`` the module fails."""
    return _TEXT.replace("OPTIONS", repr(list(options))).replace("BODY", body.strip())


def noting(name: str, options: Iterable[str]) -> str:
    """One that notes each call in ``$STUBS/calls``, as "host name state", and answers by ``$STUBS/answers.json``."""
    return stub(options, _NOTE.replace("NAME", repr(name)))
