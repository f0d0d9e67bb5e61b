# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are told: each matter once, and once more when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field, replace

from . import lease
from .changed import changed
from .holds import hold_down
from .left_routes import described, facts, too_wide
from .model import Ec2View, Evidence, GatewayEvidence, Note, SwapResult, Verdict
from .moves import RECOVERY_GRACE, Move, Stuck, gateway_paused, paused
from .pace import THROTTLED
from .places import FORBIDDEN, NOT_BEGUN
from .repair import under_way
from .state import State, Subject, Told

PATH_DELAY = 0.3  # seconds that a tunnel's trouble must last: several gateways losing one site are one matter
MONITOR_DELAY = 15.0  # seconds in which a monitor restarts and looks about
WAITS_DELAY = 900.0  # seconds after which something else than another repair stands in a repair's way
LEFT_DELAY = 900.0  # seconds in which a deploy that makes and removes routes is mostly done with both
REPAIR_DELAY = 2.0  # seconds in which it is known whether a step was begun at all
LINGER = 3.0  # seconds that a matter must be gone before it counts as over
ROUTES_NAMED = 20  # in a note's evidence
_OF_MONITOR = ("monitor-isolated", "monitor-sick")
_OF_PATH = ("via-neighbour", "no-path", "site-not-behind-peer")
_OF_MANAGED = ("managed-down", "managed-silent", "managed-grey", "managed-unheard")
_OF_GATEWAY_DOWN = ("repair-waits", "repair-needs-person")
_TROUBLE = (Verdict.DOWN, Verdict.GREY)
_TOLD_UNKNOWN = ("monitor-cut-off-from-gateway", "gateway-unheard", "gateway-no-second-sign")


@dataclass(frozen=True)
class Matter:
    """One thing to be told, as long as it lasts."""

    text: str
    delay: float = 0.0
    evidence: Mapping[str, object] = field(default_factory=dict)


def tell(state: State, matters: Mapping[Subject, Matter], now: float) -> tuple[State, list[Note]]:
    """Notes for what is new and for what is over; the state remembers what was told."""
    notes: list[Note] = []
    told: dict[Subject, Told] = {}
    untold: dict[Subject, float] = {}
    for subject, matter in matters.items():
        known = state.told.get(subject)
        if known is not None:
            told[subject] = known if known.absent_since is None else replace(known, absent_since=None)
            continue
        since = state.untold.get(subject, now)
        if now - since >= matter.delay:
            told[subject] = Told(matter.text)
            notes.append(Note(subject[0], subject[1], matter.text, matter.evidence))
        else:
            untold[subject] = since
    for subject, known in state.told.items():
        if subject in matters:
            continue
        absent_since = now if known.absent_since is None else known.absent_since
        if now - absent_since >= LINGER:
            notes.append(Note(subject[0], subject[1], f"Over: {known.text}", resolved=True))
        else:
            told[subject] = replace(known, absent_since=absent_since)
    if told == state.told and untold == state.untold:
        return state, notes
    return changed(state, told=told, untold=untold), notes


def blind_matters(state: State) -> dict[Subject, Matter]:
    """What is told by a monitor that trusts nothing it sees: that, and all that it had told before."""
    found = {subject: Matter(known.text) for subject, known in state.told.items() if subject[0] not in _OF_MONITOR}
    if state.verdicts.isolated:
        found["monitor-isolated", ""] = Matter("No gateway answers the monitor: it does nothing.", delay=1.0)
    if state.verdicts.sick:
        text = "The monitor itself was late or paused: it throws away what it saw and observes afresh."
        found["monitor-sick", ""] = Matter(text)
    return found


