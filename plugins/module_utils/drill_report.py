# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill's report: from what the application hosts measured and the monitors said to figures and a verdict.

Pure functions. What is lost and for how long comes from packets alone; what the monitors said only splits an outage
into its phases. All wall times are seconds since the epoch; a phase is only as good as the hosts' clocks agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any
from xml.etree import ElementTree

from .diagnoses import DIAGNOSES

FAULT, HEALING = "fault", "healing"  # names of the two windows that the streams were measured in
# A loss may seem to begin so long before the failure, as its first packet was under way by then. More is a wrong clock.
CLOCKS_AGREE_SECONDS = 0.25
SETTLING_MS = 100.0  # a line may lose so much at a time while its probes begin; the drill awaits that it is steady


@dataclass(frozen=True)
class Event:
    """Something that a monitor wrote into its journal."""

    wall: float
    code: str  # of a diagnosis
    subject: str
    text: str
    resolved: bool = False
    monitor: str = ""

    @property
    def alarming(self) -> bool:
        """Whether it is a finding that makes routes leave a gateway at once."""
        diagnosis = DIAGNOSES.get(self.code)
        return not self.resolved and diagnosis is not None and diagnosis.action == "swap"


@dataclass(frozen=True)
class Stream:
    """What one application host measured towards one target: a stream as ``traffic_probe`` returns it."""

    host: str
    values: Mapping[str, Any]
    since: float  # when the failure was about to be caused, and to be taken back, by the clock of that host
    until: float

    @property
    def title(self) -> str:
        """For people: who sent what to whom."""
        return f"{self.host} → {self.values['target']} {self.values['protocol']}"

    def window(self, name: str, figure: str) -> Any:
        """A figure of one of the two windows."""
        return self.values["windows"][name][figure]

    @property
    def fault_runs(self) -> list[Mapping[str, Any]]:
        """The runs of lost packets that reach into the fault's window."""
        return [
            loss for loss in self.values["runs"] if loss["end_wall"] > self.since and loss["start_wall"] < self.until
        ]


@dataclass(frozen=True)
class Run:
    """One scenario carried out once."""

    name: str
    limit_ms: float  # the longest outage that is allowed
    failback_limit_ms: float  # the same from the restoration to the end
    gateway: str
    started: float  # when the measurement began
    injected: float  # when the failure was caused
    restored: float  # when it began to be taken back
    ended: float
    failed: str = ""  # why the scenario could not be carried out; empty: it could
    plaintext_packets: int | None = None  # of a site, seen in clear on a gateway's uplink; None: not counted
    streams: tuple[Stream, ...] = ()
    events: tuple[Event, ...] = ()
    marks: tuple[tuple[float, str], ...] = ()  # what the drill itself did


@dataclass(frozen=True)
class Phases:
    """An outage split by what ended each part of it; milliseconds, None where nothing shows it.

    detect: until a monitor found a reason to move routes (from the first packet lost, or without any from the
    injection). swap: from the first call until EC2 showed the last route's new target. propagation: until packets
    reached the site again. return_path: until answers came back, too.

    Where the gateways hand over by themselves there is no swap, and an outage may be over before a monitor finds it.
    """

    detect_ms: float | None = None
    swap_ms: float | None = None
    propagation_ms: float | None = None
    return_path_ms: float | None = None


def run_from(values: Mapping[str, Any]) -> Run:
    """A run out of the dictionaries that the drill's tasks collect."""
    streams = [
        Stream(host["host"], stream, host.get("since", values["injected"]), host.get("until", values["restored"]))
        for host in values.get("hosts") or ()
        for stream in host["streams"]
    ]
    events = [
        Event(e["wall"], e["code"], e["subject"], e["text"], bool(e.get("resolved")), e.get("monitor") or "")
        for e in values.get("events") or ()
    ]
    return Run(
        name=values["name"],
        limit_ms=values["limit_ms"],
        failback_limit_ms=values["failback_limit_ms"],
        gateway=values.get("gateway") or "",
        started=values["started"],
        injected=values["injected"],
        restored=values["restored"],
        ended=values["ended"],
        failed=values.get("failed") or "",
        plaintext_packets=values.get("plaintext_packets"),
        streams=tuple(streams),
        events=tuple(sorted(events, key=lambda event: event.wall)),
        marks=tuple(sorted((mark["wall"], mark["text"]) for mark in values.get("marks") or ())),
    )


def longest_loss(run: Run) -> tuple[Stream, Mapping[str, Any]] | None:
    """The longest run of lost packets in the fault's window, preferably one whose directions are known."""
    found = [(stream, loss) for stream in run.streams for loss in stream.fault_runs]
    if not found:
        return None
    worst = max(loss["milliseconds"] for _stream, loss in found)
    near = [one for one in found if one[1]["milliseconds"] >= worst - 50]
    return max(near, key=lambda one: (one[1]["lost_out"] is not None, one[1]["milliseconds"]))


