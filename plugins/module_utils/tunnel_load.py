# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the tunnels of a gateway into its running strongSwan, one connection at a time, and into swanctl's files.

A connection is loaded into the running daemon first, and written down for the next start only when the daemon took it:
a bad one can neither take the place of a good one nor keep the daemon from starting. Equal ones are not even asked.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .errors import VpnhaError
from .tunnel_config import secret_id, swanctl_text

PREFIX = "vpnha-"  # of our files in conf.d; others are somebody else's
_SECRET = re.compile(r"secret = 0x([0-9a-f]*)")


class Charon(Protocol):
    """What is used of ``vici.Session``. A refusal is an exception that is no OSError."""

    def get_conns(self) -> Mapping[str, Any]: ...
    def list_sas(self) -> Iterator[Mapping[str, Any]]: ...
    def load_conn(self, connection: Mapping[str, Any]) -> object: ...
    def unload_conn(self, request: Mapping[str, Any]) -> object: ...
    def load_shared(self, secret: Mapping[str, Any]) -> object: ...
    def unload_shared(self, request: Mapping[str, Any]) -> object: ...
    def terminate(self, request: Mapping[str, Any]) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Wanted:
    """A tunnel as it should be: its connection (see ``tunnel_config.connection``) and its key."""

    name: str
    connection: Mapping[str, Any]
    psk: str = field(repr=False)
    owners: Sequence[str]

    @property
    def text(self) -> str:
        """The swanctl file."""
        return swanctl_text(self.name, self.connection, self.psk, self.owners)


@dataclass
class Outcome:
    """What was done (or would be, in check mode), by tunnel name."""

    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # name -> sentence
    up: list[str] = field(default_factory=list)  # established before anything was done, of ours or not
    resets: list[str] = field(default_factory=list)  # of those that are up, the ones that this closes
    before: str = ""  # the changed files without their keys, for a diff
    after: str = ""


def apply(charon: Charon | None, directory: Path, wanted: Sequence[Wanted], check: bool = False) -> Outcome:
    """Make the tunnels so; without ``charon``, as with ``check``, only find out what would be done.

    Raises VpnhaError when strongSwan does not answer or a file cannot be written; what one connection
    suffers stands in ``failed``, and all others are done all the same.
    """
    outcome = Outcome()
    try:
        loaded = _names(charon) if charon else {tunnel.name for tunnel in wanted}
        outcome.up = _established(charon) if charon else []
        acting = None if check else charon
        for tunnel in wanted:
            path = directory / f"{PREFIX}{tunnel.name}.conf"
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            private = not old or path.stat().st_mode & 0o077 == 0
            if old != tunnel.text or not private or tunnel.name not in loaded:
                _change(acting, path, old, tunnel, outcome)
        names = {tunnel.name for tunnel in wanted}
        for path in sorted(directory.glob(f"{PREFIX}*.conf")):
            name = path.name[len(PREFIX) : -len(".conf")]
            if name not in names:
                outcome.removed.append(name)
                if name in outcome.up:
                    outcome.resets.append(name)
                outcome.before += shown(path.read_text(encoding="utf-8"))
                if acting:
                    _remove(acting, name)
                    path.unlink()
    except OSError as error:
        where = error.filename or "VICI"
        raise VpnhaError(f"Loading the tunnels stopped ({where}: {error.strerror or error}).") from error
    return outcome


def shown(text: str) -> str:
    """A swanctl file without its key."""
    return _SECRET.sub("secret = (not shown)", text)


def _names(charon: Charon) -> set[str]:
    names = charon.get_conns().get("conns", [])
    return {name.decode() if isinstance(name, bytes) else str(name) for name in names}


def _established(charon: Charon) -> list[str]:
    found = {
        name: True
        for message in charon.list_sas()
        for name, sa in message.items()
        if sa.get("state") in (b"ESTABLISHED", "ESTABLISHED")
    }
    return sorted(found)


def _change(charon: Charon | None, path: Path, old: str, tunnel: Wanted, outcome: Outcome) -> None:
    if charon:
        reason = _load(charon, tunnel, old)
        if reason:
            kept = "the one before stays in force" if old else "nothing was loaded for it"
            outcome.failed[tunnel.name] = f"strongSwan refuses the connection {tunnel.name} ({reason}); {kept}."
            return
        _write(path, tunnel.text)
    outcome.changed.append(tunnel.name)
    if tunnel.name in outcome.up and shown(old) != shown(tunnel.text):
        outcome.resets.append(tunnel.name)  # another key alone counts from the next authentication on
    outcome.before += shown(old)
    outcome.after += shown(tunnel.text)
    if shown(old) == shown(tunnel.text) and old != tunnel.text:
        outcome.after += f"# the key of {tunnel.name} changes\n"


def _load(charon: Charon, tunnel: Wanted, old: str) -> str:
    """Empty when strongSwan took it, else why not, with the former key back in force."""
    _share(charon, tunnel, tunnel.psk.encode())  # first: a connection may start as soon as it is loaded
    try:
        charon.load_conn({tunnel.name: tunnel.connection})
    except OSError:
        raise
    except Exception as error:
        former = _SECRET.search(old)
        if former:
            _share(charon, tunnel, bytes.fromhex(former.group(1)))
        else:
            charon.unload_shared({"id": secret_id(tunnel.name)})
        return str(error).removeprefix("Command failed: ").strip().rstrip(".") or type(error).__name__
    return ""


def _share(charon: Charon, tunnel: Wanted, psk: bytes) -> None:
    charon.load_shared({"id": secret_id(tunnel.name), "type": "IKE", "data": psk, "owners": list(tunnel.owners)})


def _remove(charon: Charon, name: str) -> None:
    # a step that finds nothing to take away is refused, and no reason to stop
    steps: tuple[Callable[[], object], ...] = (
        lambda: charon.unload_conn({"name": name}),
        lambda: list(charon.terminate({"ike": name, "force": "yes", "timeout": "1000"})),
        lambda: charon.unload_shared({"id": secret_id(name)}),
    )
    for step in steps:
        try:
            step()
        except OSError:
            raise
        except Exception:
            continue


def _write(path: Path, text: str) -> None:
    """In one step, readable by root alone from the first moment."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".vpnha-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