def matters(state: State, evidence: Evidence, stuck: Iterable[Stuck], now: float) -> dict[Subject, Matter]:
    """Everything that is the matter now."""
    found: dict[Subject, Matter] = {}
    found.update(_gateway_matters(state, evidence))
    found.update(_path_matters(state, now))
    for remark in state.verdicts.remarks:
        found[remark.code, remark.subject] = Matter(remark.text, remark.delay)
    patience = _path_delay(state)
    for one in stuck:
        found[one.code, f"{one.group.zone}/{one.group.site}"] = Matter(
            f"{counted(one.keys)} of zone {one.group.zone} for {one.group.site} stay at {one.group.gateway}, "
            f"although there is reason to leave: {one.leave.text}",
            patience,
            {"routes": [str(key) for key in one.keys[:ROUTES_NAMED]]},
        )
    if evidence.ec2 is not None:
        found.update(_route_matters(state, evidence.ec2, evidence.aws_wall))
        found.update(_pause_matters(state, evidence.ec2, evidence.aws_wall))
        found.update(_repair_matters(state, evidence.ec2, evidence.aws_wall, now))
    found.update(_ec2_matters(state, evidence, now))
    found.update(_monitor_matters(state, evidence, now))
    return found


def _gateway_matters(state: State, evidence: Evidence) -> Iterator[tuple[Subject, Matter]]:
    for name, judgement in state.verdicts.gateways.items():
        if judgement.verdict in _TROUBLE or judgement.code in _TOLD_UNKNOWN:
            delay = 0.0 if judgement.verdict is Verdict.DOWN else PATH_DELAY
            yield (judgement.code, name), Matter(judgement.text, delay, seen_of(evidence, name))


def _path_delay(state: State) -> float:
    """Seconds after which it is known whether a whole site is down: longer where a managed gateway leads there too."""
    return PATH_DELAY + (state.deployment.timing.managed_window if state.deployment.managed_gateways else 0.0)


def _path_matters(state: State, now: float) -> Iterator[tuple[Subject, Matter]]:
    """Tunnels, ways and sites. A site that is down everywhere is one matter, not one for each of its tunnels."""
    verdicts, delay = state.verdicts, _path_delay(state)
    quiet = {site for site, at in state.sites_down_at.items() if now - at < RECOVERY_GRACE}
    mute = {site for site, at in state.sites_silent_at.items() if now - at < RECOVERY_GRACE}
    for site, text in verdicts.sites_down.items():
        yield ("site-down", site), Matter(text, PATH_DELAY)
    for site, text in verdicts.sites_silent.items():
        yield ("site-silent", site), Matter(text, PATH_DELAY)
    for tunnel in state.deployment.tunnels:
        judgement = verdicts.tunnels.get(tunnel.name)
        if judgement is None or judgement.verdict is Verdict.UP or judgement.gateway_wide or tunnel.site in quiet:
            continue
        if judgement.verdict in _TROUBLE:
            yield (judgement.code, tunnel.name), Matter(judgement.text, delay)
    for (gateway, site), judgement in verdicts.paths.items():
        if judgement.verdict is Verdict.UP or judgement.gateway_wide or site in quiet:
            continue
        if judgement.code == "managed-silent" and site in mute:
            continue
        if judgement.code in _OF_PATH or judgement.code in _OF_MANAGED:
            yield (judgement.code, f"{gateway}/{site}"), Matter(judgement.text, delay)


def _route_matters(state: State, view: Ec2View, wall: float) -> Iterator[tuple[Subject, Matter]]:
    named = state.deployment.named
    for key in view.missing_routes:
        why = "somebody else's route takes its packets" if key in view.carried_elsewhere else "no monitor makes one"
        yield ("route-missing", str(key)), Matter(f"The route {named(key)} is not there; {why}.")
    for key, target in state.routes.foreign.items():
        yield ("route-foreign", str(key)), Matter(f"The route {named(key)} points at {target}; it is left alone.")
    left = [one for one in view.left if not too_wide(one.destination)]
    if left:
        sites = described(state.deployment)
        for (destination, gateway), (fact, _advice) in facts(left, sites, named=ROUTES_NAMED).items():
            yield ("route-not-described", f"{destination} to {gateway}"), Matter(f"{fact}.", LEFT_DELAY)
    for table, why in view.refused_tables.items():
        yield ("table-refused", table), Matter(f"The route table {table} is not looked after: {why}")
    for table, pin in view.table_pins.items():
        if pin.expires_wall > wall:
            by = f" by {pin.by}" if pin.by else ""
            yield ("pinned", table), Matter(f"The routes of {table} are pinned to {pin.gateway}{by}.")
    for group, keys in state.routes.groups.items():
        if group.fault == "blackhole":
            text = f"EC2 calls {counted(keys)} of zone {group.zone} for {group.site} to {group.gateway} a blackhole."
            yield ("route-blackhole", f"{group.gateway}/{group.site}"), Matter(text)
        if not view.table_pins:
            continue
        path = state.verdicts.paths.get((group.gateway or "", group.site))
        if path is None or path.verdict is not Verdict.DOWN:
            continue
        pinned = [key for key in keys if _pinned(view, key.table_id, wall)]
        if pinned:
            what = f"{counted(pinned)} of zone {group.zone} for {group.site}"
            text = f"{what} pinned to {group.gateway}, which does not work: {path.text}"
            yield ("pinned-to-broken", f"{group.gateway}/{group.site}"), Matter(text, PATH_DELAY)


