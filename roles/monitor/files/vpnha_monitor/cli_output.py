# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the command ``vpnha`` shows things to people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ansible_collections.vpnha.aws.plugins.module_utils import api_way
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress, telling

from .journal import Event
from .notify.orders import Tested
from .orders import Done

_COLOURS = {
    "up": "green",
    "via neighbour": "yellow",
    "grey": "yellow",
    "suspect": "yellow",
    "down": "red",
    "unknown": "magenta",
}
_DRILL_STATES = {
    "passed": Text("passed", style="green"),
    "failed": Text("did not pass", style="red"),
    "died": Text("did not end", style="red"),
    "running": Text("is running"),
}
_MOVES = ("failover", "failback", "voluntary-move")
_LINE_SECONDS, _TERMINAL_SECONDS = 5.0, 0.5  # between two words of progress


def console(*, stderr: bool = False) -> Console:
    """Standard output, in colour and to its width where it is a terminal; no bracket is markup, no `:b:` an emoji."""
    out = Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)
    if not out.is_terminal:
        out.width = 160
    return out


def status(found: Mapping[str, Any]) -> None:
    """The status document: first whether traffic flows, then who does what, then what happened."""
    out = console()
    flows = [each["flows"] for each in found["traffic"]]
    colour = "red" if False in flows else "magenta" if None in flows or not flows else "green"
    out.print(Text(found["sentence"], style=f"bold {colour}"))
    for each in found["traffic"]:
        word = {True: "flows", False: "does not flow", None: "is not known"}[each["flows"]]
        out.print(f"  {each['zone']} to {each['site']}: {word} (through {', '.join(each['gateways'])})")
    out.print(_gateways(found))
    if found["managed_gateways"]:
        out.print(_managed(found))
    if found["tunnels"]:
        out.print(_tunnels(found))
    _peculiar(out, found)
    moves = [event for event in found["events"] if event["code"] in _MOVES]
    if moves:
        out.print(f"Last move, {_when(moves[-1]['wall'])}: {moves[-1]['text']}")
    if found["swaps"]["text"]:
        out.print(Text(found["swaps"]["text"], style="yellow"))
    for reason in found["reasons"]:
        out.print(Text(f"Attention: {reason}", style="red"))


def _gateways(found: Mapping[str, Any]) -> Table:
    table = _table("gateway", "zone", "verdict", "routes", "answered", "round trip", "instance")
    for each in found["gateways"]:
        instance = each["instance"] or {}
        table.add_row(
            each["name"],
            each["zone"],
            _coloured(each["verdict"]),
            str(each["routes"]),
            "never" if each["answer_age"] is None else f"{each['answer_age']:.1f} s ago",
            "" if each["rtt_ms"] is None else f"{each['rtt_ms']:.1f} ms",
            instance.get("state", "?"),
        )
    return table


def _managed(found: Mapping[str, Any]) -> Table:
    table = _table("managed gateway", "site", "verdict", "routes", "answered", "round trip", "AWS says")
    for each in found["managed_gateways"]:
        for site in each["sites"]:
            table.add_row(
                each["name"],
                site["site"],
                _coloured(site["verdict"]),
                str(each["routes"]),
                "never" if site["answer_age"] is None else f"{site['answer_age']:.1f} s ago",
                "" if site["rtt_ms"] is None else f"{site['rtt_ms']:.1f} ms",
                each["witness"] or "nothing certain",
            )
    return table


def _tunnels(found: Mapping[str, Any]) -> Table:
    table = _table("tunnel", "verdict", "IKE", "CHILD", "BGP", "loss")
    for each in found["tunnels"]:
        loss = "" if each["loss"] is None else f"{each['loss']:.0%}"
        words = [each[name] or "" for name in ("ike", "child", "bgp")]
        table.add_row(each["name"], _coloured(each["verdict"]), *words, loss)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table


