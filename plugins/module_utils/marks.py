# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting and clearing a person's marks in EC2: pins, pauses, running drills and freezes, each a tag.

Reading them is part of the one read of everything, see ``ec2_view``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, tags
from .ec2_view import read_view
from .errors import VpnhaError
from .model import Deployment, Ec2View, Pin

_PER_CALL = 500  # resources; EC2 takes 1000
_REASON_MOST = 100  # characters


def pin(client: Any, tables: Sequence[str], mark: Pin) -> None:
    """Pins route tables, replacing pins that they have. Raises Ec2Error."""
    set_tag(client, tables, tags.PIN, tags.format_pin(mark))


def unpin(client: Any, tables: Sequence[str]) -> None:
    """Clears the pins of route tables; a table without one is no error. Raises Ec2Error."""
    clear_tag(client, tables, tags.PIN)


def pause(client: Any, view: Ec2View, deployment: str, scope: str, mark: tags.Pause) -> str:
    """Pauses a scope, see `pause_place`; returns the id of what carries the tag. Raises VpnhaError."""
    resource, name = pause_place(view, deployment, scope)
    set_tag(client, [resource], name, tags.format_pause(mark))
    return resource


def resume(client: Any, view: Ec2View, deployment: str, scope: str) -> str:
    """Clears a scope's pause; returns the id of what carried the tag. Raises VpnhaError."""
    resource, name = pause_place(view, deployment, scope)
    clear_tag(client, [resource], name)
    return resource


def pause_place(view: Ec2View, deployment: str, scope: str) -> tuple[str, str]:
    """Where the pause of a scope stands: resource id and tag name.

    ``scope`` is "" for the whole deployment, a gateway's name, or a route table's id. Raises VpnhaError.
    """
    if not scope:
        return vpc_of(view), tags.pause_of(deployment)
    if scope in view.table_vpcs:
        return scope, tags.PAUSE
    instance = view.instances.get(scope)
    if instance is None:
        known = ", ".join([*sorted(view.instances), *sorted(view.table_vpcs)])
        raise VpnhaError(f"{scope} is neither a gateway nor a route table of the deployment, which has {known}.")
    if instance.eni_id is None:
        raise VpnhaError(f"{scope} has no network interface in EC2 to mark; run the deploy playbook to make it.")
    return instance.eni_id, tags.PAUSE


def vpc_of(view: Ec2View) -> str:
    """The deployment's VPC. Raises VpnhaError where EC2 shows none, or more than one."""
    if view.vpc_id is None:
        vpcs = sorted(set(view.table_vpcs.values()))
        if not vpcs:
            raise VpnhaError(
                "EC2 has no route table and no interface of this deployment; check its name and region, or deploy it."
            )
        raise VpnhaError(f"The deployment is spread over {', '.join(vpcs)}; give each VPC a deployment of its own.")
    return view.vpc_id


def set_tag(client: Any, resources: Sequence[str], name: str, value: str) -> None:
    """Sets one tag on many resources. Raises Ec2Error."""
    for chunk in _chunks(resources):
        tag = {"Key": name, "Value": value}
        ec2.call(f"setting the tag {name}", partial(client.create_tags, Resources=chunk, Tags=[tag]))


def clear_tag(client: Any, resources: Sequence[str], name: str) -> None:
    """Removes one tag from many resources, whatever its value. Raises Ec2Error."""
    for chunk in _chunks(resources):
        ec2.call(f"clearing the tag {name}", partial(client.delete_tags, Resources=chunk, Tags=[{"Key": name}]))


def _chunks(resources: Sequence[str]) -> list[list[str]]:
    ordered = list(resources)
    return [ordered[start : start + _PER_CALL] for start in range(0, len(ordered), _PER_CALL)]


# --- One mark, as the module deployment_mark wants it ----------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """A mark that shall be there, or not. ``scope`` is as `pause_place` has it, for a pin route table ids."""

    kind: str  # "pin", "pause", "drill" or "freeze"
    present: bool
    scope: tuple[str, ...] = ()
    gateway: str = ""
    seconds: float = 3600.0
    by: str = ""
    drill_id: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Applied:
    """What came of it."""

    changed: bool
    resources: list[str]
    value: str | None
    diff: dict[str, str]


