# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster of the comparison of outages: what it does when, and which of its runs are none."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.outage import cluster as clusters
from benchmarks.outage.cluster import Cluster, Pace
from lab.errors import LabError
from tests.unit.fake_clock import Clock


class FakeCluster(Cluster):
    """Its node dies at a time, and its agent takes a while to answer."""

    def __init__(self, clock: Clock, dies: float, agent: Callable[[str, str, float], int], takes: float = 0.5) -> None:
        self._gateways = ("gw-a", "gw-b")
        self._clock, self._dies, self._answer, self._takes = clock, dies, agent, takes
        self.calls: list[tuple[float, str, str]] = []

    def _up(self, gateway: str) -> bool:
        return self._clock() < self._dies

    def _agent(self, gateway: str, action: str, seconds: float) -> int:
        self.calls.append((round(self._clock(), 2), gateway, action))
        self._clock.sleep(self._takes)
        return self._answer(gateway, action, self._clock())


class FakeEnd:
    """The end of a run, at a time."""

    def __init__(self, clock: Clock, at: float) -> None:
        self._clock, self._at = clock, at

    def wait(self, seconds: float) -> bool:
        """Time goes on."""
        self._clock.sleep(seconds)
        return self._clock() >= self._at


def watched(
    monkeypatch: pytest.MonkeyPatch, pace: Pace, dies: float = 1e9, answers: Callable[..., int] = lambda *_: 0
) -> list[tuple[float, str, str]]:
    """What a cluster has its agent do within 90 s; its first look comes after half an interval."""
    clock = Clock()
    monkeypatch.setattr(clusters, "time", clock)
    monkeypatch.setattr(clusters.random, "uniform", lambda low, high: (low + high) / 2)
    made = FakeCluster(clock, dies, answers)
    made._watch(pace, cast(Any, FakeEnd(clock, 90.0)))
    assert made._failure == ""
    return made.calls


def test_a_cluster_whose_node_lives_asks_at_its_interval_and_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watched(monkeypatch, Pace(interval=60.0, silence=3.0))
    assert [(gateway, action) for _at, gateway, action in calls] == [("gw-a", "monitor")]
    assert calls[0][0] == pytest.approx(30.0, abs=0.1)


def test_a_dead_node_is_known_after_the_silence_and_not_by_the_agents_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watched(monkeypatch, Pace(interval=60.0, silence=3.0), dies=10.0)
    assert [(gateway, action) for _at, gateway, action in calls] == [("gw-b", "start")]
    assert calls[0][0] == pytest.approx(13.0, abs=0.1)


def test_without_waiting_the_agent_is_asked_again_at_once_and_a_dead_node_known_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = watched(
        monkeypatch,
        Pace(interval=0.0, silence=0.0),
        dies=10.0,
        answers=lambda _gateway, action, now: int(action == "monitor" and now >= 10.0),
    )
    asked = [at for at, _gateway, action in calls if action == "monitor"]
    assert len(asked) > 15
    assert max(later - earlier for earlier, later in pairwise(asked)) < 0.7
    assert calls[-1] == (pytest.approx(10.3, abs=0.4), "gw-b", "start")


def test_a_resource_that_fails_on_a_live_node_is_started_on_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watched(
        monkeypatch, Pace(interval=60.0, silence=3.0), answers=lambda _gw, action, _now: 7 * (action == "monitor")
    )
    assert [(gateway, action) for _at, gateway, action in calls] == [("gw-a", "monitor"), ("gw-b", "start")]


def test_a_node_that_dies_after_a_long_look_is_known_after_the_whole_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(clusters, "time", clock)
    monkeypatch.setattr(clusters.random, "uniform", lambda low, high: (low + high) / 2)
    made = FakeCluster(clock, 40.0, lambda *_: 0, takes=9.9)  # asked at 30 s
    made._watch(Pace(interval=60.0, silence=3.0), cast(Any, FakeEnd(clock, 90.0)))
    assert made.calls[-1] == (pytest.approx(43.0, abs=0.2), "gw-b", "start")


