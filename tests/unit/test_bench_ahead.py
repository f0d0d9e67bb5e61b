# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks need is got before the first of them, whole, and a stop leaves nothing of it behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as pages
from benchmarks import gateway, peers
from lab import lifecycle
from lab.errors import LabError


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is got, and which benchmarks are carried out."""
    asked: list[str] = []
    monkeypatch.setattr(pages, "OUTPUT", tmp_path)
    monkeypatch.setattr(peers, "fetch", lambda: asked.append("peers"))
    monkeypatch.setattr(gateway, "ensure_image", lambda: asked.append("image"))
    monkeypatch.setattr(pages, "carried_out", lambda part, *_: asked.append(part.name) or 0)
    return asked


@pytest.mark.parametrize(
    ("names", "needs"),
    [
        (["swapping", "growth"], ["peers", "growth", "swapping"]),
        (["sas"], ["image", "sas"]),
        (["decision"], ["decision"]),
        (["outage"], ["peers", "image", "outage"]),
    ],
)
def test_all_that_is_needed_is_got_first(got: list[str], names: list[str], needs: list[str]) -> None:
    assert pages.main(names) == 0
    assert got == needs


def test_what_cannot_be_had_is_said_before_anything_is_measured(
    got: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise LabError("This machine lacks mmdebstrap.")

    monkeypatch.setattr(gateway, "ensure_image", missing)
    with pytest.raises(SystemExit, match="This machine lacks mmdebstrap"):
        pages.main([])
    assert got == ["peers"]


def test_a_stop_while_the_image_is_made_lets_its_maker_clean_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned: list[bool] = []

    def build(*_: Any) -> str:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)
        return ""

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(pages, "OUTPUT", tmp_path)
    monkeypatch.setattr(lifecycle, "build_images", build)
    monkeypatch.setattr(pages, "carried_out", lambda *_: pytest.fail("it was to stop"))
    assert pages.main(["sas"]) == pages.INTERRUPTED
    assert cleaned and signal.getsignal(signal.SIGTERM) == before


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is run to fetch; nothing is there."""
    ran: list[list[str]] = []
    monkeypatch.setattr(peers, "PEERS", tmp_path / "peers")
    (tmp_path / "peers" / "awscli").mkdir(parents=True)
    (tmp_path / "peers" / "awscli" / "whole").touch()

    def get(argv: list[str], directory: Path | None = None) -> None:
        ran.append(argv)
        if argv[:2] == ["apt-get", "download"]:
            if ["apt-get", "update", "-qq"] not in ran:
                raise peers.PeerMissing("apt-get failed")
            assert directory is not None
            (directory / "resource-agents_1_all.deb").touch()
        if argv[0] == "dpkg-deb":
            (Path(argv[-1]) / "usr").mkdir()
            if sum(each[0] == "dpkg-deb" for each in ran) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(peers, "_get", get)
    return ran


def test_lists_of_apt_are_refreshed_where_they_are_missing_and_half_of_a_package_is_none(
    commands: list[list[str]],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        peers.fetch()
    assert ["apt-get", "update", "-qq"] in commands
    assert not (peers.PEERS / "resource-agents").exists()
    peers.fetch()
    assert (peers.PEERS / "resource-agents" / "usr").exists()
    count = len(commands)
    peers.fetch()
    assert len(commands) == count


def test_half_of_the_aws_cli_is_none(commands: list[list[str]]) -> None:
    (peers.PEERS / "resource-agents").mkdir()
    (peers.PEERS / "awscli" / "whole").unlink()
    (peers.PEERS / "awscli" / "bin").mkdir()
    (peers.PEERS / "awscli" / "bin" / "aws").touch()
    with pytest.raises(FileNotFoundError):  # nobody made the environment that the mark is put into
        peers.fetch()
    assert [argv[-1] for argv in commands] == [str(peers.PEERS / "awscli"), peers.AWSCLI]
