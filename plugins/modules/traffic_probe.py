#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: traffic_probe
short_description: Measure packet loss from a host with sequenced packets
version_added: 0.1.0
description:
  - Starts a detached process on a host that sends a packet every few milliseconds to each target and writes
    down every answer; collects from its record what was lost, and when; and stops it.
  - Each target gets ICMP echoes, which any host answers. Where the collection's responder listens
    (C(roles/drill/files/responder.py)) it also gets UDP sequence packets, whose answers tell on which way packets
    were lost.
  - The process ends by itself after O(max_seconds), whatever becomes of the controller.
options:
  name:
    description:
      - Name of the probe, unique on the host.
    type: str
    required: true
  state:
    description:
      - V(started) starts a probe. It is refused while one of the same name runs.
      - V(collected) returns what the probe has measured so far; the probe may still run.
      - V(finished) does the same, then ends the probe and removes its record, in one call.
      - V(stopped) ends the probe and keeps its record.
      - V(absent) ends the probe and removes its record.
    type: str
    choices: [started, collected, finished, stopped, absent]
    default: collected
  targets:
    description:
      - Where to send packets. Needed for O(state=started).
    type: list
    elements: dict
    suboptions:
      address:
        description: Address of the target, of IPv4 or IPv6.
        type: str
        required: true
      responder_port:
        description: UDP port of the responder on the target, if one listens there.
        type: int
  interval_ms:
    description:
      - Milliseconds between two packets to one target.
    type: float
    default: 10.0
  max_seconds:
    description:
      - The probe ends by itself after so many seconds; at most 3600.
    type: int
    default: 900
  timeout_ms:
    description:
      - With O(state=collected) or O(state=finished), a packet whose answer takes longer than this counts as lost.
    type: float
    default: 1000.0
  windows:
    description:
      - With O(state=collected) or O(state=finished), stretches of time to report separately.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the window, the key under which its figures are returned.
        type: str
        required: true
      start:
        description: Begin of the window in seconds since the epoch. Without it, the window begins with the probe.
        type: float
      end:
        description: End of the window in seconds since the epoch. Without it, the window ends with the record.
        type: float
  optional_responders:
    description:
      - With O(state=collected) or O(state=finished), leave out the UDP stream of a target whose responder never
        answered, and name the target in RV(silent_responders). Its ICMP stream still counts.
    type: bool
    default: false
  steady_seconds:
    description:
      - With O(state=collected) or O(state=finished), wait first until for so many seconds every packet of every stream
        was answered.
    type: float
  steady_since:
    description:
      - Packets sent before this time (seconds since the epoch) do not count for O(steady_seconds).
    type: float
    default: 0.0
  steady_timeout:
    description:
      - How many seconds to wait for O(steady_seconds) before the module fails.
    type: float
    default: 60.0
  directory:
    description:
      - Where the probes' records are kept. It is created with mode 0700.
    type: path
    default: /var/lib/vpnha-traffic
author:
  - the vpnha.aws contributors (@vpnha)
attributes:
  check_mode:
    description: Says whether a probe would be started or stopped, and does neither.
    support: full
  diff_mode:
    description: There is no state worth comparing.
    support: none
  platform:
    description: Needs Linux, and root for ICMP.
    support: full
    platforms: linux
"""

EXAMPLES = r"""
- name: Send packets to a server at headquarters, every 10 ms for at most 5 minutes
  vpnha.aws.traffic_probe:
    name: before-the-change
    state: started
    targets:
      - address: 192.168.10.10
        responder_port: 7785
      - address: 192.168.20.10
    max_seconds: 300
  become: true

- name: Wait until nothing was lost for 2 seconds, and read the figures
  vpnha.aws.traffic_probe:
    name: before-the-change
    state: collected
    steady_seconds: 2
  become: true
  register: measured

- name: End the probe and remove its record
  vpnha.aws.traffic_probe:
    name: before-the-change
    state: absent
  become: true
"""

RETURN = r"""
probe:
  description: The probe and how well it kept its time.
  returned: when O(state) is not V(absent), and a probe of that name exists
  type: dict
  contains:
    name: {description: Its name., type: str, sample: before-the-change}
    pid: {description: Its process., type: int, sample: 4711}
    running: {description: Whether it is still running., type: bool, sample: false}
    end_reason:
      description: Why it ended, V(stopped), V(max_seconds), or V(died) when it could not say; empty while it runs.
      type: str
      sample: stopped
    start: {description: When the first packet was due (seconds since the epoch)., type: float, sample: 1767225600.01}
    interval_ms: {description: Milliseconds between two packets to one target., type: float, sample: 10.0}
    ticks: {description: How many packets should have been sent to each target., type: int, sample: 3000}
    missed_ticks:
      description: How many of them were never sent because the host was busy. They are not counted as lost.
      type: int
      sample: 0
    late_sends: {description: How many were sent more than half an interval late., type: int, sample: 2}
    worst_late_ms: {description: The latest of them., type: float, sample: 7.2}
