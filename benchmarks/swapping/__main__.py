# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.swapping``: seconds until all routes lead to the other gateway, for each way to do it.

EC2 is the lab's endpoint without hosts, each call delayed, with EC2's token buckets and without. Ways swap in turn, to
the one gateway and back, so a machine that is busy for a while is so for all. What counts is EC2's record: the time
from a way's start until the last route is accepted; the time until the way has ended stands beside it. Whether all
routes lead where they should is read after each.

The report is written after each swap, and a run that was stopped goes on where it ended, unless the commit, or a
contender's version, is another one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.pace import CHANGES
from benchmarks import enclosed, peers
from benchmarks.kept import Kept, hopeless, said_hopeless, wanting
from lab.steps import commit, console

from .stand import GATEWAYS, Stand, own_network, stand
from .summary import cells
from .ways import WAYS, GivenUp, Way, WayFailed

REPORT = Path("artifacts/bench/swapping.json")
DELAY_MS = 150.0  # of each call, as in the drills
SPOILT = (WayFailed, VpnhaError, BotoCoreError, ClientError, OSError, ValueError)  # a swap's error, and only its own


@dataclass(frozen=True)
class Cell:
    """What is swapped."""

    tables: int
    destinations: int  # in each table
    throttle: bool  # EC2's token buckets

    @property
    def calls(self) -> int:
        """ReplaceRoute is called so often."""
        return self.tables * self.destinations

    @property
    def full(self) -> float:
        """Seconds after which EC2's bucket is full again, whoever has emptied it."""
        return min(CHANGES.size, self.calls) / CHANGES.refill


def sizes(tables: Sequence[int], destinations: Sequence[int]) -> list[Cell]:
    """What is swapped, in turn. Who stops before the end has sizes with EC2's buckets as well as without."""
    return [Cell(*each) for each in product(tables, destinations, (False, True))]


@dataclass(frozen=True)
class Limits:
    """How often a way swaps: ours always ``runs`` times, as its figures are promised.

    Another one thrice where one of its swaps takes longer than ``patience`` seconds, and once where than ``most``.
    Whoever has not ended after ``given_up`` seconds is stopped.
    """

    runs: int
    patience: float
    most: float
    given_up: float

    @property
    def about(self) -> dict[str, float]:
        """The rule, for the report: what is measured later under another one is added to what there is."""
        return {"patience_s": self.patience, "most_s": self.most, "given_up_s": self.given_up}

    def due(self, way: type[Way], done: Sequence[dict[str, Any]]) -> bool:
        """Whether once more, after these of it. Who was given up sooner than now has not had its time."""
        done = [one for one in done if not one["given_up"] or one.get("limit", one["ended"]) >= self.given_up]
        longest = 0.0 if way.ours else max((one["ended"] for one in done), default=0.0)
        return wanting(done, 1 if longest > self.most else min(self.runs, 3) if longest > self.patience else self.runs)


def kept(path: Path, limits: Limits) -> Kept:
    """What was measured so far, if it is of this commit and these contenders."""
    about = {
        "commit": commit(), "api_delay_ms": DELAY_MS, "cores": os.cpu_count(),
        "versions": peers.versions() | peers.libraries(), "ways": {way.name: way.says for way in WAYS},
    }  # fmt: skip
    return Kept(path, about, "swaps", {"limits": limits.about})


def table(report: Mapping[str, Any]) -> Table:
    """For a terminal."""
    title = f"Seconds until all routes are swapped, EC2 API delayed by {DELAY_MS:.0f} ms"
    shown = Table(title=title, caption="median (least to most, runs)")
    for column in ("tables x destinations", "EC2's buckets", "bound", *report["ways"]):
        shown.add_column(column)
    for size in cells(report):
        buckets = "yes" if size.throttle else "no"
        texts = (spread.text for spread in size.ways.values())
        shown.add_row(f"{size.tables} x {size.destinations}", buckets, f"{size.bound:.2f}", *texts)
    return shown


