# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a tunnel over to its next key, or find that its peer does not use it yet and leave all as it was.

A tunnel that authenticates by certificate is changed over to the one that was brought since it was opened.

Both ends authenticate anew while strongSwan has the next key only: that proves that the peer both takes and uses it.
The file is written when that is proved. Whatever is cut off in the middle is put right by the next run, and by the next
loading of the tunnels, which compares the keys that strongSwan has with the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from .credentials_load import CERTIFICATE_FILE
from .errors import VpnhaError
from .tunnel_config import next_secret_id
from .tunnel_load import Charon, Wanted, file_of, share, write
from .vici_health import IkeSa, parse_sas

POLL_SECONDS = 0.3
PROVING_SECONDS = 15.0  # until both ends have authenticated with the next key


class RotatingCharon(Charon, Protocol):
    """What is used of ``vici.Session`` besides."""

    def list_sas(self, filters: Mapping[str, Any] = ...) -> Iterator[Mapping[str, Any]]: ...
    def rekey(self, request: Mapping[str, Any]) -> object: ...
    def initiate(self, request: Mapping[str, Any]) -> Iterator[Any]: ...


class Rotation:
    """Changes tunnels over, one after the other. What charon refuses is raised as the library raises it."""

    def __init__(
        self,
        charon: RotatingCharon,
        directory: Path,
        proving: float = PROVING_SECONDS,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._charon, self._directory, self._proving = charon, directory, proving
        self._clock, self._sleep, self._wall = clock, sleep, wall

    def due(self, tunnel: Wanted) -> bool:
        """Whether a tunnel has a next key that it was not changed over to. VpnhaError when that was never loaded.

        Without keys: whether it was opened before its certificate was written.
        """
        if not tunnel.psk:
            certificate = self._directory.parent / CERTIFICATE_FILE
            return certificate.exists() and self._opened_before(tunnel.name, certificate.stat().st_mtime)
        if not tunnel.psk_next:
            return False
        path = file_of(self._directory, tunnel.name)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text not in (tunnel.text, tunnel.changed_over.text):
            raise VpnhaError(
                f"{tunnel.name} is not loaded as it is described, with the next key beside the one in use: run the "
                "playbook vpnha.aws.deploy first."
            )
        return text == tunnel.text

    def change_over(self, tunnel: Wanted) -> bool:
        """Change a tunnel over; False when its peer does not use the next key, and the tunnel goes on with its own."""
        before = {sa.unique_id for sa in self._sas(tunnel.name)}
        coming = {next_secret_id(tunnel.name): tunnel.psk_next.encode()} if tunnel.psk_next else {}
        share(self._charon, tunnel, coming)
        try:
            self._authenticate(tunnel.name)
            proved = self._await(lambda: any(sa.has_child for sa in self._new(tunnel.name, before)))
        except BaseException:
            share(self._charon, tunnel, tunnel.secrets)
            raise
        if not proved:
            share(self._charon, tunnel, tunnel.secrets)
            for sa in self._new(tunnel.name, before):
                self._end(sa)
            self._await(lambda: self._stands(tunnel.name))
            return False
        if coming:
            write(file_of(self._directory, tunnel.name), tunnel.changed_over.text)
            share(self._charon, tunnel, tunnel.changed_over.secrets)
        self._await(lambda: not self._old(tunnel.name, before))
        for sa in self._old(tunnel.name, before):
            self._end(sa)
        return True

    def _opened_before(self, name: str, moment: float) -> bool:
        ages = [sa.established for sa in self._sas(name) if sa.lives and sa.established is not None]
        return bool(ages) and self._wall() - min(ages) < moment

    def _authenticate(self, name: str) -> None:
        """Have both ends authenticate anew, whatever there is between them now."""
        if any(sa.lives for sa in self._sas(name)):
            self._charon.rekey({"ike": name, "reauth": "yes"})
        else:
            self._initiate(name)

    def _stands(self, name: str) -> bool:
        """Whether the tunnel is up; what is gone is initiated."""
        sas = self._sas(name)
        if not sas:
            self._initiate(name)
        return any(sa.has_child for sa in sas)

    def _initiate(self, name: str) -> None:
        list(self._charon.initiate({"ike": name, "child": name, "timeout": "-1"}))

    def _end(self, sa: IkeSa) -> None:
        list(self._charon.terminate({"ike-id": sa.unique_id, "force": "yes", "timeout": "-1"}))

    def _new(self, name: str, before: set[str]) -> list[IkeSa]:
        return [sa for sa in self._sas(name) if sa.unique_id not in before]

    def _old(self, name: str, before: set[str]) -> list[IkeSa]:
        return [sa for sa in self._sas(name) if sa.lives and sa.unique_id in before]

    def _sas(self, name: str) -> list[IkeSa]:
        # waits for security associations that are busy: one that is left out would be taken for gone
        return parse_sas(self._charon.list_sas({"ike": name}))

    def _await(self, condition: Callable[[], bool]) -> bool:
        until = self._clock() + self._proving
        while not condition():
            if self._clock() >= until:
                return False
            self._sleep(POLL_SECONDS)
        return True
