# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks need is got before the first of them, whole, and a stop leaves nothing of it behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import __main__ as pages
from benchmarks import gateway, peers
from benchmarks.deploying import __main__ as deploying
from benchmarks.outage import __main__ as outage
from benchmarks.own_lab import own_lab
from lab import lifecycle, steps
from lab.errors import LabError
from lab.names import Names


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

    for name in ("NAME", "PORT"):
        monkeypatch.setenv(f"VPNHA_LAB_{name}", "")
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


@pytest.mark.parametrize(
    ("given", "wanted"), [({}, ("bench", 4596)), ({"NAME": "mine", "PORT": "5000"}, ("mine", 5000))]
)
def test_benchmarks_have_a_lab_of_their_own_unless_one_is_chosen(
    given: dict[str, str], wanted: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NAME", "PORT"):
        monkeypatch.setenv(f"VPNHA_LAB_{name}", given.get(name, ""))
    names = own_lab()
    assert (names.name, names.port) == wanted
    assert Names.from_env().name == wanted[0], "what is started finds the same"


@pytest.mark.parametrize("of", [outage, deploying])
def test_the_lab_that_is_started_and_taken_down_is_no_persons(
    of: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs: list[str] = []

    def begun(*_: Any) -> None:
        labs.append(os.environ["VPNHA_LAB_NAME"])
        raise LabError("Enough.")

    for name in ("NAME", "PORT"):
        monkeypatch.setenv(f"VPNHA_LAB_{name}", "")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(steps, "take_down", lambda: labs.append(os.environ["VPNHA_LAB_NAME"]))
    monkeypatch.setattr(peers, "fetch", lambda: None)
    monkeypatch.setattr(peers, "versions", lambda: {})
    monkeypatch.setattr(of, "REPORT", tmp_path / "report.json")
    monkeypatch.setattr(of, "LOGS", tmp_path / "logs", raising=False)
    monkeypatch.setattr(of, "compare" if of is outage else "one_run", begun)
    monkeypatch.setattr("sys.argv", ["bench"])
    with pytest.raises(SystemExit):
        of.main()
    assert labs == ["bench", "bench"]