def compare(cell: Cell, ways: Sequence[type[Way]], report: Kept, limits: Limits) -> None:
    """Let the ways swap in turn, each as often as is due."""
    if not any(limits.due(way, report.having(way=way.name, **asdict(cell))) for way in ways):
        return
    with (
        tempfile.TemporaryDirectory(prefix="vpnha-swapping-") as directory,
        stand(cell.tables, cell.destinations, DELAY_MS, cell.throttle, Path(directory)) as made,
    ):
        standing = [way(made, Path(directory), limits.given_up) for way in ways]
        for way in _turns(standing, cell, report, limits):
            time.sleep(rest(cell, made))
            there = settled(made)
            load = round(os.getloadavg()[0], 2)  # of the swap before, and of whatever else the machine does
            one = swapped(way, made, next(name for name in GATEWAYS if name != there)) | {"load": load}
            report.add(one | asdict(cell))
            said = one["error"] or (
                f"given up after {one['ended']:.0f} s, {one['swaps']} of {cell.calls} routes swapped"
                if one["given_up"]
                else f"{one['seconds']:.2f} s, ended after {one['ended']:.2f} s"
            )
            buckets = ", EC2's buckets" if cell.throttle else ""
            console.print(f"{cell.tables} x {cell.destinations}{buckets}: {way.name}: {said}")


def _turns(ways: Sequence[Way], cell: Cell, report: Kept, limits: Limits) -> Iterator[Way]:
    while due := [way for way in ways if limits.due(type(way), report.having(way=way.name, **asdict(cell)))]:
        yield from due


def rest(cell: Cell, made: Stand) -> float:
    """Seconds until EC2's bucket is full again after the last swap, where there is a bucket."""
    now = time.time()
    taken = made.swapped(now - cell.full) if cell.throttle else []
    return max(0.0, taken[-1] + cell.full - now) if taken else 0.0


def settled(made: Stand) -> str:
    """The gateway that all routes lead to; where they do not lead to one, they do after this."""
    leads = made.leads_to()
    for name in GATEWAYS:
        if leads == {made.enis[name]}:
            return name
    made.move(GATEWAYS[0])
    return GATEWAYS[0]


def swapped(way: Way, made: Stand, gateway: str) -> dict[str, Any]:
    """One swap by one way. A route that is not where it should be afterwards is moved there.

    It is an error too, but for a way that was stopped because its time was over: that one has no ``seconds``. One that
    had swapped all by then, and only not ended, has.
    """
    wall, began, error, given_up = time.time(), time.monotonic(), "", False
    try:
        way.prepare()
        wall, began = time.time(), time.monotonic()
        way.swap(gateway)
    except GivenUp:
        given_up = True
    except SPOILT as failed:
        error = str(failed) or type(failed).__name__
    ended = time.monotonic() - began
    accepted, refused = made.swapped(wall), made.refused(wall)
    try:
        if made.leads_to() == {made.enis[gateway]}:
            given_up = False
        else:
            error = error or ("" if given_up else f"{way.name} has ended, and not all routes lead to {gateway}.")
            made.move(gateway)
    except SPOILT as failed:
        error = error or str(failed)
    return {
        "way": way.name, "seconds": round(accepted[-1] - wall, 3) if accepted and not given_up else None,
        "ended": round(ended, 3), "given_up": given_up, "limit": way.most,
        "swaps": len(accepted), "refused": refused, "error": error,
    }  # fmt: skip


def main() -> int:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.swapping", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("--runs", type=int, default=10, help="how often each way swaps (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds beyond which others swap thrice")
    parser.add_argument("--most", type=float, default=120.0, help="seconds beyond which others swap once")
    parser.add_argument("--give-up", type=float, default=900.0, help="seconds after which a swap is stopped")
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 20, 100])
    parser.add_argument("--destinations", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--ways", default="", help="only those whose name has this in it")
    parser.add_argument(enclosed.INSIDE, action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    ways = [way for way in WAYS if chosen.ways in way.name]
    if not ways:
        raise SystemExit(f"No way's name has {chosen.ways!r} in it: they are {', '.join(way.name for way in WAYS)}.")
    if not chosen.inside:
        try:
            peers.fetch()  # inside there is no way to anybody
        except peers.PeerMissing as error:
            raise SystemExit(str(error)) from None
        return enclosed.run("benchmarks.swapping", sys.argv[1:])
    enclosed.furnish()
    own_network()
    limits = Limits(chosen.runs, chosen.patience, chosen.most, chosen.give_up)
    report = kept(REPORT, limits)
    for cell in sizes(chosen.tables, chosen.destinations):
        compare(cell, ways, report, limits)
    console.print(table(report.content))
    console.print(f"report: {REPORT}")
    return said_hopeless(
        f"{way.name} at {cell.tables} x {cell.destinations}{', buckets' if cell.throttle else ''}"
        for cell in sizes(chosen.tables, chosen.destinations)
        for way in ways
        if hopeless(report.having(way=way.name, **asdict(cell)))
    )


if __name__ == "__main__":
    sys.exit(main())