def broken_off(*_: Any) -> int:
    raise OSError("no such program")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _gateway, action, _now: int(action == "start"), "aws-vpc-move-ip does not start on gw-b: exit code 1"),
        (broken_off, "aws-vpc-move-ip could not be watched: no such program"),
    ],
)
def test_a_run_that_the_agent_could_not_have_won_is_no_figure_of_the_agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Callable[..., int], reason: str
) -> None:
    ran = threading.Event()
    monkeypatch.setattr(Cluster, "_forget", lambda *_: None)
    monkeypatch.setattr(Cluster, "_pass_on", lambda *_: None)
    monkeypatch.setattr(Cluster, "_last_words", lambda _self: "exit code 1")
    monkeypatch.setattr(Cluster, "_up", lambda _self, gateway: gateway != "gw-a" or not dead.is_set())
    dead = threading.Event()

    def agent(_self: Cluster, gateway: str, action: str, _seconds: float) -> int:
        if (gateway, action) == ("gw-a", "start"):
            return 0
        ran.set()
        return answer(gateway, action, 0.0)

    monkeypatch.setattr(Cluster, "_agent", agent)
    ec2 = SimpleNamespace(create_route=lambda **_: None, delete_route=lambda **_: None)
    lookout = SimpleNamespace(ec2=ec2, eni=lambda _name: "eni-1", routes=lambda: {"rtb-1 192.168.0.0/16": "gw-a"})
    made = Cluster(cast(Any, lookout), "192.168.10.10", ("gw-a", "gw-b"), tmp_path)
    with pytest.raises(LabError, match=re.escape(reason)), made.run(Pace(interval=0.0, silence=0.0)):
        dead.set()
        assert ran.wait(60)


class Programs(Cluster):
    """A cluster whose agent is any program, on a gateway that dies a while after its state was first asked for."""

    def __init__(self, directory: Path, program: str, lives: float) -> None:
        self._directory, self._program, self._lives, self._asked = directory, program, lives, 0.0

    def _command(self, gateway: str, action: str) -> list[str]:
        return ["bash", "-c", self._program]

    def _environment(self, gateway: str, action: str) -> Mapping[str, str]:
        return os.environ

    def _up(self, gateway: str) -> bool:
        self._asked = self._asked or time.monotonic()
        return time.monotonic() - self._asked < self._lives


@pytest.mark.parametrize(("program", "code"), [("echo fine", 0), ("echo broken >&2; exit 7", 7)])
def test_the_agent_s_exit_code_counts_and_its_words_are_kept(tmp_path: Path, program: str, code: int) -> None:
    assert Programs(tmp_path, program, lives=60.0)._agent("gw-a", "monitor", 60.0) == code
    assert program.split()[1].rstrip(";") in (tmp_path / "agent.log").read_text(encoding="utf-8")


def test_the_agent_does_not_inherit_our_python_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    made = Programs(tmp_path, "", lives=60.0)
    made._address, made._table = "192.168.10.10", "rtb-1"
    environment = Cluster._environment(made, "gw-a", "start")
    assert "PYTHONPATH" not in environment and environment["PATH"]


@pytest.mark.parametrize(("lives", "seconds"), [(0.5, 60.0), (60.0, 0.5)])
def test_an_agent_ends_with_its_node_or_when_it_takes_too_long(tmp_path: Path, lives: float, seconds: float) -> None:
    began = time.monotonic()
    assert Programs(tmp_path, "sleep 600; true", lives)._agent("gw-a", "monitor", seconds) < 0
    assert time.monotonic() - began < 30.0, "what it has started holds nothing up"


class Rules(Cluster):
    """A cluster whose gateway has rules, and whatever is not there cannot be deleted."""

    def __init__(self) -> None:
        self._address, self._gateways = "192.168.10.10", ("gw-a", "gw-b")
        self.rules = ["priority 0 lookup local"]

    def _ip(self, gateway: str, words: str, check: bool = True) -> bool:
        what, does, rule = words.split(maxsplit=2)
        if what == "rule" and does == "add":
            self.rules.append(rule)  # the kernel takes the same rule twice
        elif what == "rule" and rule in self.rules:
            self.rules.remove(rule)
        else:
            assert not check, words
            return False
        return True


@pytest.mark.parametrize("booted", [False, True])
def test_a_gateway_has_its_rules_as_before_also_when_it_has_booted_meanwhile(booted: bool) -> None:
    made = Rules()
    made._pass_on("gw-a")
    assert sorted(made.rules) == ["priority 1 to 192.168.10.10 lookup main", "priority 2 lookup local"]
    if booted:
        made.rules = ["priority 0 lookup local"]
    made._forget("gw-a")
    assert made.rules == ["priority 0 lookup local"]
