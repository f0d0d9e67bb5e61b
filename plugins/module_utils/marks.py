# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting and clearing a person's marks in EC2: pins, pauses and running drills, each a tag.

Reading them is part of the one read of everything, see ``ec2_view``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import VpnhaError
from .model import Ec2View, Pin

_PER_CALL = 500  # resources; EC2 takes 1000


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


def start_drill(client: Any, view: Ec2View, deployment: str, mark: tags.Drill) -> str:
    """Says that a drill is running; returns the VPC's id. Raises VpnhaError."""
    set_tag(client, [vpc_of(view)], tags.drill_of(deployment), tags.format_drill(mark))
    return vpc_of(view)


def end_drill(client: Any, view: Ec2View, deployment: str) -> str:
    """Says that no drill is running any more; returns the VPC's id. Raises VpnhaError."""
    clear_tag(client, [vpc_of(view)], tags.drill_of(deployment))
    return vpc_of(view)


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
