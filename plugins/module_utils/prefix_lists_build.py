# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the prefix lists of sites, keeps their entries in step, and deletes them.

EC2 changes a list behind its answer, one change at a time: each waits until the one before has settled. Its size is
changed by a call of its own, before entries that need it; it is never made smaller, since what a route table has room
for it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import prefix_lists, tags
from .errors import Ec2Error, VpnhaError
from .network_worker import NEW, Worker
from .prefix_lists import IPV6, Key, PrefixList, SiteList

AT_ONCE = 100  # entries that one call may add, and as many that it may remove
_PATIENCE = 60.0  # seconds for one change to settle
_PAUSE = 0.5
_OVERTAKEN = ("PrefixListVersionMismatch", "IncorrectState")  # somebody else is changing it too


def keep(
    worker: Worker, deployment: str, wanted: Sequence[SiteList], found: Mapping[Key, PrefixList]
) -> dict[Key, PrefixList]:
    """Sees to it that every wanted list is there with its entries; in check mode as it would be. Raises VpnhaError."""
    return {
        one.key: _in_step(worker, found[one.key], one.entries) if one.key in found else _make(worker, deployment, one)
        for one in wanted
        if one.entries or one.key in found
    }


def _make(worker: Worker, deployment: str, wanted: SiteList) -> PrefixList:
    name = f"{deployment}-{wanted.site}{'-ipv6' if wanted.family == IPV6 else ''}"
    tag = {"Name": name, tags.DEPLOYMENT: deployment, tags.MADE: deployment, tags.SITE: wanted.site}
    first = wanted.entries[:AT_ONCE]
    answer = worker.change(
        f"prefix list {name}", "", f"made with {', '.join(wanted.entries)}", "create_managed_prefix_list",
        PrefixListName=name, AddressFamily=wanted.family, MaxEntries=len(wanted.entries),
        Entries=[{"Cidr": cidr} for cidr in first],
        TagSpecifications=[{"ResourceType": "prefix-list", "Tags": tags.to_list(tag)}],
    )  # fmt: skip
    size = len(wanted.entries)
    made = PrefixList(f"{NEW} {name}", wanted.site, wanted.family, wanted.entries, 1, size, "create-complete")
    if answer is None:
        return made
    made = replace(made, id=str(answer["PrefixList"]["PrefixListId"]), entries=first, state="create-in-progress")
    return _in_step(worker, made, wanted.entries)


def _in_step(worker: Worker, known: PrefixList, entries: Sequence[str]) -> PrefixList:
    """A list with exactly these entries; what somebody else changes meanwhile is read, and brought in step as well."""
    last = Ec2Error("", "", "")
    for _attempt in range(5):
        if known.busy and not worker.check:
            known = _settled(worker, known)
        try:
            return _changed(worker, known, entries)
        except Ec2Error as error:
            if error.code not in _OVERTAKEN:
                raise
            worker.changes.pop()
            last = error
        known = _settled(worker, known)
    raise VpnhaError(f"The prefix list {known.id} of {known.site} is changed by somebody else all the time: {last}")


def _changed(worker: Worker, known: PrefixList, entries: Sequence[str]) -> PrefixList:
    subject = f"prefix list {known.id} ({known.site})"
    if known.state == "create-failed":
        raise VpnhaError(f"EC2 could not make the {subject}: {known.message} Delete it, and run this again.")
    if len(entries) > known.size:
        known = _modified(
            worker, known, f"room for {known.size}", f"room for {len(entries)} entries", MaxEntries=len(entries)
        )
    for adds, drops in _steps(known.entries, entries):
        before = f"without {', '.join(adds)}" if adds else f"with {', '.join(drops)}"
        after = [f"with {', '.join(adds)}"] if adds else []
        after += [f"without {', '.join(drops)}"] if drops else []
        more: dict[str, Any] = {"CurrentVersion": known.version}
        if adds:
            more["AddEntries"] = [{"Cidr": cidr} for cidr in adds]
        if drops:
            more["RemoveEntries"] = [{"Cidr": cidr} for cidr in drops]
        known = _modified(worker, known, before, " and ".join(after), **more)
    return replace(known, entries=tuple(sorted(entries))) if worker.check else known


def _steps(have: Sequence[str], want: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """What to add and remove, call by call; on the way there are never more entries than before and after."""
    adds = [cidr for cidr in want if cidr not in have]
    drops = [cidr for cidr in have if cidr not in want]
    for start in range(0, max(len(adds), len(drops)), AT_ONCE):
        yield adds[start : start + AT_ONCE], drops[start : start + AT_ONCE]


def _modified(worker: Worker, known: PrefixList, before: str, after: str, **change: Any) -> PrefixList:
    """The list once EC2 has done a change; VpnhaError with EC2's reason if it could not."""
    subject = f"prefix list {known.id} ({known.site})"
    worker.change(subject, before, after, "modify_managed_prefix_list", PrefixListId=known.id, **change)
    if worker.check:
        return known
    known = _settled(worker, known)
    if known.state.endswith("-failed"):
        raise VpnhaError(
            f"EC2 could not change the {subject}: {known.message or known.state} Every route table with a route to it "
            "needs room for as many routes as the list has for entries; raise the quota of routes per table, or "
            "describe fewer prefixes."
        )
    return known


def _settled(worker: Worker, known: PrefixList) -> PrefixList:
    """The list as it is once EC2 changes it no more. One that was made a moment ago may not be shown yet."""
    waited = 0.0
    while True:
        found = prefix_lists.read_one(worker.client, known)
        if found is not None and not found.busy:
            return found
        if waited >= _PATIENCE:
            state = found.state if found is not None else "not to be found"
            raise VpnhaError(
                f"The prefix list {known.id} of {known.site} is {state} after {_PATIENCE:.0f} s; run this again later."
            )
        worker.sleep(_PAUSE)
        waited += _PAUSE


def remove(worker: Worker, deployment: str) -> None:
    """Deletes all that were made for a deployment. No route may be left to any of them. Raises Ec2Error."""
    for (site, _family), item in prefix_lists.made(worker.client, deployment):
        delete(worker, str(item["PrefixListId"]), site)


def delete(worker: Worker, list_id: str, site: str) -> None:
    """Deletes a list. Raises Ec2Error, also while a route table refers to it."""
    worker.change(
        f"prefix list {list_id} ({site})", list_id, "deleted", "delete_managed_prefix_list", PrefixListId=list_id
    )
