# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the matrix in words, and why some of them are not caused in it."""

from __future__ import annotations

from lab.matrix.model import Words

_TWO_MONITORS = (
    "The matrix deploys one monitor; it is shown in the lab with two, by tests/integration/test_two_monitors.py."
)

FAULTS: dict[int, Words] = {
    1: Words("charon killed", "failover of its sites' prefixes; the service comes back by itself"),
    2: Words("charon hung", "failover once nothing comes back through the tunnel"),
    3: Words("ESP dropped, IKE passes", "tunnel down, failover (in NAT-T: UDP 4500 with a non-zero SPI word)"),
    4: Words("IKE dropped, ESP passes", "nothing swapped; one warning"),
    5: Words("ESP lost in one direction only", "failover"),
    6: Words("10 % random loss", "nothing, and no BGP flap"),
    7: Words(
        "40 % loss on one gateway, the other clean",
        '"grey", never "down": a voluntary move after a sustained period, no repair',
    ),
    8: Words("blackout of 400 ms", "nothing, and no BGP flap"),
    9: Words("blackout of 2 s on all paths", "nothing"),
    10: Words("instance stopped by someone", "failover; repair by policy"),
    11: Words("instance terminated", "failover; replaced by policy"),
    12: Words("system status check impaired, probes fine", "nothing swapped; warning"),
    13: Words("status check impaired and probes dead", "failover; stop and start"),
    14: Words("monitor cut off from one gateway that its peers see", "nothing swapped; warning"),
    15: Words("monitor cut off from everybody", "nothing at all"),
    16: Words("monitor cut off from the EC2 API", "decides, retries with a bound, warns; no repair"),
    17: Words("all monitors and peers cut off from gateway A", "failover"),
    18: Words("RequestLimitExceeded", "bounded retries with jitter, converges"),
    19: Words("API 500 or timeout, call not applied", "one retry, converges"),
    20: Words("API timeout, call applied", "no double action"),
    21: Words("stale and non-monotonic DescribeRouteTables", "no flip back"),
    22: Words("3 of 6 swaps succeed", "the rest converge, no rollback"),
    23: Words("the site is down", "nothing swapped, nothing repaired; one notification"),
    24: Words("one of two sites down", "only told; the other's routes untouched"),
    25: Words(
        "all tunnels of all gateways down through our fault",
        "routes untouched; one repair at a time: none while a site is down through every gateway",
    ),
    26: Words(
        "wall clock jumps by 1 h, both ways",
        "no false action; a failover in that time still works "
        "(EC2 refuses a skewed signature: the lab does too, from 5 min), and the skew is told",
    ),
    27: Words(
        "monitor paused 1 s, 5 s, 15 s, resumed (the guest's monotonic clock may have stood still too)",
        "old evidence thrown away, lease checked",
    ),
    28: Words("monitor killed after route k of n", "the successor or restart completes"),
    29: Words("two monitors, lease store cut", "one writer only"),
    30: Words("late write of a deposed monitor", "denied, or put right within 2 s"),
    31: Words("disk full, journal error, journal corrupt", "failover works; warning"),
    32: Words("invalid configuration on reload", "the old one stays; a clear error"),
    33: Words("reload removes a gateway in use", "refused"),
    34: Words("rekey collision, packets lost during rekey", "nothing unless the tunnel really stops carrying"),
    35: Words("reauthentication, duplicate SAs", "nothing"),
    36: Words("instance metadata away, credentials expire", "early warning, nothing wrong done"),
    37: Words("IAM denies ReplaceRoute", "a distinct alarm, no storm of calls"),
    38: Words("SIGTERM during a swap", "invariant 18"),
    39: Words("a person deletes a managed route", "told, not made again"),
    40: Words("a person points a route elsewhere", "told, left alone until released"),
    41: Words("route reads blackhole", "target treated as dead"),
    42: Words("same gateway, new ENI", "found again by tag; the old ENI is never used"),
    43: Words("source/destination check switched on", "probes fail: failover; the reason is named"),
    44: Words("gateway flaps every 45 s", "bounded swaps, then stays on the steady one"),
    45: Words("a zone lost: gateway and the monitor in it", "failover without waiting for a lease, within 3 s"),
    46: Words("monitor starved of CPU", "timeouts stretch; no false failover"),
    47: Words("heartbeats forged or replayed", "ignored, counted"),
    48: Words("lease store away, gateway dies", "the owner still fails over; no repair"),
    49: Words("disk of a gateway full, its memory exhausted", "agent reports or falls silent: failover; repair"),
    50: Words(
        "MTU lowered on the path (large packets vanish, small pass)",
        "detected by the probe's large packet: reported, failover if the other is clean",
    ),
    51: Words("BGP session down, tunnel up", "prefix not reachable through it: failover"),
    52: Words("DNS down everywhere", "no effect on detection or swap"),
    53: Words("agent killed, restarted, upgraded; data plane fine", "nothing swapped; warning if it stays away"),
    54: Words("gateway overloaded: heartbeats late, packets pass", "nothing, and no cascade onto the neighbour"),
    55: Words("two zones cut from each other, each healthy, API reachable", "nothing swapped"),
    56: Words("monitor starts while routes already point at a dead gateway", "failover after one window"),
    57: Words(
        "stop takes 10 min, ENI not free; InsufficientInstanceCapacity",
        "the ladder waits, is bounded, a person is told; failover unaffected",
    ),
    58: Words("scheduled retirement of an instance", "drained early, told"),
    59: Words("DescribeInstances fails while ReplaceRoute works", "failover on probes"),
    60: Words("deploy runs while failed over", "nothing moves"),
    61: Words("person's failover by playbook, home gateway healthy", "stays (pin) until failback or expiry"),
    62: Words("tunnel withdrawn, default route present", "no plaintext packet on the underlay"),
    63: Words("loss in bursts (Gilbert-Elliott, 0.1 % on average, mean burst 200 ms), an hour", "nothing swapped"),
    64: Words(
        "two sites' tunnels on one gateway, one fails while the other is being failed back", "each by its own rules"
    ),
}

NOT_SHOWN: dict[int, str] = {
    11: "The matrix deploys with vpnha_repair: restart; it is shown in the lab with replace, by "
    "tests/integration/test_replace.py.",
    26: "All hosts share this machine's wall clock. Unit tests of the monitor's process jump its clock alone.",
    29: _TWO_MONITORS,
    30: _TWO_MONITORS,
    45: _TWO_MONITORS,
    48: _TWO_MONITORS,
    49: "The lab's hosts share this machine's memory, and none of them can be given a bound of its own here. "
    "Row 31 has a full disk.",
    55: _TWO_MONITORS,
    63: "An hour for this row alone; the lab has no faults in bursts. Row 6 has the random loss.",
}