def _pause_matters(state: State, view: Ec2View, wall: float) -> Iterator[tuple[Subject, Matter]]:
    if paused(view, wall):
        yield ("paused", "deployment"), Matter("All actions of the deployment are paused.")
    for gateway in state.deployment.gateways if view.paused_gateways else ():
        if gateway_paused(view, gateway.name, wall):
            yield ("paused", gateway.name), Matter(f"Actions on {gateway.name} are paused.")
    for table, until in view.paused_tables.items():
        if until > wall:
            yield ("paused", table), Matter(f"Actions on {table} are paused.")


def _repair_matters(state: State, view: Ec2View, wall: float, now: float) -> Iterator[tuple[Subject, Matter]]:
    if state.deployment.repair == "none":
        return
    begun = dict(under_way(state, view, wall, now))
    for gateway, past in begun.items():
        text = (
            f"{gateway} is being repaired: {past.rung}, step {past.used} of {state.deployment.timing.repairs_per_day}."
        )
        yield ("repair-under-way", gateway), Matter(text, REPAIR_DELAY)
    for gateway, text in state.repairs.waiting.items():
        if gateway not in begun:
            yield ("repair-waits", gateway), Matter(text, WAITS_DELAY)
    for gateway, text in state.repairs.lost.items():
        yield ("repair-needs-person", gateway), Matter(text, PATH_DELAY)
    for gateway, text in state.repairs.failed.items():
        yield ("repair-failed", gateway), Matter(text)
    after = state.deployment.timing.repair_after
    for code, subject in state.told:
        # who has begun to count afresh, as after a moment's lateness, has not found out again that nothing can be done
        if code in _OF_GATEWAY_DOWN and now - state.repairs.down_since.get(subject, float("-inf")) < after:
            yield (code, subject), Matter(state.told[code, subject].text)


def _pinned(view: Ec2View, table: str, wall: float) -> bool:
    pin = view.table_pins.get(table)
    return pin is not None and pin.expires_wall > wall


def _ec2_matters(state: State, evidence: Evidence, now: float) -> Iterator[tuple[Subject, Matter]]:
    age = now - state.started if evidence.ec2 is None else evidence.ec2_age or 0.0
    if age > 3 * state.deployment.timing.ec2_interval + 5.0:
        yield ("ec2-unreadable", ""), Matter("EC2 could not be read for a while; decisions go by the last view.")
    errors: dict[str, list[str]] = {}
    for key, retry in state.routes.retries.items():
        belief = state.routes.beliefs.get(key)
        if retry.error not in NOT_BEGUN and (belief is None or belief.target != retry.swap.target):
            errors.setdefault(retry.error, []).append(str(key))
    for error, keys in errors.items():
        code = "swap-failed"
        if error in FORBIDDEN:
            code = "swap-forbidden"
        elif error in THROTTLED:
            code = "swap-throttled"
        text = f"{counted(keys)} could not be moved ({error}); it is tried again."
        yield (code, error), Matter(text, evidence={"routes": keys[:ROUTES_NAMED]})
    timing = state.deployment.timing
    for (gateway, site), health in state.healths.items():
        if health.flapped_at is None:
            continue
        hold = hold_down(health, now, timing)
        if hold > 2 * timing.hold_down:
            text = f"{gateway} keeps failing for {site}; routes go back to it after {hold:g} healthy seconds."
            yield ("flapping", f"{gateway}/{site}"), Matter(text)