def apply(client: Any, deployment: Deployment, mark: Mark, *, check: bool, wall: float) -> Applied:
    """Sets or clears a mark where that changes something. Raises VpnhaError before any change.

    ``wall``: what this host's clock shows now.
    """
    if problem := _mark_problem(deployment, mark):
        raise VpnhaError(problem)
    view = read_view(client, deployment)
    wall += ec2.CLOCK.skew  # the monitors go by AWS's clock
    places = _places(view, deployment.name, mark)
    found = ec2.pages(
        client, "describe_tags", "Tags", "reading the marks",
        Filters=[{"Name": "resource-id", "Values": sorted({resource for resource, _name in places})}],
    )  # fmt: skip
    have = {(tag["ResourceId"], tag["Key"]): tag["Value"] for tag in found}
    value = _value(mark, wall) if mark.present else None
    wrong = [
        place for place in places if not (_as_good(have.get(place), value) or _another_drill_s(have.get(place), mark))
    ]
    for name in {name for _resource, name in wrong} if not check else ():
        resources = [resource for resource, its in wrong if its == name]
        if value is None:
            clear_tag(client, resources, name)
        else:
            set_tag(client, resources, name, value)
    before = "".join(f"{resource} {name}: {have.get((resource, name), '')}\n" for resource, name in places)
    after = "".join(
        f"{place[0]} {place[1]}: {(value or '') if place in wrong else have.get(place, '')}\n" for place in places
    )
    return Applied(bool(wrong), [resource for resource, _name in places], value, {"before": before, "after": after})


def _mark_problem(deployment: Deployment, mark: Mark) -> str:
    names = [gateway.name for gateway in deployment.targets]
    problem = ""
    if mark.present and mark.seconds < 60:
        problem = "A mark must last at least one minute."
    elif mark.kind == "pin" and mark.present and mark.gateway not in names:
        problem = f'A pin needs a gateway of the deployment ({", ".join(names)}), not "{mark.gateway}".'
    elif mark.kind == "drill" and mark.present and not mark.drill_id:
        problem = "The mark of a drill needs drill_id."
    elif mark.kind in ("drill", "freeze") and mark.scope:
        problem = f"A {mark.kind} is always the whole deployment's, so scope must be empty."
    elif mark.kind == "freeze" and len(mark.reason) > _REASON_MOST:
        problem = f"The reason of a freeze has {len(mark.reason)} characters; {_REASON_MOST} are allowed."
    return problem


def _places(view: Ec2View, deployment: str, mark: Mark) -> list[tuple[str, str]]:
    """Where the tag stands: resource id and tag name."""
    if mark.kind == "drill":
        return [(vpc_of(view), tags.drill_of(deployment))]
    if mark.kind == "freeze":
        return [(vpc_of(view), tags.freeze_of(deployment))]
    if mark.kind == "pause":
        return [pause_place(view, deployment, scope) for scope in mark.scope or ("",)]
    for table in mark.scope:
        if table not in view.table_zones:
            raise VpnhaError(view.refused_tables.get(table, f"{table} is no route table of the deployment."))
    tables = mark.scope or sorted(view.table_zones)
    if not tables:
        raise VpnhaError("The deployment has no route table to pin.")
    return [(table, tags.PIN) for table in tables]


def _value(mark: Mark, wall: float) -> str:
    until = wall + mark.seconds
    if mark.kind == "pin":
        return tags.format_pin(Pin(mark.gateway, until, mark.by))
    if mark.kind == "drill":
        return tags.format_drill(tags.Drill(mark.drill_id, until))
    if mark.kind == "freeze":
        return tags.format_freeze(tags.Freeze(until, mark.reason, mark.by))
    return tags.format_pause(tags.Pause(until, mark.by))


def _another_drill_s(have: str | None, mark: Mark) -> bool:
    """Whether the mark of one drill shall go, and that of another stands."""
    if have is None or mark.present or mark.kind != "drill" or not mark.drill_id:
        return False
    return tags.parse_drill(have).id != tags.plain(mark.drill_id)


def _as_good(have: str | None, want: str | None) -> bool:
    """Whether a tag says what it should; an expiry less than a minute off is as good."""
    if have is None or want is None:
        return have == want
    has, wants = tags.parse_mark(have), tags.parse_mark(want)
    times = [fields.pop("expires", "") or fields.pop("until", "") for fields in (has, wants)]
    try:
        near = abs(tags.parse_time(times[0]) - tags.parse_time(times[1])) < 60
    except ValueError:
        near = False
    return near and has == wants
