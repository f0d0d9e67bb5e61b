# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network namespace a host's name leads to: ``<state>/hosts/<host_id>.json``.

Written by whoever makes the host, read by ``lab connect`` for each ssh connection, so: the standard library only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypedDict

from lab.errors import LabError
from lab.names import Names

DOMAIN = ".lab.invalid"


class Entry(TypedDict):
    """One host: ``netns`` is a name under /run/netns, ``kind`` is ``ec2``, ``site``, ``vm`` or ``vpn``.

    ``address`` is where its sshd answers inside the namespace: its loopback, or the address of a virtual machine.
    AWS's end of a managed tunnel (``vpn``) is no host and has no sshd: its public address.
    """

    name: str
    netns: str
    kind: str
    address: str


def write(names: Names, host_id: str, *, name: str, netns: str, kind: str, address: str = "127.0.0.1") -> None:
    """Put a host's entry there, or replace it, in one step."""
    names.registry.mkdir(parents=True, exist_ok=True)
    entry: Entry = {"name": name, "netns": netns, "kind": kind, "address": address}
    new = names.registry / f".{host_id}.{os.getpid()}"
    new.write_text(json.dumps(entry), encoding="utf-8")
    new.replace(_path(names, host_id))


def remove(names: Names, host_id: str) -> None:
    """Forget a host; no error when it is not known."""
    _path(names, host_id).unlink(missing_ok=True)


def entries(names: Names) -> dict[str, Entry]:
    """All hosts by their id."""
    found: dict[str, Entry] = {}
    for path in sorted(names.registry.glob("[!.]*.json")):
        try:
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # removed while we were looking
    return found


def find(names: Names, name: str) -> tuple[str, Entry]:
    """The host of that id or name, with or without ``.lab.invalid``. Raises LabError when there is none or several."""
    name = name.removesuffix(DOMAIN)
    known = entries(names)
    if name in known:
        return name, known[name]
    hits = [(host_id, entry) for host_id, entry in known.items() if entry["name"] == name]
    if len(hits) == 1:
        return hits[0]
    if hits:
        ids = ", ".join(host_id for host_id, _ in hits)
        raise LabError(f"Several hosts are called {name} ({ids}): use the id instead of the name.")
    others = ", ".join(sorted({entry["name"] for entry in known.values()})) or "none"
    raise LabError(f"The lab {names.name} has no host called {name}; its hosts are: {others}.")


def _path(names: Names, host_id: str) -> Path:
    return names.registry / f"{host_id}.json"
