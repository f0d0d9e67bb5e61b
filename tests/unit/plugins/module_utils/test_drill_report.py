# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill's report: phases, verdict, limits, medians, and its three forms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import drill_page, drill_report

T = 1_767_225_600.0


def loss(begin: float, packets: int, lost_out: int | None) -> dict[str, Any]:
    lost_return = None if lost_out is None else packets - lost_out
    return {
        "first_tick": 0, "last_tick": packets - 1, "packets": packets, "milliseconds": packets * 10.0,
        "start_wall": T + begin, "end_wall": T + begin + packets / 100, "direction": "both",
        "lost_out": lost_out, "lost_return": lost_return, "missed_ticks": 0,
    }  # fmt: skip


def stream(protocol: str, losses: Sequence[Mapping[str, Any]], behind: float = 0.0) -> dict[str, Any]:
    def window(begin: float, end: float) -> dict[str, Any]:
        inside = [one for one in losses if T + begin <= one["start_wall"] < T + end]
        return {
            "sent": 1000,
            "lost": sum(one["packets"] for one in inside),
            "longest_ms": max((one["milliseconds"] for one in inside), default=0.0),
            "lost_ms": sum(one["milliseconds"] for one in inside),
        }

    return {
        "target": "192.168.10.10", "protocol": protocol, "sent": 2000, "lost": sum(one["packets"] for one in losses),
        "lost_out": None, "lost_return": None, "rtt_median_ms": 1.0, "runs": list(losses),
        "windows": {"fault": window(-0.5 - behind, 10 - behind), "healing": window(10 - behind, 99)},
    }  # fmt: skip


def event(at: float, code: str, **more: Any) -> dict[str, Any]:
    return {
        "wall": T + at,
        "code": code,
        "subject": "gw-a",
        "text": f"{code}.",
        "evidence": {},
        "resolved": False,
        **more,
    }


FAILOVER = [
    event(0.55, "gateway-silent"),
    event(0.56, "failover"),
    event(0.56, "swap-issued"),
    event(0.70, "swap-accepted"),
    event(0.72, "swap-accepted"),
    event(12.0, "failback"),
    event(12.0, "swap-issued"),
    event(12.2, "swap-accepted"),
]


def run(
    losses: Sequence[Mapping[str, Any]] = (), events: Sequence[Mapping[str, Any]] = (), **more: Any
) -> drill_report.Run:
    given = {
        "name": "gateway_power_off", "gateway": "gw-a", "limit_ms": 1200.0, "failback_limit_ms": 0.0,
        "started": T - 3, "injected": T, "restored": T + 10, "ended": T + 20, "failed": "", "plaintext_packets": 0,
        "hosts": [
            {"host": "app-a", "streams": [stream("udp", losses), stream("icmp", [])]},
            {"host": "app-b", "streams": [stream("icmp", [])]},
        ],
        "events": events,
        "marks": [{"wall": T, "text": "cut the power of gw-a"}],
    }  # fmt: skip
    return drill_report.run_from({**given, **more})


def build(*runs: drill_report.Run, **more: Any) -> dict[str, Any]:
    return drill_report.build(deployment="lab", drill="d1", runs=runs, environment={"region": "r"}, **more)


def test_an_outage_is_split_into_its_phases() -> None:
    found = drill_report.phases(run([loss(0.10, 80, 75)], FAILOVER))
    assert found.detect_ms == pytest.approx(450, abs=1)  # from the first packet lost, not from the call to EC2
    assert found.swap_ms == pytest.approx(160, abs=1)
    assert found.propagation_ms == pytest.approx(130, abs=1)  # 0.72 until the way out works at 0.10 + 0.75
    assert found.return_path_ms == pytest.approx(50, abs=1)


def test_what_is_restored_later_is_no_part_of_the_failover() -> None:
    only_failback = drill_report.phases(run([loss(0.10, 60, 10)], FAILOVER[5:]))
    assert (only_failback.detect_ms, only_failback.swap_ms) == (None, None)
    assert only_failback.return_path_ms == pytest.approx(500, abs=1)


def test_without_a_loss_detection_counts_from_the_injection() -> None:
    assert drill_report.phases(run([], FAILOVER)).detect_ms == pytest.approx(550, abs=1)


