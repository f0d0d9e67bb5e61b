#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_handover
short_description: Hand a gateway's traffic over to its neighbours without loss, and take it back
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Runs on a gateway. With O(state=handed_over) its agent makes all its tunnels the last choice, by BGP, in both
    directions. What comes from the VPC is passed on to another gateway, and the sites send to that one. Routes in EC2,
    pins and pauses are not touched.
  - The module returns when no packet of a site has passed the gateway's own tunnels for O(quiet_seconds). Its tunnels
    can be closed then without a packet being lost.
  - Refuses, before anything is touched, when a site that this gateway reaches by its own tunnels has no way through
    another gateway.
  - Peers without BGP are made to send elsewhere by leaving their pings of the inside address unanswered.
  - The agent takes everything back by itself after O(seconds), whatever becomes of the controller, and with a reboot.
attributes:
  check_mode:
    description: Only looks whether another gateway could take over.
    support: full
  diff_mode:
    description: There is no state worth comparing.
    support: none
options:
  state:
    description:
      - V(handed_over) hands over and waits until nothing passes the tunnels any more.
      - V(given_back) has the gateway carry its traffic itself again, and waits until it does.
    type: str
    choices: [handed_over, given_back]
    required: true
  seconds:
    description: The longest time for which the agent keeps it up by itself.
    type: int
    default: 900
  timeout:
    description: How many seconds to wait for what O(state) promises.
    type: int
    default: 30
  quiet_seconds:
    description: For how long no packet may have passed the tunnels.
    type: float
    default: 1.0
  force:
    description: Go on where no other gateway can take over, or where packets still pass after O(timeout).
    type: bool
    default: false
  prefixes:
    description: >-
      With O(state=given_back), the prefixes of sites that this gateway has to reach by its own tunnels again, as
      RV(prefixes) had them. Without any, nothing is waited for.
    type: list
    elements: str
    default: []
  deployed:
    description:
      - The prefixes of all sites in the description that is being deployed. What has been taken out of it is not looked
        at any more, since no other gateway may have it any longer.
      - If omitted, all that the gateway's present configuration has.
    type: list
    elements: str
  keep:
    description:
      - Those of O(deployed) to which this gateway has tunnels in the description that is being deployed. The others are
        handed over and not waited for afterwards.
      - If omitted, all.
    type: list
    elements: str
  config:
    description: The agent's configuration on the gateway.
    type: path
    default: /etc/vpnha/agent.json
seealso:
  - module: vpnha.aws.route_swap
  - module: vpnha.aws.vpn_health_info
"""

EXAMPLES = r"""
- name: Send everything through the other gateways
  vpnha.aws.gateway_handover:
    state: handed_over
  register: handed

- name: Close and open the tunnels
  ansible.builtin.systemd_service:
    name: strongswan.service
    state: restarted

- name: Carry everything again
  vpnha.aws.gateway_handover:
    state: given_back
    prefixes: "{{ handed.prefixes }}"
    timeout: 60
"""

RETURN = r"""
prefixes:
  description: >-
    The prefixes of sites that this gateway reached by its own tunnels and handed over, as far as O(keep) has them.
    Those that went through another gateway before, without having been handed over, are not among them.
  returned: with O(state=handed_over)
  type: list
  elements: str
  sample: [192.168.10.0/24]
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 1.6
still:
  description: What still passed its tunnels, in words; only with O(force=true) there may be something.
  returned: with O(state=handed_over)
  type: list
  elements: str
  sample: []
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vpnha.aws.plugins.module_utils import dual_stack, handover
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

TABLE = "vpnha_handover_seen"
POLL_SECONDS = 0.1


