# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a description says of the ways that need no internet: to AWS's APIs, and to Python's packages.

Both are for the roles and no part of the deployment: they are only checked here.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from .description_fields import Section, nearest, shown
from .endpoints import SERVICES

ELASTIC = ("gateways", "monitors")


def check_ways(top: Section) -> None:
    """Note what is wrong with them."""
    seen: set[str] = set()
    for where, service in top.items("vpnha_endpoints"):
        if service not in SERVICES:
            hint = nearest(str(service), SERVICES)
            mend = f"did you mean {hint}?" if hint else f"known are {', '.join(SERVICES)}."
            top.problems.add(where, f"{shown(service)} is no service that has an endpoint here; {mend}")
        elif service in seen:
            top.problems.add(where, f"{service} is named twice.")
        seen.add(str(service))
    if seen and not top.value.get("vpnha_monitors"):
        top.problem("vpnha_endpoints", "endpoints are made where monitors are, and there is none in vpnha_monitors.")
    for where, role in top.items("vpnha_elastic_ips"):
        if role not in ELASTIC:
            top.problems.add(where, f"{shown(role)} is unknown; write {' or '.join(ELASTIC)}, or [] for nobody.")
    _check_packages(top)


def _check_packages(top: Section) -> None:
    index = top.value.get("vpnha_pip_index_url")
    if index not in (None, "") and not _is_url(index):  # never show it, it may have a password
        top.problem("vpnha_pip_index_url", "this is no URL; write one like https://pypi.example.com/simple.")
    wheelhouse = top.text("vpnha_pip_wheelhouse", "")
    if wheelhouse and not (PurePosixPath(wheelhouse).is_absolute() or wheelhouse.startswith("~")):
        top.problem(
            "vpnha_pip_wheelhouse",
            f"{shown(wheelhouse)} is no absolute path; write one of this controller, like /srv/wheels or "
            "~/vpnha-wheels.",
        )
    if wheelhouse and top.given("vpnha_pip_index_url"):
        top.problem(
            "vpnha_pip_wheelhouse",
            "an index is given as well (vpnha_pip_index_url), which would be asked for nothing; remove one of them.",
        )


def _is_url(value: object) -> bool:
    try:
        parts = urlsplit(str(value))
        return isinstance(value, str) and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