def _peculiar(out: Console, found: Mapping[str, Any]) -> None:
    for each in (*found["gateways"], *found["tunnels"]):
        if each["verdict"] != "up" or each["code"] not in ("gateway-up", "tunnel-up"):
            out.print(f"{each['name']} is {each['verdict']} ({each['code']}): {each['text']}")
    _sites(out, found)
    away(out, found["away"])
    for key in found["missing_routes"]:
        out.print(f"Missing: {key}")
    for why in found["refused_tables"].values():
        out.print(f"Not looked after: {why}")
    for pin in found["pins"]:
        by = f" by {pin['by']}" if pin["by"] else ""
        out.print(f"Pinned{by}: {pin['table']} to {pin['gateway']} until {_when(pin['until'])}")
    for pause in found["pauses"]:
        out.print(f"Paused: {pause['name'] or 'the deployment'} until {_when(pause['until'])}")
    _monitors(out, found)
    for each in found["repairs"]:
        last = "" if each["last"] is None else f" (last: {each['rung']}, {_when(each['last'])})"
        said = "under way" if each["under_way"] else "a person's work now" if each["needs_person"] else "none under way"
        used = f"{each['steps']} of {each['steps_allowed']} steps of this day used"
        out.print(f"Repair of {each['gateway']}: {said}, {used}{last}. {each['text']}".rstrip())
    _way(out, found.get("api_way") or {})
    if found["drill"]:
        out.print(f"A drill is running: {found['drill']}")
    if found["config"]["error"]:
        out.print(f"The configuration that was read last is not in force: {found['config']['error']}")
    if found["journal"]["error"]:
        out.print(found["journal"]["error"])
    notification(out, found)


def _sites(out: Console, found: Mapping[str, Any]) -> None:
    ways = [(each["name"], site) for each in found["managed_gateways"] for site in each["sites"]]
    for name, site in (way for way in ways if way[1]["verdict"] != "up"):
        out.print(f"{name} is {site['verdict']} for {site['site']} ({site['code']}): {site['text']}")
    for text in (site["silent"] for site in found["sites"] if site.get("silent")):
        out.print(Text(text, style="yellow"))


def _way(out: Console, way: Mapping[str, Any]) -> None:
    if way.get("kind") == api_way.BEHIND:
        out.print(Text(way["text"], style="red"))
    for text in way.get("warnings", {}).values():
        out.print(Text(text, style="yellow"))


def away(out: Console, routes: Iterable[Mapping[str, Any]]) -> None:
    """The routes that are not at home; the id of a prefix list is followed by its site's name."""
    for route in routes:
        where = route["gateway"] or route["target"]
        listed = f" ({route['site']})" if route["destination"].startswith("pl-") else ""
        what = f"{route['table']} {route['destination']}{listed}"
        out.print(f"Away from home: {what} uses {where}, not {route['home']}")


def _monitors(out: Console, found: Mapping[str, Any]) -> None:
    """Who has the lease and who is there, where there are several monitors."""
    if found["lease"] is None:
        return
    holder = found["lease"]["holder"] or "nobody"
    left = f", for {found['lease']['left']:.1f} s more" if holder == found["monitor"] else ""
    out.print(f"Lease: {holder} has it{left}")
    for each in found["monitors"]:
        if each["name"] != found["monitor"]:
            age = each["able_age"]
            said = "has not said that it can act" if age is None else f"said {age:.1f} s ago that it can act"
            out.print(f"Monitor {each['name']} in {each['zone']} {said}")
    if found["lease"]["error"]:
        out.print(Text(found["lease"]["error"], style="red"))


def notification(out: Console, found: Mapping[str, Any]) -> None:
    """What keeps messages from being told: the targets that take none, those that wait, and what a restart loses."""
    notify = found.get("notify", {})
    if notify.get("error"):
        said = f"Messages that wait are not kept on disk ({notify['error']}): a restart now would lose them."
        out.print(Text(said, style="red"))
    if notify.get("lost"):
        out.print(Text(f"Events that nobody is told of, as too many came at once: {notify['lost']}", style="red"))
    for target in notify.get("targets", ()):
        if target["failing"]:
            said = f"Messages do not reach {target['name']} ({target['error']}); {target['queued']} wait."
            out.print(Text(f"{said} Try: vpnha notify-test", style="red"))
        elif target["queued"]:
            out.print(f"Messages that wait for {target['name']}: {target['queued']}")


