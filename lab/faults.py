# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults from outside the product, each with an id under which it is listed and taken back.

Packets: nftables tables of our own, in an instance's card (outside the host, so that a role or a reboot does not touch
them) or in a site host's namespace. Processes: signals by systemd. EC2's API: rules of microburst, and the endpoint's
own settings. What is in force stands in ``<state>/run/faults/<id>.json``.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

from lab import endpoint, registry, siteboot
from lab.errors import LabError
from lab.hosts import Hosts
from lab.names import Names
from lab.net import cards, netns

Direction = Literal["both", "in", "out"]  # as the named host sees it

_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")


@dataclass(frozen=True)
class Options:
    """What every fault can be given; what a kind has no use for is refused."""

    direction: Direction | None = None
    peer: str | None = None  # only packets from and to this host or address
    action: str | None = None  # only this EC2 action, or that of another service: "dynamodb:Query", "dynamodb:"
    side: endpoint.Side | None = None  # only requests of the controller, or of the hosts
    times: int | None = None  # only this often


@dataclass
class Fault:
    """One fault in force."""

    id: str
    kind: str
    args: list[str]
    options: dict[str, Any]
    since: float  # seconds since the epoch
    nft: dict[str, str] = field(default_factory=dict)  # namespace -> script of our table
    rules: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # side -> rules of microburst
    undo: list[str] = field(default_factory=list)  # host id and the command that takes it back there
    before: dict[str, Any] = field(default_factory=dict)  # settings of the endpoint as they were


@dataclass(frozen=True)
class Kind:
    """One kind of fault: its arguments, what it does, which options it takes, how it is made."""

    usage: str
    says: str
    options: tuple[str, ...]
    make: Callable[[Names, Fault, Options], None]


def add(names: Names, kind: str, args: Sequence[str], options: Options, fault_id: str | None = None) -> Fault:
    """Bring a fault into force. Raises LabError with what is wrong; nothing is in force then."""
    if kind not in KINDS:
        raise LabError(f"There is no fault called {kind!r}: there are {', '.join(KINDS)}.")
    known = KINDS[kind]
    wanted = known.usage.split()
    if not len([word for word in wanted if not word.startswith("[")]) <= len(args) <= len(wanted):
        raise LabError(
            f"The fault {kind} takes {known.usage or 'no arguments'}, but was given {' '.join(args) or 'none'}."
        )
    given = {key: value for key, value in asdict(options).items() if value is not None}
    if useless := [key for key in given if key not in known.options]:
        raise LabError(f"The fault {kind} has no use for --{useless[0]}.")
    fault_id = fault_id or re.sub(r"[^a-z0-9.-]", "-", "-".join([kind, *args, *map(str, given.values())]).lower())[:60]
    if not _ID.fullmatch(fault_id):
        raise LabError(f"The fault's id {fault_id!r} is not usable: take lower-case letters, digits, dots and dashes.")
    if _file(names, fault_id).exists():
        raise LabError(f"The fault {fault_id} is in force already: clear it first, or give another one with --id.")
    fault = Fault(fault_id, kind, list(args), given, time.time())
    known.make(names, fault, options)
    _file(names, fault_id).parent.mkdir(parents=True, exist_ok=True)
    _file(names, fault_id).write_text(json.dumps(asdict(fault)), encoding="utf-8")
    try:
        _apply_packets(fault)
        if fault.rules:
            push_api_faults(names)
    except BaseException:
        clear(names, fault_id)
        raise
    return fault


def in_force(names: Names) -> list[Fault]:
    """All faults, oldest first."""
    found = [Fault(**json.loads(path.read_text(encoding="utf-8"))) for path in _directory(names).glob("*.json")]
    return sorted(found, key=lambda fault: fault.since)


