# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.false_positives``: how often loss alone looks like a failure, with the shipped delays.

Writes the tables and the picture of docs/detector.md. All of it is computed, none measured: a path is a Markov chain
with a good and a bad state (Gilbert-Elliott), and what is asked for is how often so many probes in a row are lost.
Products and sums of positive numbers only, so the smallest figures are as exact as the largest.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.vpnha.aws.plugins.module_utils.model import Timing

PAGE = Path("docs/detector.md")
PICTURE = Path("docs/images/detector.svg")
DAY = 86400.0
PEER_INTERVAL = 0.1  # seconds: an agent asks the others so often
TARGET_INTERVAL = 0.1  # and probes a site's targets
BFD = (0.05, 10)  # seconds between packets, and how many must be missing
VETO_SHARE = 0.9  # of the window: who heard a gateway so recently vetoes


@dataclass(frozen=True)
class Chain:
    """A path, a step for each probe: how it gets bad and good, and what share is lost in either state."""

    worse: float  # from good to bad, each step
    better: float  # from bad to good
    lost_good: float
    lost_bad: float

    def run_rate(self, length: int) -> float:
        """How often, for each step, a run of lost probes reaches that length."""
        bad = self.worse / (self.worse + self.better) if self.worse else 0.0
        good_now = (1.0 - bad) * (1.0 - self.lost_good)  # and this probe was answered
        bad_now = bad * (1.0 - self.lost_bad)
        for _step in range(length):
            good_now, bad_now = (
                (good_now * (1.0 - self.worse) + bad_now * self.better) * self.lost_good,
                (good_now * self.worse + bad_now * (1.0 - self.better)) * self.lost_bad,
            )
        return good_now + bad_now

    def in_run(self, length: int) -> float:
        """The share of time in which at least so many probes in a row have been lost."""
        if self.lost_bad >= 1.0 and self.lost_good <= 0.0:
            return self.run_rate(length) / self.better
        # each run lasts for another probe with at most the probability that the worse state loses one
        return self.run_rate(length) / (1.0 - max(self.lost_good, self.lost_bad))


def independent(each_way: float) -> Chain:
    """Every packet is lost with the same probability; a probe is lost if either of its two packets is."""
    lost = 1.0 - (1.0 - each_way) ** 2
    return Chain(0.0, 1.0, lost, lost)


def bursts(share: float, seconds: float, interval: float) -> Chain:
    """Nothing is lost but in bursts of that mean length, in which all is; ``share`` of the time is in bursts."""
    better = min(1.0, interval / seconds)
    return Chain(share * better / (1.0 - share), better, 0.0, 1.0)


def probes(window: float, interval: float) -> int:
    """Lost probes in a row that can look like a silence of that length.

    One fewer than fit: the monitor may look just before the answer to the last one comes.
    """
    return max(3, math.floor(window / interval + 1e-9) - 1)


# --- how often a gateway looks dead -------------------------------------------------------------------------------


def heartbeat_alone(each_way: float, timing: Timing) -> float:
    """Silences a day of the heartbeats by themselves."""
    path, n = independent(each_way), probes(timing.window, timing.heartbeat_interval)
    return path.run_rate(n) / timing.heartbeat_interval * DAY


def with_ping(each_way: float, timing: Timing) -> float:
    """Silences a day of heartbeats and pings together, which go out at the same moments."""
    lost = (1.0 - (1.0 - each_way) ** 2) ** 2
    path, n = Chain(0.0, 1.0, lost, lost), probes(timing.window, timing.heartbeat_interval)
    return path.run_rate(n) / timing.heartbeat_interval * DAY


def with_witness(each_way: float, timing: Timing) -> float:
    """And the other gateway's agent has lost it at the same time."""
    asked = probes(VETO_SHARE * timing.window, PEER_INTERVAL)
    return float(with_ping(each_way, timing) * (1.0 - (1.0 - each_way) ** 2) ** asked)


def burst_silences(share: float, seconds: float, timing: Timing) -> float:
    """Silences a day by bursts: heartbeats and pings share the path, and so its bursts."""
    path = bursts(share, seconds, timing.heartbeat_interval)
    return path.run_rate(probes(timing.window, timing.heartbeat_interval)) / timing.heartbeat_interval * DAY


def burst_with_witness(share: float, seconds: float, timing: Timing) -> float:
    """And a burst on the witness's own path to the gateway at the same time."""
    path = bursts(share, seconds, timing.heartbeat_interval)
    both = path.in_run(probes(VETO_SHARE * timing.window, timing.heartbeat_interval)) ** 2
    return both * (1.0 - (1.0 - path.better) ** 2) / timing.heartbeat_interval * DAY


# --- how often a tunnel looks dead --------------------------------------------------------------------------------


def tunnel(each_way: float, window: float, timing: Timing, grace: float = 0.0) -> float:
    """A day, by independent loss: the probes to the peer and those to the site's targets all stay unanswered."""
    lost = 1.0 - (1.0 - each_way) ** 2
    n, targets = probes(window + grace, timing.heartbeat_interval), probes(window + grace, TARGET_INTERVAL)
    return float(Chain(0.0, 1.0, lost, lost).run_rate(n) / timing.heartbeat_interval * DAY * lost**targets)