class Gateway:
    """This host: its BGP table and its packets."""

    def __init__(self, module: AnsibleModule) -> None:
        self.request = handover.REQUEST
        self._module = module
        path = module.params["config"]
        try:
            self.name, self.sites = handover.described(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise VpnhaError(f"{path} cannot be read ({error.strerror}): run this on a gateway, as root.") from None

    def ways(self) -> list[handover.Way]:
        """How it reaches each prefix now."""
        families = ["ipv4"]
        if any(dual_stack.ipv6(prefixes) for prefixes in self.sites.values()):
            families.append("ipv6")
        tables = [self._run("vtysh", "-d", "bgpd", "-c", f"show bgp {family} unicast json") for family in families]
        return [way for table in tables for way in handover.ways(table, self.sites)]

    def count(self) -> None:
        """Begin to count what passes the tunnels."""
        deployed = self._module.params["deployed"]
        sites = {
            site: [prefix for prefix in prefixes if deployed is None or handover.overlaps(prefix, deployed)]
            for site, prefixes in self.sites.items()
        }
        self._run("nft", "-f", "-", data=handover.counting(sites, TABLE))

    def counted(self) -> dict[handover.Flow, int]:
        """What has passed since."""
        return handover.counted(self._run("nft", "-j", "list", "counters", "table", "inet", TABLE))

    def count_no_more(self) -> None:
        """Leave nothing of the counting."""
        self._module.run_command(["nft", "delete", "table", "inet", TABLE])

    def _run(self, *command: str, data: str | None = None) -> str:
        code, out, err = self._module.run_command(list(command), data=data)
        if code != 0:
            said = (err or out).strip().partition("\n")[0] or f"exit code {code}"
            raise VpnhaError(f"{' '.join(command[:2])} on {self.name}: {said}")
        return str(out)


def hand_over(gateway: Gateway, params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Hand over and wait until nothing passes. Raises VpnhaError; then the gateway carries its traffic as before."""
    ways, keep = looked_at(gateway, params), params["keep"]
    until = time.monotonic() + (0 if check else params["timeout"])  # a neighbour may be about to come back
    while not params["force"] and (refused := handover.refusals(gateway.name, ways, keep)):
        if time.monotonic() >= until:
            raise VpnhaError(" ".join(refused))
        time.sleep(POLL_SECONDS)
        ways = looked_at(gateway, params)
    prefixes = [way.prefix for way in ways if way.own]
    # what went another way by itself need not come back: its tunnel may lose packets, or its site prefers another
    asked = bool(handover.requested(gateway.request))
    carried = [way.prefix for way in ways if way.own_best or (way.own and asked)]
    kept = [prefix for prefix in carried if keep is None or handover.overlaps(prefix, keep)]
    result = {"changed": bool(prefixes), "prefixes": kept, "seconds": 0.0, "still": []}
    if check or not prefixes:
        return result
    began = time.monotonic()
    try:
        gateway.count()
        handover.ask(params["seconds"], gateway.request)
        left = until_quiet(gateway, params, prefixes, began)
    except BaseException:
        handover.withdraw(gateway.request)
        raise
    finally:
        gateway.count_no_more()
    if left and not params["force"]:
        handover.withdraw(gateway.request)
        raise VpnhaError(
            f"{gateway.name} has not handed over within {params['timeout']} s: {', and '.join(left)}. "
            "It carries its traffic as before."
        )
    return {**result, "seconds": round(time.monotonic() - began, 1), "still": left}


def looked_at(gateway: Gateway, params: dict[str, Any]) -> list[handover.Way]:
    """The ways to what stays in the deployment."""
    deployed = params["deployed"]
    return [way for way in gateway.ways() if deployed is None or handover.overlaps(way.prefix, deployed)]


def until_quiet(gateway: Gateway, params: dict[str, Any], prefixes: list[str], began: float) -> list[str]:
    """Wait until all goes another way and nothing passes; what still does when the time is over, in words."""
    quiet, wanted = handover.Quiet(began), params["quiet_seconds"]
    turned = began  # when the last prefix was seen to go another way: the sites are told at the same time
    while True:
        kept = [way.prefix for way in gateway.ways() if way.prefix in prefixes and not way.neighbour_best]
        quiet.update(gateway.counted(), time.monotonic())
        now = time.monotonic()
        turned = now if kept else turned
        if not kept and min(quiet.seconds(now), now - turned) >= wanted:
            return []
        if now - began > params["timeout"]:
            busy = [flow.sentence(gateway.name) for flow in quiet.busy(now, wanted)]
            return busy or [
                f"its agent does not send {', '.join(kept)} another way (it may not run, or be older than this)"
            ]
        time.sleep(POLL_SECONDS)


def give_back(gateway: Gateway, params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Withdraw the request and wait until the gateway carries those prefixes itself. Raises VpnhaError."""
    asked = gateway.request.exists()
    if check:
        return {"changed": asked, "seconds": 0.0}
    began = time.monotonic()
    handover.withdraw(gateway.request)
    while True:
        ways = gateway.ways() if params["prefixes"] else []
        missing = handover.missing(params["prefixes"], ways, params["keep"])
        if not missing:
            return {"changed": asked, "seconds": round(time.monotonic() - began, 1)}
        if time.monotonic() - began > params["timeout"]:
            raise VpnhaError(
                f"{gateway.name} does not reach {', '.join(missing)} by its own tunnels again within "
                f"{params['timeout']} s; 'vtysh -c \"show bgp summary\"' there says which session is not up."
            )
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["handed_over", "given_back"]},
            "seconds": {"type": "int", "default": 900},
            "timeout": {"type": "int", "default": 30},
            "quiet_seconds": {"type": "float", "default": 1.0},
            "force": {"type": "bool", "default": False},
            "prefixes": {"type": "list", "elements": "str", "default": []},
            "deployed": {"type": "list", "elements": "str"},
            "keep": {"type": "list", "elements": "str"},
            "config": {"type": "path", "default": "/etc/vpnha/agent.json"},
        },
        supports_check_mode=True,
    )
    act = hand_over if module.params["state"] == "handed_over" else give_back
    try:
        result = act(Gateway(module), module.params, module.check_mode)
    except (VpnhaError, OSError) as error:
        module.fail_json(msg=str(error))
        return
    module.exit_json(**result)


if __name__ == "__main__":
    main()
