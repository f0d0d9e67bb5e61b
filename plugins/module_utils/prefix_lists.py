# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prefix lists of a deployment as EC2 has them, found by their tags.

A site that is routed by them has one for each family of addresses that it has prefixes of: a list is of one family.

Making them and keeping them in step is in ``prefix_lists_build``. What a route for a list means beside routes for its
entries is EC2's rule: on what both match, the route for a CIDR comes first
(https://docs.aws.amazon.com/vpc/latest/userguide/route-tables-priority.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import ec2, tags
from .dual_stack import ipv4, ipv6
from .items import Item
from .model import Deployment

IPV4, IPV6 = "IPv4", "IPv6"  # EC2's words for a list's family
Key = tuple[str, str]  # a site and a family

_GOING = ("delete-in-progress", "delete-complete")


@dataclass(frozen=True)
class SiteList:
    """A site whose prefixes of one family shall be a prefix list."""

    site: str
    family: str
    entries: tuple[str, ...]  # none: it needs none, and one that is there is emptied

    @property
    def key(self) -> Key:
        """Which of a deployment's lists it is."""
        return self.site, self.family


@dataclass(frozen=True)
class PrefixList:
    """A prefix list of the deployment as one read of EC2 showed it."""

    id: str
    site: str
    family: str
    entries: tuple[str, ...]
    version: int
    size: int  # its MaxEntries, which is what counts against a route table's quota
    state: str  # EC2's words: "create-complete", "modify-in-progress"…
    message: str = ""  # why a change failed

    @property
    def key(self) -> Key:
        """Which of a deployment's lists it is."""
        return self.site, self.family

    @property
    def busy(self) -> bool:
        """Whether EC2 is still changing it, and would refuse another change."""
        return self.state.endswith("-in-progress")


def read(client: Any, deployment: str) -> dict[Key, PrefixList]:
    """The prefix lists that were made for a deployment. Raises Ec2Error."""
    return {key: _with_entries(client, item, key) for key, item in dict(made(client, deployment)).items()}


def read_all(client: Any, deployment: str) -> list[PrefixList]:
    """The same, and also those of which there is a later one. Raises Ec2Error."""
    return [_with_entries(client, item, key) for key, item in made(client, deployment)]


def read_one(client: Any, known: PrefixList) -> PrefixList | None:
    """The same list as it is now; None if EC2 does not show it. Raises Ec2Error."""
    found = ec2.pages(
        client, "describe_managed_prefix_lists", "PrefixLists", f"reading the prefix list of {known.site}",
        Filters=[{"Name": "prefix-list-id", "Values": [known.id]}],
    )  # fmt: skip
    return _with_entries(client, found[0], known.key) if found else None


def bound(client: Any, deployment: Deployment) -> Deployment:
    """The deployment with the ids of its sites' prefix lists; one that is not made yet stays as it is.

    Costs one call, and none where no site is routed by a prefix list. Raises Ec2Error.
    """
    if not any(site.by_prefix_list for site in deployment.sites):
        return deployment
    return with_ids(deployment, {key: str(item["PrefixListId"]) for key, item in made(client, deployment.name)})


def with_ids(deployment: Deployment, ids: Mapping[Key, str]) -> Deployment:
    """The deployment with these ids of the lists that its sites are routed by."""
    sites = tuple(
        replace(
            site,
            prefix_list=ids.get((site.name, IPV4), ""),
            prefix_list_ipv6=ids.get((site.name, IPV6), ""),
        )
        if site.by_prefix_list
        else site
        for site in deployment.sites
    )
    return replace(deployment, sites=sites)


def made(client: Any, deployment: str) -> list[tuple[Key, Item]]:
    """All that carry the tags of a list made for a site of the deployment; of two for the same, ours is the last.

    Raises Ec2Error.
    """
    # EC2 documents no filter by tag for this call: all are read, a hundred at most unless the quota was raised
    found = ec2.pages(client, "describe_managed_prefix_lists", "PrefixLists", "reading the prefix lists")
    ours: list[tuple[Key, Item]] = []
    for item in sorted(found, key=lambda one: str(one["PrefixListId"]), reverse=True):
        tag = tags.to_dict(item.get("Tags"))
        if tag.get(tags.MADE) == deployment and tags.SITE in tag and item.get("State") not in _GOING:
            ours.append(((tag[tags.SITE], str(item["AddressFamily"])), item))
    return ours


def sites_of(client: Any, deployment: str, destinations: Iterable[str]) -> dict[str, str]:
    """The sites of the prefix lists that were made for a deployment, by their ids. Asks only if a destination is one.

    Raises Ec2Error.
    """
    if not any(one.startswith("pl-") for one in destinations):
        return {}
    return {str(item["PrefixListId"]): site for (site, _family), item in made(client, deployment)}


def _with_entries(client: Any, item: Item, key: Key) -> PrefixList:
    list_id, (site, family) = str(item["PrefixListId"]), key
    entries = ec2.pages(
        client, "get_managed_prefix_list_entries", "Entries", f"reading the prefix list of {site}",
        PrefixListId=list_id, MaxResults=100,
    )  # fmt: skip
    return PrefixList(
        id=list_id,
        site=site,
        family=family,
        entries=tuple(sorted(entry["Cidr"] for entry in entries)),
        version=int(item.get("Version") or 0),
        size=int(item.get("MaxEntries") or 0),
        state=str(item["State"]),
        message=str(item.get("StateMessage") or ""),
    )


# --- Pure from here ------------------------------------------------------------------------------------------------


def of_site(site: str, prefixes: Sequence[str]) -> tuple[SiteList, ...]:
    """The lists of a site: one for each family, also for that which it has no prefix of."""
    return SiteList(site, IPV4, ipv4(prefixes)), SiteList(site, IPV6, ipv6(prefixes))


def named_by(tables: Iterable[Item]) -> bool:
    """Whether any route of these tables is for a prefix list and leads to an interface or a virtual private gateway.

    Else none is a list of ours. Routes to gateway endpoints are for prefix lists as well, and lead elsewhere.
    """
    return any(
        route.get("DestinationPrefixListId")
        and (route.get("NetworkInterfaceId") or str(route.get("GatewayId", "")).startswith("vgw-"))
        for table in tables
        for route in table.get("Routes", ())
    )


def beside(lists: Iterable[PrefixList]) -> dict[str, tuple[str, ...]]:
    """For each list its entries and for each entry its lists: whose routes are for the same packets."""
    found: dict[str, tuple[str, ...]] = {}
    for one in lists:
        found[one.id] = one.entries
        for entry in one.entries:  # a site that has got another name has two lists of the same for a while
            found[entry] = (*found.get(entry, ()), one.id)
    return found
