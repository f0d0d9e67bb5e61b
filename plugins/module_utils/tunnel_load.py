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
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from .errors import VpnhaError
from .tunnel_config import next_secret_id, secret_id, swanctl_text

PREFIX = "vpnha-"  # of our files in conf.d; others are somebody else's
_SECRET = re.compile(r"secret = 0x([0-9a-f]*)")
_SECRETS = re.compile(r"^  (ike\S+) \{\n(?:    id-.*\n)*    secret = 0x([0-9a-f]*)\n", re.MULTILINE)


class Charon(Protocol):
    """What is used of ``vici.Session``. A refusal is an exception that is no OSError."""

    def get_conns(self) -> Mapping[str, Any]: ...
    def list_sas(self) -> Iterator[Mapping[str, Any]]: ...
    def load_conn(self, connection: Mapping[str, Any]) -> object: ...
    def unload_conn(self, request: Mapping[str, Any]) -> object: ...
    def get_shared(self) -> Mapping[str, Any]: ...
    def load_shared(self, secret: Mapping[str, Any]) -> object: ...
    def unload_shared(self, request: Mapping[str, Any]) -> object: ...
    def terminate(self, request: Mapping[str, Any]) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Wanted:
    """A tunnel as it should be: its connection (see ``tunnel_config.connection``) and its key."""

    name: str
    connection: Mapping[str, Any]
    psk: str = field(repr=False)  # empty: by certificate
    owners: Sequence[str]
    psk_next: str = field(default="", repr=False)  # accepted as well, and to be changed to

    @property
    def text(self) -> str:
        """The swanctl file."""
        return swanctl_text(self.name, self.connection, self.psk, self.owners, self.psk_next)

    @property
    def secrets(self) -> dict[str, bytes]:
        """Its keys by the names under which they are loaded, in that order: the last one signs."""
        coming = {next_secret_id(self.name): self.psk_next.encode()} if self.psk_next else {}
        return {**coming, **({secret_id(self.name): self.psk.encode()} if self.psk else {})}

    @property
    def changed_over(self) -> Wanted:
        """The same with the next key in the former's place."""
        return replace(self, psk=self.psk_next, psk_next="")


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
        loaded = _names(charon.get_conns(), "conns") if charon else {tunnel.name for tunnel in wanted}
        keys = _names(charon.get_shared(), "keys") if charon else set()
        outcome.up = _established(charon) if charon else []
        acting = None if check else charon
        for each in wanted:
            path = file_of(directory, each.name)
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            # who has changed over to the next key stays there until the description follows
            tunnel = each.changed_over if each.psk_next and signing(old) == each.psk_next.encode() else each
            private = not old or path.stat().st_mode & 0o077 == 0
            shared = not charon or keys & {secret_id(each.name), next_secret_id(each.name)} == set(tunnel.secrets)
            if old != tunnel.text or not private or tunnel.name not in loaded or not shared:
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


def file_of(directory: Path, name: str) -> Path:
    """The swanctl file of a tunnel."""
    return directory / f"{PREFIX}{name}.conf"


def shown(text: str) -> str:
    """A swanctl file without its keys."""
    return _SECRET.sub("secret = (not shown)", text)


def secrets_of(text: str) -> dict[str, bytes]:
    """The keys in a swanctl file of ours, by name; the last one signs."""
    return {name: bytes.fromhex(key) for name, key in _SECRETS.findall(text)}


def signing(text: str) -> bytes:
    """The key in a swanctl file of ours that signs; empty when there is none."""
    return next(reversed(secrets_of(text).values()), b"")


def share(charon: Charon, tunnel: Wanted, secrets: Mapping[str, bytes]) -> None:
    """Let strongSwan have just these keys for a tunnel; the last one signs."""
    for name, key in secrets.items():
        charon.load_shared({"id": name, "type": "IKE", "data": key, "owners": list(tunnel.owners)})
    for name in (secret_id(tunnel.name), next_secret_id(tunnel.name)):
        if name not in secrets:
            _leniently(partial(charon.unload_shared, {"id": name}))


def write(path: Path, text: str) -> None:
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


def _names(answer: Mapping[str, Any], key: str) -> set[str]:
    return {name.decode() if isinstance(name, bytes) else str(name) for name in answer.get(key, [])}


def _established(charon: Charon) -> list[str]:
    found = {
        name: True
        for message in charon.list_sas()
        for name, sa in message.items()
        if sa.get("state") in (b"ESTABLISHED", "ESTABLISHED")
    }
    return sorted(found)


def _connection(text: str) -> str:
    """A swanctl file without its section of keys."""
    return text.partition("\nsecrets {")[0]


def _change(charon: Charon | None, path: Path, old: str, tunnel: Wanted, outcome: Outcome) -> None:
    if charon:
        reason = _load(charon, tunnel, old)
        if reason:
            kept = "the one before stays in force" if old else "nothing was loaded for it"
            outcome.failed[tunnel.name] = f"strongSwan refuses the connection {tunnel.name} ({reason}); {kept}."
            return
        write(path, tunnel.text)
    outcome.changed.append(tunnel.name)
    if tunnel.name in outcome.up and _connection(old) != _connection(tunnel.text):
        outcome.resets.append(tunnel.name)  # other keys alone count from the next authentication on
    outcome.before += shown(old)
    outcome.after += shown(tunnel.text)
    if shown(old) == shown(tunnel.text) and old != tunnel.text:
        outcome.after += f"# the keys of {tunnel.name} change\n"


def _load(charon: Charon, tunnel: Wanted, old: str) -> str:
    """Empty when strongSwan took it, else why not, with the former keys back in force."""
    share(charon, tunnel, tunnel.secrets)  # first: a connection may start as soon as it is loaded
    try:
        charon.load_conn({tunnel.name: tunnel.connection})
    except OSError:
        raise
    except Exception as error:
        share(charon, tunnel, secrets_of(old))
        return str(error).removeprefix("Command failed: ").strip().rstrip(".") or type(error).__name__
    return ""


def _remove(charon: Charon, name: str) -> None:
    _leniently(partial(charon.unload_conn, {"name": name}))
    _leniently(lambda: list(charon.terminate({"ike": name, "force": "yes", "timeout": "1000"})))
    for secret in (secret_id(name), next_secret_id(name)):
        _leniently(partial(charon.unload_shared, {"id": secret}))


def _leniently(step: Callable[[], object]) -> None:
    """A step that finds nothing to take away is refused, and that is no reason to stop."""
    try:
        step()
    except OSError:
        raise
    except Exception:
        return
