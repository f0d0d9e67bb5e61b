# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cgroup may go at any moment: its host has just ended."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lab import cgroups


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV])
def test_a_cgroup_that_goes_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The kernel says ENOENT to who opens a file of it, and ENODEV to who has opened it before."""

    def gone(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_text", gone)
    monkeypatch.setattr(Path, "write_text", gone)
    cgroups.kill(Path("/nowhere"))
    assert not cgroups.populated(Path("/nowhere"))


def test_any_other_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(Path, "write_text", denied)
    with pytest.raises(PermissionError):
        cgroups.kill(Path("/nowhere"))


def test_cgroups_that_go_while_they_are_looked_through_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when two `lab down` work at the same time."""
    for name in ("a/b", "c/d"):
        (tmp_path / "lab.host" / name).mkdir(parents=True)

    def gone(*_: Any, **__: Any) -> str:
        shutil.rmtree(tmp_path / "lab.host", ignore_errors=True)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(Path, "read_text", gone)
    assert cgroups.pids(tmp_path / "lab.host") == []
    assert not (tmp_path / "lab.host").exists()
    cgroups.remove(tmp_path / "lab.host")
