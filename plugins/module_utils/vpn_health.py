# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's tunnels examined once, on the gateway itself: charon asked, and every tunnel probed."""

from __future__ import annotations

import ipaddress
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path as File
from typing import Any

from . import charon, dual_stack
from .charon import Charon, CharonError
from .description_certificates import ending
from .description_codec import from_dict
from .diagnoses import DIAGNOSES
from .errors import DescriptionError, VpnhaError
from .icmp import IcmpSocket
from .model import LossStats, Timing, Verdict
from .tunnel_config import DATA_PLANES, tunnel_device
from .tunnel_probe import BurstResult, Path, burst
from .verdicts import one_way_loss
from .vici_health import IkeSa, SaTracker, TunnelSas, diagnose

AGAIN_SECONDS = 0.6  # until an SA that was left out is asked for again
ROUND_SECONDS = 1.0
GREY_LOSS = Timing().grey_loss
_BINARIES = ("swanctl", "charon-systemd", "strongswan", "ipsec")
_PROCESSES = ("charon-systemd", "charon")
_BEST_FIRST = (Verdict.UP, Verdict.GREY, Verdict.UNKNOWN, Verdict.DOWN)


@dataclass(frozen=True)
class Subject:
    """One tunnel to examine."""

    name: str  # also its connection's name in charon
    site: str
    peer: str  # the peer's address inside the tunnel
    source: str = ""  # ours inside the tunnel; empty: the kernel chooses
    device: str = ""
    targets: tuple[str, ...] = ()  # addresses at the site that answer ICMP


@dataclass(frozen=True)
class Examination:
    """What to examine and how."""

    subjects: tuple[Subject, ...]
    vici_socket: str = charon.SOCKET
    count: int = 10  # probes on each path
    interval: float = 0.05  # seconds between them
    grey_loss: float = GREY_LOSS


def from_agent_config(path: str) -> tuple[tuple[Subject, ...], str, float]:
    """The tunnels, charon's socket and the grey loss in an agent's configuration file. Raises VpnhaError."""
    try:
        value = json.loads(File(path).read_text(encoding="utf-8"))
        deployment = from_dict(value["deployment"])
        gateway, data_plane = value["gateway"], value["data_plane"]
    except FileNotFoundError:
        raise VpnhaError(f"{path} is not there: run this on a gateway, or describe the tunnels in 'tunnels'.") from None
    except OSError as exc:
        raise VpnhaError(f"{path} cannot be read ({exc.strerror}): run this as root.") from None
    except DescriptionError as exc:
        raise VpnhaError(f"{path}: {exc.sentences[0]}") from None
    except (ValueError, KeyError, TypeError):
        raise VpnhaError(
            f"{path} is no agent's configuration: write it anew with the role vpnha.aws.gateway."
        ) from None
    if data_plane not in DATA_PLANES:
        raise VpnhaError(f"{path}: the data plane '{data_plane}' is unknown: use one of {', '.join(DATA_PLANES)}.")
    subjects = tuple(
        Subject(
            tunnel.name,
            tunnel.site,
            tunnel.peer_inside_address,
            tunnel.inside_address,
            tunnel_device(tunnel, data_plane),
            deployment.site(tunnel.site).probe_targets,
        )
        for tunnel in deployment.tunnels
        if tunnel.gateway == gateway
    )
    return subjects, str(value.get("vici_socket", charon.SOCKET)), deployment.timing.grey_loss


def certificate_remark(path: str, now: float | None = None) -> tuple[float | None, str]:
    """When the certificate of an agent's gateway ends, and a sentence if that is soon. ``path`` was read before."""
    value = json.loads(File(path).read_text(encoding="utf-8"))
    gateway = from_dict(value["deployment"]).gateway(value["gateway"])
    return gateway.certificate_ends, ending(gateway, time.time() if now is None else now)


