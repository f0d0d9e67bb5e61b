# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that keeps the role ``runtime`` from asking pip for what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion

    HAS_PACKAGING = True
except ImportError:  # only where ansible-core itself is not installed whole
    HAS_PACKAGING = False


def unmet_requirements(wanted: Iterable[str], installed: Iterable[str]) -> list[str]:
    """Those of the requirements that the installed distributions (``name==version``) do not meet.

    What only pip can judge counts as unmet: an address or a path, extras, a marker, a version in another scheme.
    """
    if not HAS_PACKAGING:
        raise AnsibleFilterError(
            "unmet_requirements needs the Python library packaging, which ansible-core needs as well."
        )
    pairs = (line.partition("==") for line in installed)
    versions = {canonicalize_name(name): version for name, _equals, version in pairs}
    return [one for one in wanted if not _met(str(one), versions)]


def _met(wanted: str, versions: Mapping[str, str]) -> bool:
    try:
        requirement = Requirement(wanted)
        if requirement.url or requirement.extras or requirement.marker:
            return False
        version = versions.get(canonicalize_name(requirement.name))
        return version is not None and requirement.specifier.contains(version, prereleases=True)
    except (InvalidRequirement, InvalidVersion):
        return False


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by name."""
        return {"unmet_requirements": unmet_requirements}