def test_a_finding_that_is_over_or_only_told_is_no_detection() -> None:
    events = [event(0.2, "gateway-silent", resolved=True), event(0.3, "agent-silent"), event(0.4, "no such code")]
    assert drill_report.phases(run([loss(0.1, 30, 30)], events)).detect_ms is None


def test_icmp_alone_gives_no_return_path() -> None:
    found = drill_report.phases(run([loss(0.10, 80, None)], FAILOVER))
    assert found.return_path_ms is None and found.propagation_ms == pytest.approx(180, abs=1)


def test_the_outage_is_the_worst_of_all_hosts_and_streams() -> None:
    figures = drill_report.run_figures(run([loss(0.10, 64, 60), loss(3.0, 2, 2)]))
    assert (figures["outage_ms"], figures["packets_lost"], figures["packets_sent"]) == (640.0, 66, 2000)
    assert figures["failback_lost"] == 0 and figures["passed"]


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (run([loss(0.1, 121, 121)]), "outage of 1210 ms is above the limit of 1200 ms"),
        (
            run([loss(0.1 * n, 9, 9) for n in range(90)]),
            "Packets were lost again and again, for 8100 ms together and 90 ms at a time; the limit is 1200 ms.",
        ),
        (
            run([loss(12.0 + n / 10, 2, 2) for n in range(9)], failback_limit_ms=20.0),
            "for up to 180 ms together; 20 ms",
        ),
        (run([loss(12.0, 2, 2)]), "2 packets were lost on the way back to normal"),
        (run(plaintext_packets=3), "3 packets of a site left a gateway unencrypted"),
        (run(failed="gw-a cannot be reached any more."), "gw-a cannot be reached any more"),
        (run(hosts=[]), "Nothing was measured"),
        (run([loss(0.1, 1, 1)], limit_ms=0.0), "outage of 10 ms is above the limit of 0 ms"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_fails_the_drill(made: drill_report.Run, problem: str) -> None:
    report = build(made)
    assert not report["passed"] and not report["scenarios"][0]["passed"]
    assert problem in drill_report.verdict(report)


def test_an_outage_and_single_losses_within_the_limit_are_allowed() -> None:
    made = run([loss(0.1, 100, 100), *(loss(2.0 + n / 4, 1, 1) for n in range(20))])
    (scenario,) = build(made)["scenarios"]
    assert scenario["passed"] and scenario["outage_ms"] == 1000.0  # what is called the outage is the longest run
    assert scenario["runs"][0]["lost_ms"] == 1200.0


@pytest.mark.parametrize("behind", [1.5, -1.5])
def test_a_host_whose_clock_is_wrong_measures_the_same(behind: float) -> None:
    losses = [loss(0.1 - behind, 130, 125)]
    own = {"host": "app-a", "since": T - 0.5 - behind, "until": T + 10 - behind}
    wrong = run(hosts=[{**own, "streams": [stream("udp", losses, behind)]}], events=FAILOVER)
    report = build(wrong)
    (scenario,) = report["scenarios"]
    assert scenario["problems"] == ["The outage of 1300 ms is above the limit of 1200 ms."]
    assert scenario["failback_lost"] == 0 and not report["passed"]
    if behind > 0:  # what the monitors said cannot be set beside losses that were there before the failure
        phases = {key: scenario[key] for key in ("detect_ms", "propagation_ms", "return_path_ms")}
        assert phases == {"detect_ms": None, "propagation_ms": None, "return_path_ms": 50.0}
    assert scenario["swap_ms"] == 160.0
    assert "The outage" in page(report) and "no packet was lost" not in page(report)


def test_losses_that_all_lie_before_the_failure_are_no_success() -> None:
    early = run([loss(-2.0, 130, 130)])
    (scenario,) = build(early)["scenarios"]
    assert scenario["problems"] == [
        "Packets were lost for 1300 ms at a time, all of them before the failure by their hosts' clocks; look at these "
        "and at the line, and drill again."
    ]
    for limit in (0.0, 1200.0):  # a packet that the line lost before anything was broken
        assert build(run([loss(-2.0, 1, 1)], limit_ms=limit))["passed"]


def test_losses_within_the_failback_limit_are_allowed() -> None:
    assert build(run([loss(12.0, 2, 2)], failback_limit_ms=20.0))["passed"]


def test_repeated_runs_give_medians_and_the_worst() -> None:
    runs = [run([loss(0.1, n, n)], FAILOVER) for n in (60, 90, 62)]
    (scenario,) = build(*runs)["scenarios"]
    assert (scenario["outage_ms"], scenario["worst_outage_ms"]) == (620.0, 900.0)
    assert (scenario["packets_lost"], scenario["packets_sent"]) == (212, 6000)
    assert len(scenario["runs"]) == 3 and scenario["passed"]


def test_one_bad_run_of_many_fails_its_scenario() -> None:
    runs = [run([loss(0.1, n, n)]) for n in (60, 130, 62)]
    assert not build(*runs)["passed"]


def test_the_scenarios_have_the_promised_keys() -> None:
    (scenario,) = build(run([loss(0.1, 60, 60)], FAILOVER))["scenarios"]
    promised = {"name", "outage_ms", "packets_sent", "packets_lost", "detect_ms", "swap_ms", "failback_lost"}
    assert promised | {"limit_ms", "passed", "events"} <= scenario.keys()
    assert [one["code"] for one in scenario["events"]][:2] == ["gateway-silent", "failover"]


def test_a_drill_that_was_broken_off_has_not_passed() -> None:
    report = build(run(), aborted="planned: the lock was lost.")
    assert not report["passed"]
    assert drill_report.verdict(report) == "The drill was broken off: planned: the lock was lost."


def test_a_drill_without_a_scenario_has_not_passed() -> None:
    assert not build()["passed"]


def test_junit_has_a_case_for_each_run_and_its_failures() -> None:
    xml = drill_report.junit(
        build(run([loss(0.1, 60, 60)]), run([loss(0.1, 130, 130)]), run(name="planned"), aborted="x")
    )
    suite = ElementTree.fromstring(xml)
    assert suite.attrib | {"name": ""} == {"name": "", "tests": "4", "failures": "1", "errors": "1"}
    names = [case.get("name") for case in suite]
    assert names == ["gateway_power_off run 1", "gateway_power_off run 2", "planned", "drill"]
    assert suite[0].get("time") == "0.600"


def page(report: Mapping[str, Any]) -> str:
    # what is written goes through JSON, and so does what the page is made from when it is made again
    return drill_page.page(json.loads(json.dumps(report)), drill_report.verdict(report))


def test_the_page_is_self_contained_and_escapes_what_it_is_told() -> None:
    html = page(build(run([loss(0.1, 60, 50)], [*FAILOVER, event(1.0, "paused", text="<script>alert(1)</script>")])))
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.findall(r"(?:src|href)=\"(?!#)", html)


def test_the_pictures_are_well_formed_and_show_every_stream() -> None:
    html = page(build(run([loss(0.1, 60, 50)], FAILOVER)))
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, flags=re.S)]
    assert len(pictures) == 2
    outage = pictures[0]
    kinds = [box.get("class") for box in outage.iter("rect")]
    assert kinds.count("pass") == 3 and "out" in kinds and "return" in kinds and "detect" in kinds
    for box in outage.iter("rect"):
        assert float(box.get("x", "")) >= drill_page.LEFT and float(box.get("width", "")) > 0
        assert float(box.get("x", "")) + float(box.get("width", "")) <= drill_page.RIGHT + 2


@pytest.mark.parametrize(
    "report", [build(run()), build(run(hosts=[], failed="x.")), build(), build(run(marks=[]), deploy_seconds=80.5)]
)
def test_the_page_stands_whatever_was_measured(report: Mapping[str, Any]) -> None:
    assert "</html>" in page(report)


def test_one_lost_packet_is_seen() -> None:
    box = drill_page.Scale(T, T + 1000).box(T + 5, T + 5.01, "lost")
    assert box is not None and box.width >= 1.5


def test_ticks_are_round_and_few() -> None:
    ticks = drill_page.Scale(T - 0.13, T + 0.93).ticks(T)
    assert [label for _x, label in ticks] == ["0 ms", "200 ms", "400 ms", "600 ms", "800 ms"]
    assert len(drill_page.Scale(T, T + 3600).ticks(T)) < 12