silent_responders:
  description: Targets whose responder never answered, where O(optional_responders) leaves them out.
  returned: when O(state=collected) or O(state=finished)
  type: list
  elements: str
  sample: [192.168.20.10]
streams:
  description: What was measured, one entry for each target and protocol.
  returned: when O(state=collected) or O(state=finished)
  type: list
  elements: dict
  contains:
    target: {description: The target's address., type: str, sample: 192.168.10.10}
    protocol: {description: V(icmp) or V(udp)., type: str, sample: udp}
    sent: {description: Packets sent whose answer is due., type: int, sample: 3000}
    lost: {description: Packets without an answer., type: int, sample: 61}
    unsendable: {description: How many of the lost ones this host's own kernel refused to send., type: int, sample: 0}
    longest_packets: {description: Packets lost in the longest run., type: int, sample: 61}
    longest_ms: {description: Length of the longest run of lost packets., type: float, sample: 610.0}
    lost_ms:
      description: Length of runs of lost packets together, of those with less than a second between one and the next.
      type: float
      sample: 610.0
    lost_out: {description: Packets lost on the way to the target (UDP only)., type: int, sample: 3}
    lost_return: {description: Packets whose answer was lost on the way back (UDP only)., type: int, sample: 58}
    rtt_median_ms: {description: Median round trip., type: float, sample: 0.8}
    steady_seconds:
      description: For how long, up to the newest packet, nothing had been lost.
      type: float
      sample: 2.4
    runs:
      description: Every run of lost packets in order of time; of more than 500, the longest 500.
      type: list
      elements: dict
      contains:
        start_wall: {description: When its first packet was sent (seconds since the epoch)., type: float}
        end_wall: {description: "When its last packet was sent, plus one interval.", type: float}
        packets: {description: How many packets., type: int}
        milliseconds: {description: Its length., type: float}
        direction: {description: "Where they were lost; V(out), V(return), V(both) or V(unknown).", type: str}
        lost_out: {description: Packets lost on the way to the target., type: int}
        lost_return: {description: Packets whose answer was lost., type: int}
        missed_ticks: {description: Ticks at or in the run at which nothing was sent., type: int}
        first_tick: {description: Sequence number of the first packet., type: int}
        last_tick: {description: Sequence number of the last packet., type: int}
    windows:
      description: The same figures for the packets sent in each of O(windows), by its name.
      type: dict
"""

from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from time import monotonic, sleep

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vpnha.aws.plugins.module_utils import outage, traffic
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.traffic_record import Record

MOST_RUNS = 500
POLL_SECONDS = 0.25


def plan_of(parameters: dict) -> traffic.Plan:
    """What the probe is to do. VpnhaError when that makes no sense."""
    if not 1.0 <= parameters["interval_ms"] <= 1000.0:
        raise VpnhaError(f"interval_ms is {parameters['interval_ms']}; choose from 1 to 1000 milliseconds.")
    if not 1 <= parameters["max_seconds"] <= traffic.MAX_SECONDS:
        raise VpnhaError(f"max_seconds is {parameters['max_seconds']}; choose from 1 to {traffic.MAX_SECONDS} seconds.")
    if not parameters["targets"]:
        raise VpnhaError("targets is empty; name at least one address to send packets to.")
    targets = []
    for target in parameters["targets"]:
        try:
            address = str(ip_address(target["address"]))
        except ValueError:
            raise VpnhaError(f"{target['address']} in targets is no IP address; write one like 192.0.2.10.") from None
        port = target.get("responder_port")
        if port is not None and not 1 <= port <= 65535:
            raise VpnhaError(f"The responder_port of {address} is {port}; choose from 1 to 65535.")
        targets.append(traffic.Target(address, port))
    addresses = [target.address for target in targets]
    if len(set(addresses)) < len(addresses):
        raise VpnhaError("An address stands in targets twice; name each target once.")
    return traffic.Plan(parameters["name"], tuple(targets), parameters["interval_ms"], parameters["max_seconds"])


def probe_of(record: Record, running: bool) -> dict:
    """The probe itself, as it is returned."""
    header = record.header
    return {
        "name": header.name,
        "pid": header.pid,
        "running": running,
        "end_reason": "" if running else record.end_reason or "died",
        "start": header.wall_ns / 1e9,
        "interval_ms": header.interval_ns / 1e6,
        **asdict(outage.pace(record)),
    }


def stream_of(losses: outage.StreamLosses, parameters: dict) -> dict:
    """One stream, as it is returned."""
    longest = sorted(losses.runs, key=lambda run: run.milliseconds, reverse=True)[:MOST_RUNS]
    return {
        "target": losses.stream.target,
        "protocol": losses.stream.protocol,
        **asdict(losses.stats()),
        "steady_seconds": losses.steady_seconds(parameters["steady_since"]),
        "runs": [asdict(run) for run in sorted(longest, key=lambda run: run.first_tick)],
        "windows": {
            window["name"]: asdict(losses.stats(window["start"], window["end"])) for window in parameters["windows"]
        },
    }


def judge(path: Path, parameters: dict) -> tuple[Record, list[outage.StreamLosses]]:
    """Read the record and find its losses, once they are as steady as asked for."""
    wanted, until = parameters["steady_seconds"], monotonic() + parameters["steady_timeout"]
    while True:
        running = traffic.running(path)  # before the reading: what a probe wrote last is then in it
        record = traffic.load(path)
        losses = [
            outage.StreamLosses(record, packets, parameters["timeout_ms"])
            for packets in record.packets
            if not (parameters["optional_responders"] and packets.stream.protocol == "udp" and not packets.answered)
        ]
        if wanted is None:
            return record, losses
        shaky = [one for one in losses if one.steady_seconds(parameters["steady_since"]) < wanted]
        if not shaky:
            return record, losses
        names = ", ".join(str(one.stream) for one in shaky)
        if not running:
            raise VpnhaError(f"The probe ended before packets passed without loss for {wanted:g} s: {names}.")
        if monotonic() > until:
            limit = parameters["steady_timeout"]
            raise VpnhaError(f"Packets did not pass without loss for {wanted:g} s within {limit:g} s: {names}.")
        sleep(POLL_SECONDS)


def remove(path: Path, check_mode: bool) -> bool:
    """End the probe and remove its record; False when there is neither."""
    existed = traffic.running(path) or path.exists()
    if not check_mode:
        traffic.stop(path, discard=True)
        path.unlink(missing_ok=True)
    return existed


def run(parameters: dict, check_mode: bool) -> dict:
    """Do what is asked and return the module's result. VpnhaError when it cannot be done."""
    name, state = parameters["name"], parameters["state"]
    if not name or name.startswith(".") or "/" in name:
        raise VpnhaError(f"'{name}' is no name for a probe; use letters, digits and dashes.")
    path = Path(parameters["directory"]) / f"{name}.record"
    if state == "started":
        plan = plan_of(parameters)
        if traffic.running(path):
            raise VpnhaError(f"A traffic probe named {name} is already running; stop it first, or choose another name.")
        if check_mode:
            return {"changed": True}
        traffic.start(plan, path)
        return {"changed": True, "probe": probe_of(traffic.load(path), True)}
    if state in ("collected", "finished"):
        record, losses = judge(path, parameters)
        streams = [stream_of(one, parameters) for one in losses]
        counted = {one.stream for one in losses}
        measured = {
            "probe": probe_of(record, traffic.running(path)),
            "streams": streams,
            "silent_responders": [s.target for s in record.header.streams if s not in counted],
        }
        return {"changed": state == "finished" and remove(path, check_mode), **measured}
    if state == "absent":
        return {"changed": remove(path, check_mode)}
    stopped = traffic.running(path) if check_mode else traffic.stop(path)
    return {"changed": stopped, **({"probe": probe_of(traffic.load(path), False)} if path.exists() else {})}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["started", "collected", "finished", "stopped", "absent"],
                "default": "collected",
            },
            "targets": {
                "type": "list",
                "elements": "dict",
                "options": {"address": {"type": "str", "required": True}, "responder_port": {"type": "int"}},
            },
            "interval_ms": {"type": "float", "default": 10.0},
            "max_seconds": {"type": "int", "default": 900},
            "timeout_ms": {"type": "float", "default": 1000.0},
            "windows": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "start": {"type": "float"},
                    "end": {"type": "float"},
                },
            },
            "optional_responders": {"type": "bool", "default": False},
            "steady_seconds": {"type": "float"},
            "steady_since": {"type": "float", "default": 0.0},
            "steady_timeout": {"type": "float", "default": 60.0},
            "directory": {"type": "path", "default": "/var/lib/vpnha-traffic"},
        },
        required_if=[("state", "started", ["targets"])],
        supports_check_mode=True,
    )
    try:
        result = run(module.params, module.check_mode)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"Cannot use {module.params['directory']}: {error.strerror}; make room there, or name another."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
