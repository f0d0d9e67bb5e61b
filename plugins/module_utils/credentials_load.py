# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's certificate, its key, and the CAs of its peers, in swanctl's directories and in the running strongSwan.

Nothing is interrupted: what is established stays, and the next authentication uses them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import VpnhaError
from .tunnel_load import PREFIX, write

OWN = f"{PREFIX}gateway.pem"
CERTIFICATE_FILE = Path("x509") / OWN
KEY_FILE = Path("private") / OWN
_DIRECTORIES = ("x509", "private", "x509ca")  # others' files in them are left alone


@dataclass(frozen=True)
class Credentials:
    """All in PEM."""

    certificate: str
    private_key: str = field(repr=False)
    authorities: tuple[str, ...]

    def files(self) -> dict[Path, str]:
        """What swanctl reads, by path below its directory."""
        peers = {Path("x509ca") / f"{PREFIX}peers-{n}.pem": pem for n, pem in enumerate(self.authorities, 1)}
        return {CERTIFICATE_FILE: self.certificate, KEY_FILE: self.private_key, **peers}


def apply(directory: Path, wanted: Credentials | None, reload: Callable[[], None], check: bool = False) -> bool:
    """Let swanctl's ``directory`` have these credentials and no other of ours; whether that changes anything.

    ``reload`` has strongSwan forget all credentials and read them anew, with the tunnels' keys. Where it fails, the
    former ones are put back: the next run would find nothing to do else. Raises VpnhaError.
    """
    files = wanted.files() if wanted else {}
    try:
        before = {
            path.relative_to(directory): path.read_text(encoding="utf-8")
            for part in _DIRECTORIES
            for path in (directory / part).glob(f"{PREFIX}*.pem")
        }
        differing = [
            path
            for path in {**before, **files}
            if before.get(path) != files.get(path) or (directory / path).stat().st_mode & 0o077
        ]
        if check or not differing:
            return bool(differing)
        _put(directory, files, differing)
        try:
            reload()
        except BaseException:
            _put(directory, before, differing)
            with contextlib.suppress(VpnhaError):
                reload()
            raise
    except OSError as error:
        raise VpnhaError(
            f"The gateway's certificate cannot be written ({error.filename}: {error.strerror or error})."
        ) from error
    return True


def _put(directory: Path, files: Mapping[Path, str], paths: Iterable[Path]) -> None:
    """Let these paths be as in ``files``, where one that is not in there is none."""
    for path in paths:
        if path in files:
            (directory / path).parent.mkdir(mode=0o700, exist_ok=True)
            write(directory / path, files[path])
        else:
            (directory / path).unlink(missing_ok=True)