def plan(found: Mapping[str, Any]) -> None:
    """How long the failovers take at worst, what the time is spent on, and what would shorten it."""
    out = console()
    parts = {
        "at worst": "seconds",
        "found dead": "detect_seconds",
        "EC2's limit": "limit_seconds",
        "answers": "answer_seconds",
        "read back": "read_back_seconds",
        "after another": "seconds_after_another",
    }
    table = _table("gateway", "tables", "calls", *parts)
    rows = [*found["gateways"], *([found["everything"]] if len(found["gateways"]) > 1 else [])]
    for each in rows:
        seconds = (f"{each[part]:.2f} s" for part in parts.values())
        table.add_row(each["name"], str(each["tables"]), str(each["calls"]), *seconds)
    out.print(table)
    for each in rows:
        for one in each["priorities"]:
            out.print(
                f"{each['name']}: tables of priority {one['priority']} and before are done after "
                f"{one['seconds']:.1f} s ({one['calls']} calls)"
            )
        for way in each["shorter"]:
            out.print(f"{each['name']}: shorter with {way['text']}")
    out.print(
        f"Reckoned with {found['latency_ms']:g} ms for each call, and {found['at_once']:g} swaps at once and then "
        f"{found['a_second']:g} a second (EC2 documents {found['ec2_at_once']:g} and {found['ec2_a_second']:g}). "
        f"Just after the end of another failover, or a start of the monitor, none is left to be made at once."
    )


@contextmanager
def progress(*, silent: bool) -> Iterator[Progress]:
    """What is to be filled by swaps, and is shown on standard error meanwhile, unless ``silent``.

    In one line of a terminal, which goes at the end; elsewhere a line every few seconds.
    """
    how = Progress()
    out = console(stderr=True)
    if silent:
        yield how
    elif out.is_terminal and not out.is_dumb_terminal:
        with out.status("Reading EC2.", spinner="line") as line, telling(how, _TERMINAL_SECONDS, line.update):
            yield how
    else:
        with telling(how, _LINE_SECONDS, lambda sentence: print(sentence, file=sys.stderr, flush=True)):
            yield how


def tested(found: Sequence[Tested]) -> None:
    """What became of the test messages."""
    out = console()
    for one in found:
        out.print(Text(f"{one.target}: {one.error or 'ok'}", style="red" if one.error else "green"))


def events(found: Sequence[Event]) -> None:
    """The journal's lines, oldest first."""
    out = console()
    if not found:
        out.print("Nothing is in the journal for that time.")
    for event in found:
        code = f"{event.code} (over)" if event.resolved else event.code
        out.print(f"{_when(event.wall)}  {code:<28} {event.text}")


def drills(found: Sequence[Mapping[str, Any]]) -> None:
    """The drills, oldest first."""
    out = console()
    if not found:
        out.print("No drill is in the journal.")
    for one in found:
        by = f" by {one['by']}" if one["by"] else ""
        word = _DRILL_STATES[one["state"]]
        out.print(Text(f"{_when(one['wall'])}  {one['drill']}{by} ").append_text(word))
        for name, outage in one["outages_ms"].items():
            out.print(f"  {name}: " + ("not measured" if outage is None else f"{outage:g} ms of outage"), markup=False)
        if one["verdict"] and one["state"] != "passed":
            out.print(f"  {one['verdict']}", markup=False)
        if one["report"]:
            out.print(f"  report: {one['report']}", markup=False)


def done(result: Done) -> None:
    """What came of an order."""
    out = console()
    out.print(Text(result.text, style="red" if result.failed else "green"))
    for row in result.details.get("routes", ()):
        if row["error"] or row["reason"]:
            out.print(f"  {row['route_table_id']} {row['destination']}: {row['error'] or row['reason']}")
        elif row["action"] != "none":
            spent = "" if row["milliseconds"] is None else f" in {row['milliseconds']:.0f} ms"
            out.print(f"  {row['route_table_id']} {row['destination']}: {row['before']} -> {row['after']}{spent}")


def _coloured(verdict: str) -> Text:
    return Text(verdict, style=_COLOURS.get(verdict, ""))


def _when(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