def phases(run: Run) -> Phases:
    """The longest outage of a run, split by what the monitors said meanwhile."""
    worst = longest_loss(run)
    begin = worst[1]["start_wall"] if worst else run.injected
    told = begin > run.injected - CLOCKS_AGREE_SECONDS  # else nothing of the monitors' can be set beside the packets
    during = [event for event in run.events if run.injected <= event.wall < run.restored]
    found = next((event.wall for event in during if event.alarming), None)
    issued = min((event.wall for event in during if event.code == "swap-issued"), default=None)
    accepted = max((event.wall for event in during if event.code == "swap-accepted"), default=None)
    detect = None if found is None or not told else _ms(max(0.0, found - begin))
    swap = None if accepted is None or issued is None else _ms(max(0.0, accepted - issued))
    if worst is None:
        return Phases(detect, swap)
    loss = worst[1]
    end = loss["end_wall"]
    accepted = accepted if told else None
    if loss["lost_out"] is None:
        return Phases(detect, swap, None if accepted is None else _ms(max(0.0, end - accepted)))
    way_out = begin + (end - begin) * loss["lost_out"] / loss["packets"]
    after = begin if accepted is None else min(max(accepted, begin), end)
    propagation = None if accepted is None else _ms(max(0.0, way_out - after))
    return Phases(detect, swap, propagation, _ms(end - max(way_out, after)))


def run_figures(run: Run) -> dict[str, Any]:
    """One run as it stands in the report."""
    figures: dict[str, Any] = {
        "name": run.name,
        "gateway": run.gateway,
        "started": run.started,
        "injected": run.injected,
        "restored": run.restored,
        "ended": run.ended,
        "limit_ms": run.limit_ms,
        "failed": run.failed,
        "plaintext_packets": run.plaintext_packets,
        "outage_ms": None,
        "lost_ms": None,
        "earlier_ms": None,
        "packets_sent": 0,
        "packets_lost": 0,
        "failback_lost": None,
        "failback_ms": None,
        "failback_lost_ms": None,
        **asdict(phases(run)),
        "streams": [_stream_figures(stream) for stream in run.streams],
        "events": [_event_figures(event, run.injected) for event in run.events],
        "marks": [{"wall": wall, "ms": _ms(wall - run.injected), "text": text} for wall, text in run.marks],
    }
    if run.streams:
        lossy = max(run.streams, key=lambda stream: stream.values["lost"])
        figures["outage_ms"] = max(stream.window(FAULT, "longest_ms") for stream in run.streams)
        figures["lost_ms"] = max(stream.window(FAULT, "lost_ms") for stream in run.streams)
        figures["packets_sent"], figures["packets_lost"] = lossy.values["sent"], lossy.values["lost"]
        losses = [loss for stream in run.streams for loss in stream.values["runs"] if loss["end_wall"] <= stream.since]
        figures["earlier_ms"] = max((loss["milliseconds"] for loss in losses), default=0.0)
        figures["failback_lost"] = max(stream.window(HEALING, "lost") for stream in run.streams)
        figures["failback_ms"] = max(stream.window(HEALING, "longest_ms") for stream in run.streams)
        figures["failback_lost_ms"] = max(stream.window(HEALING, "lost_ms") for stream in run.streams)
    figures["problems"] = problems(run, figures)
    figures["passed"] = not figures["problems"]
    return figures


def problems(run: Run, figures: Mapping[str, Any]) -> list[str]:
    """Why a run has not passed, one sentence each; empty when it has."""
    found = [run.failed] if run.failed else []
    if figures["outage_ms"] is None:
        found += [] if found else ["Nothing was measured."]
        return found
    if figures["outage_ms"] > run.limit_ms:
        found.append(f"The outage of {figures['outage_ms']:g} ms is above the limit of {run.limit_ms:g} ms.")
    elif figures["lost_ms"] > run.limit_ms:  # a line that answers now and then is no better than one that is silent
        found.append(
            f"Packets were lost again and again, for {figures['lost_ms']:g} ms together and "
            f"{figures['outage_ms']:g} ms at a time; the limit is {run.limit_ms:g} ms."
        )
    if figures["failback_lost_ms"] > run.failback_limit_ms:
        found.append(
            f"{figures['failback_lost']} packets were lost on the way back to normal, for up to "
            f"{figures['failback_lost_ms']:g} ms together; {run.failback_limit_ms:g} ms are allowed."
        )
    if (
        not figures["lost_ms"]
        and not figures["failback_lost_ms"]
        and figures["earlier_ms"] > max(run.limit_ms, SETTLING_MS)
    ):
        found.append(
            f"Packets were lost for {figures['earlier_ms']:g} ms at a time, all of them before the failure by their "
            "hosts' clocks; look at these and at the line, and drill again."
        )
    if run.plaintext_packets:
        found.append(f"{run.plaintext_packets} packets of a site left a gateway unencrypted.")
    return found