def subject(given: Mapping[str, Any]) -> Subject:
    """A tunnel as the module's option describes it. Raises VpnhaError when an address is none."""
    for key, addresses in (("peer", [given["peer"]]), ("source", [given["source"]]), ("targets", given["targets"])):
        for address in addresses:
            if address and not _is_address(address, either=key == "targets"):
                what = "no address" if key == "targets" else "no IPv4 address"
                raise VpnhaError(f"tunnels, {given['name']}: {key} has '{address}', which is {what}.")
    return Subject(
        given["name"],
        given["site"] or given["name"],
        given["peer"],
        given["source"],
        given["device"],
        tuple(given["targets"]),
    )


def examine(what: Examination) -> dict[str, Any]:
    """The health of every tunnel, in plain data as the module documents it.

    Raises VpnhaError where nothing can be said: strongSwan is missing, charon's socket or ICMP is out of reach.
    """
    _can_probe()
    asking = Charon(what.vici_socket)
    try:
        state, version = _charon_state(asking)
        results = iter(
            burst([path for subject in what.subjects for path in _paths(subject)], what.count, what.interval)
        )
        probed = {subject.name: [next(results) for _path in _paths(subject)] for subject in what.subjects}
        sas, seen = _ask(asking, what.subjects) if state == "alive" else ([], {})
    finally:
        asking.close()
    tunnels = [
        _tunnel(subject, state, seen.get(subject.name, TunnelSas(subject.name, "unknown", "unknown")), probed, what)
        for subject in what.subjects
    ]
    known = {subject.name for subject in what.subjects}
    return {
        "healthy": all(tunnel["verdict"] == Verdict.UP.value for tunnel in tunnels),
        "charon": {"state": state, "version": version},
        "tunnels": tunnels,
        "sites": _sites(tunnels),
        "other_sas": [_sa(sa) for sa in sas if sa.name not in known],
        "summary": [f"{tunnel['name']}: {', '.join(tunnel['reasons_text'])}" for tunnel in tunnels],
    }


def ailing(result: Mapping[str, Any], names: Sequence[str] = ()) -> list[Mapping[str, Any]]:
    """The tunnels that are not up, of these names or of all."""
    return [
        tunnel
        for tunnel in result["tunnels"]
        if tunnel["verdict"] != Verdict.UP.value and (not names or tunnel["name"] in names)
    ]


def examine_until_healthy(what: Examination, seconds: float, names: Sequence[str] = ()) -> dict[str, Any]:
    """Examine again and again until all tunnels, or those of these names, are up or the time is over.

    Returns the last result. Raises like ``examine``.
    """
    until = time.monotonic() + seconds
    while True:
        result = examine(what)
        if not ailing(result, names) or time.monotonic() >= until:
            return result
        time.sleep(min(ROUND_SECONDS, max(until - time.monotonic(), 0.0)))


def _is_address(text: str, either: bool) -> bool:
    try:
        ipaddress.ip_address(text) if either else ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _can_probe() -> None:
    sock = IcmpSocket()
    try:
        sock.open()
    except PermissionError:
        raise VpnhaError("Probes need the right to send ICMP (CAP_NET_RAW): run this as root.") from None
    except OSError as exc:
        raise VpnhaError(f"Probes cannot be sent from this host: {exc.strerror}.") from None
    finally:
        sock.close()


def _charon_state(asking: Charon) -> tuple[str, str]:
    """("alive", version), ("hung", "") or ("dead", "")."""
    try:
        return "alive", asking.version()
    except CharonError as exc:
        if exc.state == "unreachable":
            raise
        if exc.state == "dead":
            _explain_absence(asking.path)
        return exc.state, ""


def _explain_absence(path: str) -> None:
    """charon's socket is refused or not there: raise VpnhaError unless that just means that it does not run."""
    places = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/usr/libexec/ipsec:/usr/lib/ipsec"
    if not any(shutil.which(binary, path=places) for binary in _BINARIES):
        raise VpnhaError("strongSwan is not installed on this host: run the role vpnha.aws.gateway on it.")
    if not File(path).exists() and _charon_runs():
        raise VpnhaError(
            f"charon runs, but its socket {path} is not there: load its plugin vici, or give 'vici_socket'."
        )


