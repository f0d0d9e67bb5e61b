# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill's report as one self-contained HTML page, with a timeline per scenario as inline SVG.

The pictures' geometry is computed here, the page is a Jinja2 template (ansible-core brings Jinja2 along), so that text
from hosts and journals is escaped like in any web page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .drill_template import DRAWING, TEMPLATE

LEFT, RIGHT, WIDTH = 210.0, 970.0, 1000.0  # where the time axis begins and ends
ROW, BAR = 24.0, 14.0  # height of a row, and of what is drawn in it
HEAD = 46.0  # room for the numbered markers above the rows
PHASES = (
    ("detect_ms", "detect"),
    ("swap_ms", "swap"),
    ("propagation_ms", "propagation"),
    ("return_path_ms", "return path"),
)


@dataclass(frozen=True)
class Box:
    """A bar on the time axis."""

    x: float
    width: float
    kind: str  # a class of the style sheet
    title: str = ""
    label: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a picture."""

    label: str
    y: float
    boxes: tuple[Box, ...]
    strip: bool = True  # drawn upon a bar of answered packets


@dataclass(frozen=True)
class Marker:
    """A numbered moment; the table below the picture says what it was."""

    number: int
    x: float
    y: float
    kind: str  # "drill" or "monitor"


@dataclass(frozen=True)
class Picture:
    """One SVG."""

    title: str
    height: float
    axis_y: float
    ticks: tuple[tuple[float, str], ...]
    rows: tuple[Row, ...]
    markers: tuple[Marker, ...]
    shade: Box | None  # from injection to restoration


class Scale:
    """From wall time to the picture's x; what lies outside is cut off."""

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, max(last, first + 0.001)

    def x(self, wall: float) -> float:
        share = (min(max(wall, self.first), self.last) - self.first) / (self.last - self.first)
        return round(LEFT + share * (RIGHT - LEFT), 1)

    def box(self, begin: float, end: float, kind: str, title: str = "", label: str = "") -> Box | None:
        """A bar, at least 1.5 wide so that one lost packet is seen; None when it lies outside."""
        if end < self.first or begin > self.last:
            return None
        x = self.x(begin)
        return Box(x, max(1.5, round(self.x(end) - x, 1)), kind, title, label)

    def ticks(self, zero: float) -> tuple[tuple[float, str], ...]:
        """About eight round moments, as milliseconds or seconds from ``zero``."""
        rough = (self.last - self.first) / 8
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first, last = math.ceil((self.first - zero) / step), math.floor((self.last - zero) / step)
        seconds = step >= 1
        return tuple(
            (self.x(zero + n * step), f"{n * step:g} s" if seconds else f"{round(n * step * 1e3):d} ms")
            for n in range(first, last + 1)
        )