def scenario_figures(runs: Sequence[Run]) -> dict[str, Any]:
    """A scenario over all its runs: medians, sums of packets, and the worst run's events."""
    all_figures = [run_figures(run) for run in runs]
    measured = [figures for figures in all_figures if figures["outage_ms"] is not None]
    worst = max(all_figures, key=lambda figures: (not figures["passed"], figures["outage_ms"] or 0.0))

    def typical(key: str) -> float | None:
        values = [figures[key] for figures in measured if figures[key] is not None]
        return round(median(values), 1) if values else None

    return {
        "name": runs[0].name,
        "gateway": runs[0].gateway,
        "outage_ms": typical("outage_ms"),
        "worst_outage_ms": max((figures["outage_ms"] for figures in measured), default=None),
        "packets_sent": sum(figures["packets_sent"] for figures in all_figures),
        "packets_lost": sum(figures["packets_lost"] for figures in all_figures),
        "detect_ms": typical("detect_ms"),
        "swap_ms": typical("swap_ms"),
        "propagation_ms": typical("propagation_ms"),
        "return_path_ms": typical("return_path_ms"),
        "failback_lost": sum(figures["failback_lost"] for figures in measured) if measured else None,
        "plaintext_packets": _total(figures["plaintext_packets"] for figures in all_figures),
        "limit_ms": runs[0].limit_ms,
        "passed": all(figures["passed"] for figures in all_figures),
        "problems": [problem for figures in all_figures for problem in figures["problems"]],
        "events": worst["events"],
        "runs": all_figures,
    }


def build(
    *,
    deployment: str,
    drill: str,
    runs: Sequence[Run],
    environment: Mapping[str, Any],
    deploy_seconds: float | None = None,
    aborted: str = "",
) -> dict[str, Any]:
    """The whole report, ready for JSON. ``aborted``: why the drill ended before its last scenario."""
    names = list(dict.fromkeys(run.name for run in runs))
    scenarios = [scenario_figures([run for run in runs if run.name == name]) for name in names]
    return {
        "deployment": deployment,
        "drill": drill,
        "passed": bool(scenarios) and not aborted and all(scenario["passed"] for scenario in scenarios),
        "aborted": aborted,
        "started": min((run.started for run in runs), default=None),
        "ended": max((run.ended for run in runs), default=None),
        "deploy_seconds": deploy_seconds,
        "environment": dict(environment),
        "scenarios": scenarios,
    }


def verdict(report: Mapping[str, Any]) -> str:
    """The report in one sentence."""
    failed = [scenario for scenario in report["scenarios"] if not scenario["passed"]]
    if report["aborted"]:
        return f"The drill was broken off: {report['aborted']}"
    if not report["scenarios"]:
        return "No scenario was carried out."
    if failed:
        return " ".join(f"{scenario['name']}: {' '.join(scenario['problems'])}" for scenario in failed)
    outages = ", ".join(f"{scenario['name']} {scenario['worst_outage_ms']:g} ms" for scenario in report["scenarios"])
    return f"Every scenario passed; longest outages: {outages}."


def junit(report: Mapping[str, Any]) -> str:
    """The report as JUnit XML: one test case for each run."""
    suite = ElementTree.Element("testsuite", name=f"vpnha.aws drill of {report['deployment']}")
    failures = 0
    for scenario in report["scenarios"]:
        for number, run in enumerate(scenario["runs"], 1):
            name = scenario["name"] + (f" run {number}" if len(scenario["runs"]) > 1 else "")
            seconds = f"{(run['outage_ms'] or 0.0) / 1e3:.3f}"  # the outage, so that a trend chart shows it
            case = ElementTree.SubElement(suite, "testcase", classname="vpnha.aws.drill", name=name, time=seconds)
            if run["problems"]:
                failures += 1
                ElementTree.SubElement(case, "failure", message=" ".join(run["problems"]))
            keys = ("outage_ms", "limit_ms", "packets_lost", "packets_sent", "failback_lost")
            said = ElementTree.SubElement(case, "system-out")
            said.text = " ".join(f"{key}={run[key]}" for key in keys)
    errors = 0
    if report["aborted"]:
        errors = 1
        case = ElementTree.SubElement(suite, "testcase", classname="vpnha.aws.drill", name="drill", time="0")
        ElementTree.SubElement(case, "error", message=report["aborted"])
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suite.set("errors", str(errors))
    ElementTree.indent(suite)
    written: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return written.decode() + "\n"


def _stream_figures(stream: Stream) -> dict[str, Any]:
    keys = ("target", "protocol", "sent", "lost", "lost_out", "lost_return", "rtt_median_ms", "windows", "runs")
    own = {"host": stream.host, "title": stream.title, "since": stream.since, "until": stream.until}
    return {**own, **{key: stream.values[key] for key in keys}}


def _event_figures(event: Event, injected: float) -> dict[str, Any]:
    return {"ms": _ms(event.wall - injected), **asdict(event)}


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