def _charon_runs() -> bool:
    for comm in File("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text(encoding="utf-8").strip() in _PROCESSES:
                return True
        except OSError:
            continue  # it has ended meanwhile
    return False


def _ask(asking: Charon, subjects: Sequence[Subject]) -> tuple[list[IkeSa], Mapping[str, TunnelSas]]:
    tracker = SaTracker([subject.name for subject in subjects])
    try:
        sas = asking.list_sas()
        seen = tracker.observe(sas, time.monotonic())
        if any(tunnel.ike == "unknown" for tunnel in seen.values()):
            time.sleep(AGAIN_SECONDS)
            sas = asking.list_sas()
            seen = tracker.observe(sas, time.monotonic())
    except CharonError:
        return [], {}  # it went away in between: the tunnels are unknown
    return sas, seen


def _paths(subject: Subject) -> list[Path]:
    return [Path(address, _source(subject, address), subject.device) for address in (subject.peer, *subject.targets)]


def _source(subject: Subject, target: str) -> str:
    """Our address inside the tunnel, of the target's family."""
    if dual_stack.is_ipv6(subject.source) or not dual_stack.is_ipv6(target):
        return subject.source
    return dual_stack.inside_address(subject.source) if subject.source else ""


def _tunnel(
    subject: Subject, state: str, seen: TunnelSas, probed: Mapping[str, Sequence[BurstResult]], what: Examination
) -> dict[str, Any]:
    peer, *targets = probed[subject.name]
    # a peer that does not answer on its inside address may just not do so: then the site's answers count
    deciding = min((peer, *targets), key=lambda result: result.loss) if not peer.received else peer
    loss = 1.0 if deciding.loss >= 1.0 else one_way_loss(LossStats(slow_loss=deciding.loss))
    verdict, codes = diagnose(state, seen, loss, what.grey_loss)
    return {
        "name": subject.name,
        "site": subject.site,
        "verdict": verdict.value,
        "reasons": list(codes),
        "reasons_text": [DIAGNOSES[code].title for code in codes],
        "advice": [DIAGNOSES[code].what_to_do for code in codes if DIAGNOSES[code].what_to_do],
        "ike": seen.ike,
        "child": seen.child,
        "sas": [_sa(sa) for sa in seen.sas],
        "probe": _probe(peer),
        "targets": [_probe(result) for result in targets],
    }


def _probe(result: BurstResult) -> dict[str, Any]:
    trips = sorted(result.rtt_ms)
    return {
        "target": result.path.target,
        "sent": result.sent,
        "received": result.received,
        "loss": round(result.loss, 4),
        "rtt_ms": {
            "min": round(trips[0], 3),
            "median": round(trips[len(trips) // 2], 3),
            "max": round(trips[-1], 3),
        }
        if trips
        else None,
        "error": result.error,
    }


def _sa(sa: IkeSa) -> dict[str, Any]:
    return {
        **asdict(sa),
        "tasks": list(sa.tasks),
        "children": [asdict(child) for child in sa.children],
    }


def _sites(tunnels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each site through this gateway: its best tunnel's verdict, and loss and round trip to its targets."""
    sites: dict[str, list[Mapping[str, Any]]] = {}
    for tunnel in tunnels:
        sites.setdefault(tunnel["site"], []).append(tunnel)
    found = []
    for site, own in sites.items():
        best = min(own, key=lambda tunnel: _BEST_FIRST.index(Verdict(tunnel["verdict"])))
        probes = [probe for tunnel in own for probe in tunnel["targets"]] or [tunnel["probe"] for tunnel in own]
        probe = min(probes, key=lambda probe: float(probe["loss"]))
        found.append(
            {
                "name": site,
                "verdict": best["verdict"],
                "tunnels": [tunnel["name"] for tunnel in own],
                "loss": probe["loss"],
                "rtt_ms": probe["rtt_ms"],
            }
        )
    return found