def _monitor_matters(state: State, evidence: Evidence, now: float) -> Iterator[tuple[Subject, Matter]]:
    """With several monitors: that they cannot agree, and that one of them is missing."""
    if not lease.needed(state.deployment):
        return
    age = now - state.started if evidence.store.age is None else evidence.store.age
    if age > lease.SECONDS:
        text = "The lease store cannot be read: this monitor swaps only the routes that it owns, and repairs nothing."
        yield ("lease-store-unreadable", ""), Matter(text)
        return  # nobody can be heard then
    for monitor in state.deployment.monitors:
        if monitor.name != state.monitor and monitor.name not in state.others:
            text = f"The monitor {monitor.name} does not say that it can act."
            yield ("monitor-silent", monitor.name), Matter(text, MONITOR_DELAY)


def result_notes(results: Iterable[SwapResult]) -> list[Note]:
    """One note for each swap that was accepted, and for each that carries nothing."""
    notes = []
    for result in results:
        if not result.accepted:
            continue
        swap, subject = result.swap, str(result.swap.key)
        facts = {
            "gateway": swap.gateway, "reason": swap.reason, "ms": round(result.milliseconds, 1),
            "carrying": result.carrying, "voluntary": swap.voluntary,
        }  # fmt: skip
        notes.append(Note("swap-accepted", subject, f"The route {subject} leads to {swap.gateway} now.", facts))
        if result.carrying is False:
            text = f"The route {subject} leads to {swap.gateway}, but the gateway sees none of its packets."
            notes.append(Note("not-carrying", subject, text, facts))
    return notes


def move_note(move: Move, evidence: Evidence) -> Note:
    """That routes are being moved, why, and on what evidence."""
    source, swaps = move.group.gateway or "", move.swaps
    code = "failover"
    if move.leave.voluntary:
        code = "failback" if move.leave.code == "failback" else "voluntary-move"
    text = (
        f"Moving {counted(swaps)} of zone {move.group.zone} for {move.group.site} from {source} to {move.target}: "
        f"{move.leave.text}"
    )
    facts: dict[str, object] = {
        "reason": move.leave.code,
        "from": source,
        "to": move.target,
        "zone": move.group.zone,
        "site": move.group.site,
        "count": len(swaps),
        "routes": [str(swap.key) for swap in swaps[:ROUTES_NAMED]],
        **seen_of(evidence, source),
    }
    return Note(code, source, text, facts)


def seen_of(evidence: Evidence, gateway: str) -> dict[str, object]:
    """The figures that a verdict on a gateway goes by."""
    managed = evidence.managed.get(gateway)
    if managed is not None:
        probes = {site: f"{probe.loss.lost}/{probe.loss.sent} lost" for site, probe in managed.probes.items()}
        return {"probes": probes, "witness": managed.witness or "nothing certain", "witness_age": managed.witness_age}
    seen: GatewayEvidence | None = evidence.gateways.get(gateway)
    if seen is None:
        return {}
    instance = evidence.ec2.instances.get(gateway) if evidence.ec2 is not None else None
    return {
        "heartbeats": f"{seen.heartbeat.lost}/{seen.heartbeat.sent} lost",
        "heartbeat_age": seen.heartbeat.last_answer_age,
        "icmp": f"{seen.icmp.lost}/{seen.icmp.sent} lost",
        "icmp_age": seen.icmp.last_answer_age,
        "ec2_state": instance.state if instance is not None else None,
        "drill": evidence.ec2.drill if evidence.ec2 is not None else None,
    }


def counted(routes: Sized) -> str:
    """How many routes there are, in words."""
    return f"{len(routes)} route{'' if len(routes) == 1 else 's'}"