def clear(names: Names, fault_id: str) -> None:
    """Take a fault back. Raises LabError when there is none of that id."""
    path = _file(names, fault_id)
    if not path.exists():
        known = ", ".join(fault.id for fault in in_force(names)) or "none"
        raise LabError(f"There is no fault {fault_id!r} in force: there are {known}.")
    fault = Fault(**json.loads(path.read_text(encoding="utf-8")))
    for where in fault.nft:
        if netns.exists(where):  # a fault goes with the namespace it was in
            netns.nft(where, f"table inet {_table(fault_id)}\ndelete table inet {_table(fault_id)}\n")
    path.unlink()
    if fault.rules:
        push_api_faults(names)
    if fault.before:
        endpoint.settings(names, fault.before)
    if fault.undo and Hosts(names).state(fault.undo[0]) == "running":
        Hosts(names).run(fault.undo[0], fault.undo[1:])


def push_api_faults(names: Names) -> None:
    """Let the proxies have the rules of all faults in force; each is replaced as a whole."""
    newest_first = in_force(names)[::-1]
    for side in endpoint.SIDES:
        endpoint.set_rules(names, side, _adding_up([r for fault in newest_first for r in fault.rules.get(side, [])]))


def _adding_up(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rules so that a delay of all requests holds beside others: the proxy takes the first rule that fits only."""
    delays = [rule["latency"] for rule in rules if rule.keys() == {"service", "latency"} and rule["service"] == "*"]
    return [{"latency": delays[0], **rule} if delays else dict(rule) for rule in rules]


def reapply(names: Names, where: str) -> None:
    """Bring packet faults of a namespace that was made anew into force again."""
    for fault in in_force(names):
        if where in fault.nft:
            netns.nft(where, fault.nft[where])


def _directory(names: Names) -> Path:
    return names.run / "faults"


def _file(names: Names, fault_id: str) -> Path:
    return _directory(names) / f"{fault_id}.json"


def _table(fault_id: str) -> str:
    return f"vpnha-fault-{fault_id}"


def _apply_packets(fault: Fault) -> None:
    for where, script in fault.nft.items():
        netns.nft(where, script)


# --- Packets -----------------------------------------------------------------------------------------------

_IKE_PORTS = "{ 500, 4500 }"
# In UDP 4500 the four bytes after the UDP header are zero before IKE and the SPI of ESP otherwise.
_MATCHES = {
    "tunnel-block": ["meta l4proto esp", f"udp dport {_IKE_PORTS}", f"udp sport {_IKE_PORTS}"],
    "esp-block": [
        "meta l4proto esp", "udp dport 4500 @th,64,32 != 0", "udp sport 4500 udp dport != 4500 @th,64,32 != 0",
    ],
    "ike-block": [
        "udp dport 500", "udp sport 500", "udp dport 4500 @th,64,32 0", "udp sport 4500 udp dport != 4500 @th,64,32 0",
    ],
    "cut": [""],
    "blackout": [""],
}  # fmt: skip


def _packets(names: Names, fault: Fault, options: Options) -> None:
    peer: str | None
    lasting = ""
    if fault.kind in ("loss", "mtu"):
        limit = _number(fault.args[1], "percent" if fault.kind == "loss" else "bytes")
        if fault.kind == "loss":
            if not 0.01 <= limit <= 100:
                raise LabError(f"A loss of {fault.args[1]} percent is not possible: give a number from 0.01 to 100.")
            matches = [f"numgen random mod 10000 < {round(limit * 100)}" if limit < 100 else ""]
        else:
            matches = [f"meta l4proto {{ udp, esp }} meta length > {round(limit)}"]
        peer = options.peer
    elif fault.kind == "blackout":
        matches = _MATCHES["blackout"]
        peer = options.peer
        if len(fault.args) > 1:
            lasting, matches = _lasting(_number(fault.args[1], "milliseconds")), ["ip daddr @while"]
    else:
        matches = _MATCHES[fault.kind]
        peer = fault.args[1] if len(fault.args) > 1 else options.peer
    inside = _is_instance(names, fault.args[0])
    other = _address(names, peer, public=not inside) if peer else None
    for where in _places(names, fault.args[0]):
        fault.nft[where] = _script(
            fault.id, inside, options.direction or "both", other=other, matches=matches, lasting=lasting
        )


def _vpn(names: Names, fault: Fault, options: Options) -> None:
    """At AWS's ends of the tunnels: whoever is at the other end."""
    site, *number = fault.args
    if number not in ([], ["1"], ["2"]):
        raise LabError(f"A managed VPN has no tunnel {number[0]!r}: give 1, 2, or neither for both.")
    for each in number or ["1", "2"]:
        _host_id, entry = registry.find(names, f"vgw-{site}-{each}")
        fault.nft[entry["netns"]] = _script(
            fault.id,
            False,
            options.direction or "both",
            other=None,
            matches=_MATCHES["tunnel-block"],
            lasting="",
        )


def _lasting(milliseconds: float) -> str:
    """A set that holds every address for so long: the kernel ends the fault, to the millisecond."""
    if not 1 <= milliseconds <= 60_000:
        raise LabError(f"A blackout of {milliseconds:g} milliseconds is not possible: give a number from 1 to 60000.")
    halves = ", ".join(f"{half} timeout {round(milliseconds)}ms" for half in ("0.0.0.0/1", "128.0.0.0/1"))
    return f"set while {{ type ipv4_addr; flags interval,timeout; elements = {{ {halves} }}; }}"


def _script(
    fault_id: str, inside: bool, direction: Direction, *, other: str | None, matches: Sequence[str], lasting: str
) -> str:
    """The table. An instance's packets all pass its card's prerouting; what a site's host sends, by postrouting."""
    towards = ("prerouting", 'iifname "r0"' if inside else 'iifname != "lo"', f"ip saddr {other}" if other else "")
    away = (
        "prerouting" if inside else "postrouting",
        'iifname "h0"' if inside else 'oifname != "lo"',
        f"ip daddr {other}" if other else "",
    )
    ways = {"both": [towards, away], "in": [towards], "out": [away]}[direction]
    lines = [f"table inet {_table(fault_id)} {{", *([lasting] if lasting else [])]
    for number, (hook, interface, address) in enumerate(ways):
        rules = [" ".join(f"{interface} {address} {match} counter drop".split()) for match in matches]
        lines += [f"chain way{number} {{", f"type filter hook {hook} priority -310; policy accept;", *rules, "}"]
    return "\n".join([*lines, "}", ""])


def _places(names: Names, host: str) -> list[str]:
    host_id, entry = registry.find(names, host)
    if entry["kind"] in ("site", "vpn"):
        return [entry["netns"]]
    for instance in endpoint.instances(names):
        if instance["id"] == host_id:
            return [cards.card(names, eni) for eni in instance["interfaces"]]
    raise LabError(f"EC2 has no instance {host_id} any more.")


def _is_instance(names: Names, host: str) -> bool:
    return registry.find(names, host)[1]["kind"] == "ec2"


def _address(names: Names, peer: str, *, public: bool) -> str:
    """An address, or that of a host: of an instance the private one, or the ``public`` one as a site sees it."""
    try:
        return str(IPv4Address(peer))
    except ValueError:
        host_id, entry = registry.find(names, peer)
    if entry["kind"] == "vpn":
        return entry["address"]
    if entry["kind"] == "site":
        return siteboot.addresses(siteboot.deployment_variables(names))[entry["name"]]
    for instance in endpoint.instances(names):
        if instance["id"] == host_id and (found := instance["public" if public else "addresses"]):
            return str(found[0])
    raise LabError(f"The host {peer} has no {'public ' if public else ''}address.")


def _number(text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise LabError(f"{text!r} is no number of {unit}.") from None


# --- Processes ---------------------------------------------------------------------------------------------


def _signal(names: Names, fault: Fault, _: Options) -> None:
    host, unit, name = fault.args
    name = name.upper().removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__:
        raise LabError(f"There is no signal {fault.args[2]!r}: give one such as KILL, STOP, TERM, HUP.")
    host_id, _entry = registry.find(names, host)
    back = ["systemctl", "kill", "--signal=SIGCONT", unit] if name == "STOP" else ["systemctl", "start", unit]
    Hosts(names).run(host_id, ["systemctl", "kill", f"--signal=SIG{name}", unit])
    fault.undo = [host_id, *back]


def _unit_stop(names: Names, fault: Fault, _: Options) -> None:
    host_id, _entry = registry.find(names, fault.args[0])
    Hosts(names).run(host_id, ["systemctl", "stop", fault.args[1]])
    fault.undo = [host_id, "systemctl", "start", fault.args[1]]


# --- EC2's API ---------------------------------------------------------------------------------------------


def _api(effect: Callable[[Sequence[str]], Mapping[str, Any]]) -> Callable[[Names, Fault, Options], None]:
    def make(names: Names, fault: Fault, options: Options) -> None:
        service, _colon, operation = (options.action or "*:").rpartition(":")
        rule: dict[str, Any] = {"service": service or "ec2", **effect(fault.args)}
        rule |= {"operation": operation} if operation else {}
        rule |= {"times": options.times} if options.times else {}
        for side in [options.side] if options.side else endpoint.SIDES:
            fault.rules[side] = [rule]

    return make


def _error(args: Sequence[str]) -> Mapping[str, Any]:
    return {"error": {"code": args[0], "status": int(_number(args[1], "an HTTP status")) if len(args) > 1 else 400}}


def _setting(names: Names, fault: Fault, _: Options) -> None:
    key, text = fault.args
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    now = endpoint.settings(names)
    endpoint.settings(names, {key: value})
    fault.before = {key: now[key]}


_TO_PEER = "only packets between the two that are ESP or IKE"
_DIRECTED = ("direction",)
_REQUESTS = ("action", "side", "times")

KINDS: dict[str, Kind] = {
    "tunnel-block": Kind("HOST PEER", f"drop the tunnel: {_TO_PEER}", _DIRECTED, _packets),
    "esp-block": Kind("HOST PEER", "drop ESP, let IKE pass", _DIRECTED, _packets),
    "ike-block": Kind("HOST PEER", "drop IKE, let ESP pass", _DIRECTED, _packets),
    "cut": Kind("HOST OTHER", "drop every packet between the two", _DIRECTED, _packets),
    "blackout": Kind("HOST [MILLISECONDS]", "drop every packet of the host, for so long", _DIRECTED, _packets),
    "loss": Kind("HOST PERCENT", "drop packets at random", ("direction", "peer"), _packets),
    "mtu": Kind("HOST BYTES", "drop UDP and ESP packets that are longer", ("direction", "peer"), _packets),
    "vpn-block": Kind("SITE [1|2]", "drop one tunnel of a site's managed VPN, or both", _DIRECTED, _vpn),
    "signal": Kind("HOST UNIT SIGNAL", "send a signal to all of a service (taken back: SIGCONT or start)", (), _signal),
    "unit-stop": Kind("HOST UNIT", "stop a service (taken back: start)", (), _unit_stop),
    "api-latency": Kind(
        "MILLISECONDS", "delay requests", _REQUESTS, _api(lambda args: {"latency": _number(args[0], "milliseconds")})
    ),
    "api-throttle": Kind(
        "",
        "RequestLimitExceeded",
        _REQUESTS,
        _api(lambda _: {"error": {"code": "RequestLimitExceeded", "status": 503}}),
    ),
    "api-error": Kind("CODE [STATUS]", "an error of EC2 that was not applied", _REQUESTS, _api(_error)),
    "api-reset": Kind("", "reset the connection, not applied", _REQUESTS, _api(lambda _: {"reset": True})),
    "api-abort": Kind(
        "", "applied, but the answer is lost", _REQUESTS, _api(lambda _: {"response": {"abort_bytes": 0}})
    ),
    "api-timeout": Kind(
        "MILLISECONDS",
        "hold the request, then 504, not applied",
        _REQUESTS,
        _api(lambda args: {"timeout_ms": _number(args[0], "milliseconds")}),
    ),
    "setting": Kind("KEY VALUE", "change a setting of the endpoint, such as route_propagation 1", (), _setting),
}
