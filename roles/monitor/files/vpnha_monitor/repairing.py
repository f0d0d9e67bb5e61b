# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One repair at EC2: first the tag that tells of it, then the call. Each is tried twice at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, marks, pace, power, repair, replacement, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.model import WITHDRAWN, Repair, RepairResult, Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.state import State

_TOKEN_SECONDS = 0.05  # to wait for a token of EC2's limit: where there is none at hand, swaps need them


def carry_out(
    client: Any,
    one: Repair,
    bucket: pace.Tokens,
    still: Callable[[], str],
    *,
    claim: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> RepairResult:
    """What became of it. Nothing is begun where swaps have used up EC2's limit.

    ``still`` is asked before everything that is written and before the call: each may have taken its time. It says why
    the repair is not to be gone on with; nothing if it is. Where there are several monitors, ``claim`` is asked before
    the tag: False says that another one repairs.

    A monitor that ends between tag and call has lost a step of the budget, and never makes a second one of it. Raises
    VpnhaError where botocore cannot make the call.
    """
    marked: bool | None = one.mark is None
    if why := still():
        return RepairResult(one, marked, False, WITHDRAWN, why)
    calls = 1 if one.mark is None else 2  # the tag is one as well; a second try of either is not counted
    if not bucket.acquire(clock() + _TOKEN_SECONDS, count=calls):
        return RepairResult(one, False, False, "RequestLimitExceeded", "The calls are needed for swaps.")
    if claim is not None:
        try:
            if not claim():
                return RepairResult(one, marked, False, "claimed", "Another monitor has the lease, or repairs.")
        except Ec2Error as error:
            return RepairResult(one, marked, False, error.code, str(error))
    if why := still():
        return RepairResult(one, marked, False, WITHDRAWN, why)
    if one.mark is not None:
        try:
            marks.set_tag(client, [one.eni_id], tags.REPAIR, tags.format_repair(one.mark))
            marked = True
        except Ec2Error as error:
            return RepairResult(one, error.applied, False, error.code, str(error))
        if why := still():
            return RepairResult(one, marked, False, WITHDRAWN, why)
    try:
        _call(client, one)
    except Ec2Error as error:
        return RepairResult(one, marked, error.applied, error.code, str(error))
    return RepairResult(one, marked, True)


def unwanted(state: State, one: Repair) -> str:
    """Why a repair that was ordered a while ago is not to be gone on with; empty if it is. For threads."""
    flight, judgement = state.repairs.flight, state.verdicts.gateways.get(one.gateway)
    if flight is None or flight.repair != one:
        return "It is not waited for any longer."
    if judgement is not None and judgement.verdict in (Verdict.UP, Verdict.GREY):
        return f"{one.gateway} works again."
    return ""


def _call(client: Any, one: Repair) -> None:
    if one.rung == repair.LAUNCH:
        replacement.launch(client, one.gateway, one.template, one.token)
        return
    if one.rung == repair.TERMINATE:
        replacement.terminate(client, one.gateway, one.instance_id)
        return
    request: dict[str, Any] = {"InstanceIds": [one.instance_id]}
    function = client.stop_instances
    if one.rung == repair.REBOOT:
        function = client.reboot_instances
    elif one.rung == repair.START:
        function = client.start_instances
    elif one.rung == repair.POWER_CUT:
        power.require_power_cut(client)
        request |= {"Force": True, "SkipOsShutdown": True}
    ec2.call(f"{one.rung} of the instance of gateway {one.gateway}", partial(function, **request))
