# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Customer-managed prefix lists as EC2 has them: versions, sizes, changes that take a moment, and what they refuse."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from lab.api.mends import refuse

READS = 2  # a list that was made or changed is "…-in-progress" until it is read so many times
AT_ONCE = 100  # entries in one call


def apply() -> None:
    """Mend moto, whose lists are always settled."""
    from moto.ec2.models.managed_prefixes import ManagedPrefixList

    def state(self: Any) -> str:
        said = str(self.__dict__["state"])
        return said.replace("-complete", "-in-progress") if self.unread else said

    def set_state(self: Any, value: str) -> None:
        self.__dict__.update(state=value, unread=READS)

    ManagedPrefixList.unread = 0
    ManagedPrefixList.state = property(state, set_state)


class PrefixListActions(EC2Response):  # type: ignore[misc]
    """The overridden actions; each answers like moto's method of the same name."""

    def create_managed_prefix_list(self) -> ActionResult:
        entries, size = self._get_param("Entries", []), int(self._get_param("MaxEntries"))
        _require_few(entries)
        _require_family(entries, self._get_param("AddressFamily"))
        if len(entries) > size:
            refuse("PrefixListMaxEntriesExceeded", f"{len(entries)} entries are more than the {size} of the list.")
        return super().create_managed_prefix_list()

    def describe_managed_prefix_lists(self) -> ActionResult:
        asked = self._get_param("PrefixListIds", []) or list(self.ec2_backend.managed_prefix_lists)
        for listed in (self.ec2_backend.managed_prefix_lists.get(each) for each in asked):
            if listed is not None:
                listed.unread = max(0, listed.unread - 1)
        return super().describe_managed_prefix_lists()

    def modify_managed_prefix_list(self) -> ActionResult:
        listed = self._listed()
        adds, drops = self._get_param("AddEntries", []), self._get_param("RemoveEntries", [])
        size, name = self._get_param("MaxEntries"), self._get_param("PrefixListName")
        if listed.state.endswith("-in-progress"):
            refuse("IncorrectState", f"The prefix list is in the current state ({listed.state}).")
        if size and (adds or drops):
            refuse("InvalidParameterCombination", "A list's size and its entries are not changed at the same time.")
        _require_few(adds)
        _require_few(drops)
        _require_family(adds, listed.address_family)
        have = {entry["Cidr"] for entry in listed.entries.get(listed.version) or []}
        wanted = have - {entry["Cidr"] for entry in drops} | {entry["Cidr"] for entry in adds}
        if len(wanted) > int(size or listed.max_entries):
            refuse("PrefixListMaxEntriesExceeded", "The list would have more entries than it has room for.")
        if adds or drops:
            if int(self._get_param("CurrentVersion") or 0) != listed.version:
                refuse("PrefixListVersionMismatch", "The prefix list has the incorrect version number.")
            super().modify_managed_prefix_list()
            listed.prefix_list_name = name or self._name
        else:
            listed.max_entries, listed.prefix_list_name = size or listed.max_entries, name or listed.prefix_list_name
            listed.state = "modify-complete"
        return ActionResult({"PrefixList": listed})

    def delete_managed_prefix_list(self) -> ActionResult:
        listed = self._listed()
        for table in self.ec2_backend.route_tables.values():
            if any(route.destination_prefix_list is listed for route in table.routes):
                refuse("DependencyViolation", f"The prefix list {listed.id} is used by {table.id}.")
        return super().delete_managed_prefix_list()

    def _listed(self) -> Any:
        list_id = self._get_param("PrefixListId")
        listed = self.ec2_backend.managed_prefix_lists.get(list_id)
        if listed is None or listed.owner_id == "AWS":
            refuse("InvalidPrefixListID.NotFound", f"The prefix list ID '{list_id}' does not exist")
        self._name = listed.prefix_list_name  # moto forgets it where it is not given
        return listed


def _require_family(entries: list[Any], family: str) -> None:
    for cidr in (entry["Cidr"] for entry in entries):
        if (":" in cidr) != (family == "IPv6"):
            refuse("InvalidParameterValue", f"The CIDR {cidr} is not of the list's address family, {family}.")


def _require_few(entries: list[Any]) -> None:
    if len(entries) > AT_ONCE:
        refuse("InvalidParameterValue", f"A call takes at most {AT_ONCE} entries.")