def tunnel_bursts(share: float, seconds: float, window: float, timing: Timing, grace: float = 0.0) -> float:
    """A day, by bursts, which peer and targets share."""
    path = bursts(share, seconds, timing.heartbeat_interval)
    return path.run_rate(probes(window + grace, timing.heartbeat_interval)) / timing.heartbeat_interval * DAY


def bfd_flaps(each_way: float) -> float:
    """A day and direction: BFD's packets are not answered, each counts by itself."""
    interval, count = BFD
    return Chain(0.0, 1.0, each_way, each_way).run_rate(count) / interval * DAY


def grey_by_chance(each_way: float, timing: Timing) -> float:
    """The probability that a window of the slow kind shows more loss than makes grey."""
    lost = 1.0 - (1.0 - each_way) ** 2
    least = 1.0 - (1.0 - timing.grey_loss) ** 2
    count = round(timing.grey_window / timing.heartbeat_interval)
    return sum(
        math.comb(count, k) * lost**k * (1.0 - lost) ** (count - k) for k in range(math.ceil(least * count), count + 1)
    )


# --- the page -------------------------------------------------------------------------------------------------------


def often(a_day: float) -> str:
    """A rate in words that can be compared."""
    if a_day <= 0.0:
        return "never"
    for name, days in (("hour", 1 / 24), ("day", 1.0), ("year", 365.25)):
        if a_day * days >= 0.1:
            return f"{a_day * days:.2g} an {name}" if name == "hour" else f"{a_day * days:.2g} a {name}"
    years = 1.0 / (a_day * 365.25)
    return f"once in {years:,.0f} years" if years < 1e4 else f"once in 10^{math.floor(math.log10(years))} years"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(timing: Timing) -> dict[str, str]:
    """The page's tables by their names."""
    gateway = [
        [f"{loss:.0%}", *(often(rate(loss, timing)) for rate in (heartbeat_alone, with_ping, with_witness))]
        for loss in (0.01, 0.05, 0.1, 0.2, 0.3)
    ]
    in_bursts = [
        [
            f"{share:.1%}", f"{1000 * seconds:.0f} ms", often(burst_silences(share, seconds, timing)),
            often(burst_with_witness(share, seconds, timing)),
        ]
        for share, seconds in ((0.001, 0.1), (0.001, 0.2), (0.001, 0.4), (0.01, 0.2))
    ]  # fmt: skip
    windows = [
        [
            f"{window:g} s{' (default)' if window == timing.tunnel_window else ''}",
            often(tunnel(0.1, window, timing)),
            often(tunnel_bursts(0.001, 0.2, window, timing)),
            often(tunnel_bursts(0.001, 0.2, window, timing, timing.bgp_grace)),
        ]
        for window in (0.3, 0.5, 1.0, 1.5, 2.0)
    ]
    bfd = [[f"{loss:.0%}", often(bfd_flaps(loss))] for loss in (0.01, 0.05, 0.1, 0.2)]
    grey = [[f"{loss:.0%}", f"{grey_by_chance(loss, timing):.1e}"] for loss in (0.05, 0.1, 0.12)]
    return {
        "gateway": _table(["lost each way", "heartbeats silent", "pings too", "another gateway too"], gateway),
        "bursts": _table(["in bursts", "mean burst", "monitor's path silent", "another gateway's too"], in_bursts),
        "tunnel": _table(
            ["`tunnel_window`", "10 % lost each way", "in bursts, static site", "in bursts, BGP site"], windows
        ),
        "bfd": _table(["lost each way", "flaps of one session and direction"], bfd),
        "grey": _table(["lost each way", "probability"], grey),
    }


def page(text: str, timing: Timing) -> str:
    """The page with its tables as they are computed now. KeyError if it names one that there is not."""
    made = tables(timing)

    def filled(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{made[found[1]]}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", filled, text, flags=re.DOTALL)


def draw(timing: Timing, path: Path) -> None:
    """How the false alarms of a path fall with the window."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vpnha"
    from matplotlib import pyplot

    lines: list[tuple[str, Callable[[float], float]]] = [
        ("10 % lost at random", lambda window: tunnel(0.1, window, timing)),
        ("20 % lost at random", lambda window: tunnel(0.2, window, timing)),
        ("0.1 % lost in bursts of 100 ms", lambda window: tunnel_bursts(0.001, 0.1, window, timing)),
        ("0.1 % lost in bursts of 200 ms", lambda window: tunnel_bursts(0.001, 0.2, window, timing)),
        ("1 % lost in bursts of 200 ms", lambda window: tunnel_bursts(0.01, 0.2, window, timing)),
    ]
    windows = [n * 0.05 for n in range(5, 61)]
    figure, axes = pyplot.subplots(figsize=(7.2, 3.6))
    for label, rate in lines:
        axes.plot(windows, [rate(window) for window in windows], label=label, linewidth=1.5)
    axes.axvline(timing.tunnel_window, color="0.6", linewidth=1, linestyle=":")
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 1e5)
    axes.set_xlim(windows[0], windows[-1])
    axes.set_xlabel("window, seconds (dotted: the default)")
    axes.set_ylabel("false silences of one path, a day")
    axes.grid(True, linewidth=0.3)
    axes.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    """Write page and picture."""
    timing = Timing()
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), timing), encoding="utf-8")
    draw(timing, PICTURE)
    for name, table in tables(timing).items():
        print(f"{name}:\n{table}\n")
    print(f"written: {PAGE}, {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