def moments(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the drill did and the monitors said, in order and numbered from 1."""
    merged = [{**mark, "kind": "drill", "code": "", "subject": ""} for mark in run["marks"]]
    merged += [{**event, "kind": "monitor"} for event in run["events"]]
    merged.sort(key=lambda moment: moment["wall"])
    return [{**moment, "number": number} for number, moment in enumerate(merged, 1)]


def outage_picture(run: Mapping[str, Any]) -> Picture:
    """The outage from close by, with its phases."""
    losses = [loss for stream in run["streams"] for loss in stream["runs"] if _in_fault(stream, loss)]
    if not losses:
        return _picture("After the injection: no packet was lost", run, run["injected"] - 0.5, run["injected"] + 3.0)
    begin = min(loss["start_wall"] for loss in losses)
    end = max(loss["end_wall"] for loss in losses)
    pad = max(0.1, 0.15 * (end - begin))
    first = min(begin, max(run["injected"], begin - 1.0)) - pad
    longest = max(losses, key=lambda loss: loss["milliseconds"])
    return _picture("The outage", run, first, end + pad, longest)


def whole_picture(run: Mapping[str, Any]) -> Picture:
    """The whole scenario, from the first packet to the last."""
    return _picture("The whole scenario", run, run["started"], run["ended"])


def _in_fault(stream: Mapping[str, Any], loss: Mapping[str, Any]) -> bool:
    return bool(loss["end_wall"] > stream["since"] and loss["start_wall"] < stream["until"])


def _picture(
    title: str, run: Mapping[str, Any], first: float, last: float, longest: Mapping[str, Any] | None = None
) -> Picture:
    scale = Scale(first, last)
    rows: list[Row] = []
    y = HEAD
    if longest is not None:
        rows.append(Row("phases", y, _phase_boxes(run, longest, scale), strip=False))
        y += ROW
    for stream in run["streams"]:
        boxes = [box for loss in stream["runs"] for box in _loss_boxes(loss, scale)]
        rows.append(Row(stream["title"], y, tuple(boxes)))
        y += ROW
    seen = [moment for moment in moments(run) if first <= moment["wall"] <= last]
    markers = tuple(
        Marker(moment["number"], scale.x(moment["wall"]), 12.0 + 14.0 * (index % 2), moment["kind"])
        for index, moment in enumerate(seen)
    )
    shade = scale.box(run["injected"], run["restored"], "shade")
    return Picture(title, y + 26, y + 4, scale.ticks(run["injected"]), tuple(rows), markers, shade)


def _loss_boxes(loss: Mapping[str, Any], scale: Scale) -> list[Box]:
    """A run of losses; where both ways are known to have failed, the part lost on the way out comes first."""
    begin, end, packets = loss["start_wall"], loss["end_wall"], loss["packets"]
    title = f"{packets} packets, {loss['milliseconds']:g} ms, lost: {loss['direction']}"
    if loss["lost_out"] is None:
        found = [scale.box(begin, end, "lost", title)]
    else:
        middle = begin + (end - begin) * loss["lost_out"] / packets
        found = [scale.box(begin, middle, "out", title)] if loss["lost_out"] else []
        found += [scale.box(middle, end, "return", title)] if loss["lost_return"] else []
    return [box for box in found if box is not None]


def _phase_boxes(run: Mapping[str, Any], longest: Mapping[str, Any], scale: Scale) -> tuple[Box, ...]:
    """The phases one after the other; the return path's ends with the outage. What no phase explains is left grey."""
    boxes: list[Box | None] = []
    at, end = longest["start_wall"], longest["end_wall"]
    last = end - (run["return_path_ms"] or 0.0) / 1e3
    if run["swap_ms"] is None and last > at:  # the gateways did it, at their own pace
        text = f"handed over by the gateways, {(last - at) * 1e3:.0f} ms"
        boxes.append(
            scale.box(at, last, "handover", text, text if scale.x(last) - scale.x(at) > 6.5 * len(text) else "")
        )
        at = last
    for key, label in PHASES:
        milliseconds = run[key] or 0.0
        if key == "return_path_ms":
            if last - at > 0.001:
                boxes.append(scale.box(at, last, "unexplained", "not told apart"))
            at, until = max(at, last), end
        else:
            until = min(last, at + milliseconds / 1e3)
        if until > at and milliseconds:
            text = f"{label} {milliseconds:.0f} ms"
            wide = scale.x(until) - scale.x(at) > 6.5 * len(text)
            boxes.append(scale.box(at, until, key.removesuffix("_ms").replace("_", "-"), text, text if wide else ""))
            at = until
    return tuple(box for box in boxes if box is not None)


def _moment(wall: float | None) -> str:
    return "" if wall is None else datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def page(report: Mapping[str, Any], verdict: str) -> str:
    """The report (as ``drill_report.build`` makes it) as HTML."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters.update(moment=_moment, number=_number)
    svg = environment.from_string(DRAWING)

    def drawing(picture: Picture) -> Markup:
        return Markup(svg.render(picture=picture, left=LEFT, right=RIGHT, width=WIDTH, bar=BAR))

    shown = [_scenario(scenario) for scenario in report["scenarios"]]
    return environment.from_string(TEMPLATE).render(report=report, verdict=verdict, scenarios=shown, drawing=drawing)


def _scenario(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """A scenario and its most telling run with its pictures."""
    runs: Sequence[Mapping[str, Any]] = scenario["runs"]
    worst = max(runs, key=lambda run: (not run["passed"], run["outage_ms"] or 0.0))
    pictures = [outage_picture(worst), whole_picture(worst)] if worst["streams"] else []
    return {**scenario, "worst": worst, "pictures": pictures, "moments": moments(worst)}
