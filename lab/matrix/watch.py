# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What packets, EC2's record and the journal say of a row while it goes on."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import outage, traffic
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from lab import capture, endpoint, registry, setns
from lab.errors import LabError
from lab.matrix.judge import MONITOR
from lab.matrix.lookout import Lookout
from lab.names import Names

INTERVAL_MS = 10.0
LONGEST_SECONDS = 900
RESPONDER_PORT = 7785
REPAIRS = ("RebootInstances", "StopInstances", "StartInstances", "TerminateInstances", "RunInstances")
ROUTES = ("ReplaceRoute", "CreateRoute", "DeleteRoute")


class Probes:
    """Sequenced packets from application hosts to every site: the engine's own probe, in the hosts' namespaces."""

    def __init__(self, names: Names, hosts: Sequence[str], targets: Sequence[str]) -> None:
        self._names, self._hosts = names, tuple(hosts)
        self._targets = tuple(traffic.Target(target, RESPONDER_PORT) for target in targets)

    def start(self) -> None:
        """Begin, after ending what an earlier row may have left."""
        for host in self._hosts:
            path = self._path(host)
            path.parent.mkdir(parents=True, exist_ok=True)
            traffic.stop(path, discard=True)
            plan = traffic.Plan(host, self._targets, INTERVAL_MS, LONGEST_SECONDS)
            _id, entry = registry.find(self._names, host)
            setns.inside(entry["netns"], lambda plan=plan, path=path: traffic.start(plan, path))  # type: ignore[misc]

    def steady_seconds(self, since: float) -> float:
        """For how long every packet of every stream sent since then was answered."""
        return min(losses.steady_seconds(since) for _host, losses in self._losses())

    def measured(self, start: float, end: float | None) -> list[dict[str, Any]]:
        """What became of each stream's packets in [start, end)."""
        found = []
        for host, losses in self._losses():
            stats = losses.stats(start, end)
            runs = outage.runs_between(losses.runs, start, end)
            found.append(
                {
                    "host": host,
                    "target": losses.stream.target,
                    "protocol": losses.stream.protocol,
                    "sent": stats.sent,
                    "lost": stats.lost,
                    "longest_ms": stats.longest_ms,
                    "longest_at": max(runs, key=lambda run: run.milliseconds).start_wall if runs else None,
                }
            )
        return found

    def stop(self) -> None:
        """End; the records stay until the next start."""
        for host in self._hosts:
            with contextlib.suppress(VpnhaError):
                traffic.stop(self._path(host))

    def _path(self, host: str) -> Path:
        return self._names.run / "matrix" / f"{host}.record"

    def _losses(self) -> list[tuple[str, outage.StreamLosses]]:
        found = []
        for host in self._hosts:
            record = traffic.load(self._path(host))
            found += [(host, outage.StreamLosses(record, packets)) for packets in record.packets]
        return found


class Watch:
    """Everything that is recorded of one row."""

    def __init__(self, names: Names, lookout: Lookout, probes: Probes, capturing: bool) -> None:
        self._names, self._lookout, self._probes, self._capturing = names, lookout, probes, capturing
        self._flaps: int | None = None
        self._owners: dict[str, str] = {}

    def start(self) -> None:
        """Begin sending and counting."""
        self._probes.start()
        self._flaps = self._lookout.sessions_ended()
        self._owners = self._lookout.owners()
        if self._capturing:
            with contextlib.suppress(LabError):
                capture.stop(self._names, capture.INTERNET)  # of a row that was interrupted
            capture.start(self._names, capture.INTERNET)

    def finish(self, began: float, injected: float, healed: float) -> dict[str, Any]:
        """End it, and say what was seen from the injection on (seconds since the epoch)."""
        self._probes.stop()
        plaintext = None
        if self._capturing:
            found = capture.stop(self._names, capture.INTERNET)
            plaintext = found["plaintext"] if found["packets"] and not found["dropped"] else None
            Path(found["file"]).unlink(missing_ok=True)
        ended = self._lookout.sessions_ended()
        streams, later = self._probes.measured(injected, healed), self._probes.measured(healed, None)
        calls = endpoint.calls(self._names, began)
        fired = endpoint.fired(self._names, "hosts", began)
        return {
            **counted(
                calls,
                fired,
                hosts=self._lookout.hosts(),
                owners=self._owners | self._lookout.owners(),  # a gateway may have got another
                injected=injected,
                healed=healed,
            ),
            "sent": sum(stream["sent"] for stream in streams),
            "lost": max((stream["lost"] for stream in streams), default=0),
            "outage_ms": max((stream["longest_ms"] for stream in streams), default=0.0),
            "lost_healing": max((stream["lost"] for stream in later), default=0),
            "streams": streams,
            "flaps": grown(self._flaps, ended),
            "plaintext": plaintext,
            "events": self._lookout.events(injected),
        }


def grown(before: int | None, after: int | None) -> int | None:
    """By how much a counter has grown; None if that is not known, as when it began anew."""
    return after - before if before is not None and after is not None and after >= before else None


def counted(
    calls: Sequence[Mapping[str, Any]],
    fired: Sequence[Mapping[str, Any]],
    *,
    hosts: Mapping[str, str],
    owners: Mapping[str, str],
    injected: float,
    healed: float,
) -> dict[str, Any]:
    """EC2's record in short: who changed which route, what the monitor did to instances, and how much it asked.

    ``fired``: requests of the hosts that the proxy delayed or broke. ``hosts``: instance id to name, ``owners``: ENI to
    gateway.
    """
    since = [call for call in calls if call["wall"] >= injected]
    of_monitor = [call for call in since if hosts.get(call["caller"], "").startswith("mon-")]
    broken = [one for one in fired if injected <= one["ts"] < healed and _not_applied(one["action"])]
    tried = [call for call in of_monitor if call["action"] == "ReplaceRoute" and call["wall"] < healed]
    return {
        "changes": [_change(call, hosts, owners) for call in since if _changes(call)],
        "repairs": [
            {
                "wall": call["wall"],
                "action": call["action"],
                "gateway": ", ".join(hosts.get(each, each) for each in call["resources"]),
                "error": call["error"],
            }
            for call in of_monitor
            if call["action"] in REPAIRS
        ],
        "tries": len(tried) + sum(one["operation"] == "ReplaceRoute" for one in broken),
        "calls": dict(Counter(call["action"] for call in of_monitor)),
        "refused": dict(Counter(call["error"] for call in of_monitor if call["error"]))
        | ({"by the proxy": len(broken)} if broken else {}),
    }


def _changes(call: Mapping[str, Any]) -> bool:
    return call["action"] in ROUTES and not call["error"] and call["before"] != call["after"]


def _change(call: Mapping[str, Any], hosts: Mapping[str, str], owners: Mapping[str, str]) -> dict[str, Any]:
    by_monitor = hosts.get(call["caller"], "").startswith("mon-")
    return {
        "wall": call["wall"],
        "route": " ".join([*call["resources"], call["destination"]]),
        "from": owners.get(call["before"], call["before"]),
        "to": owners.get(call["after"], call["after"]),
        "by": MONITOR if by_monitor else "a person",
    }


def _not_applied(action: str) -> bool:
    """Whether the proxy let a request end by itself: an error, a timeout or a reset."""
    return any(word in action for word in ("error:", "timeout", "reset"))
