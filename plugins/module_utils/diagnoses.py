# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed list of named diagnoses that logs, journal, command line, documentation and tests share.

Each has one of these actions: ``swap`` (routes leave at once), ``move`` (a voluntary move, after a delay),
``told`` (people are told, nothing is changed) and ``none`` (a plain state or event, only recorded).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """One named thing that can be the matter."""

    code: str
    title: str
    action: str  # "swap", "move", "told" or "none"
    text: str  # what it means
    what_to_do: str  # what a person should do; empty: nothing


_ALL = (
    # A gateway
    Diagnosis("gateway-up", "Gateway works", "none", "It answers and nothing speaks against it.", ""),
    Diagnosis(
        "gateway-silent",
        "Gateway answers nobody",
        "swap",
        "Neither its agent nor its network stack has answered over a full window, and no other gateway hears it.",
        "Look at the instance's console output and status checks; start or replace it.",
    ),
    Diagnosis(
        "gateway-stopped",
        "Gateway's instance does not run",
        "swap",
        "EC2 says that the instance is stopped, stopping or terminated, and the gateway is silent.",
        "Start it again, or run the deploy playbook to replace it.",
    ),
    Diagnosis(
        "gateway-stopping",
        "Gateway announces its shutdown",
        "swap",
        "Its agent says that the host is going down, so routes leave before it is gone.",
        "",
    ),
    Diagnosis(
        "forwarding-off",
        "The kernel does not forward",
        "swap",
        "IP forwarding is off on the gateway, as a file of sysctl.d may set it at a boot; probes pass all the same.",
        "Remove what sets net.ipv4.ip_forward to 0, or its like of IPv6, and run `systemctl restart systemd-sysctl`.",
    ),
    Diagnosis(
        "forwarding-partly-off",
        "The kernel forwards one IP version only",
        "told",
        "IPv4 or IPv6 forwarding is off on the gateway, and sites use both; routes stay for the sake of the other one.",
        "Remove what sets net.ipv4.ip_forward to 0, or its like of IPv6, and run `systemctl restart systemd-sysctl`.",
    ),
    Diagnosis(
        "filter-missing",
        "The packet filter is gone",
        "told",
        "Table inet vpnha was flushed, and the agent cannot load it: packets of a site may leave unencrypted.",
        "`systemctl reload vpnha-dataplane` on the gateway says why; run deploy.",
    ),
    Diagnosis(
        "mesh-down",
        "Gateways have no session with each other",
        "told",
        "Both work, but neither can hand packets to the other: a dead tunnel's are lost until its routes are moved.",
        "Look at UDP 4789 between them (security group, network ACL), and at `vtysh -c 'show bgp summary'` on both.",
    ),
    Diagnosis(
        "source-dest-check-on",
        "Source/destination check is on",
        "swap",
        "EC2 drops every packet that the gateway should forward, although the gateway itself is well.",
        "Switch the check off on its network interface; find out who switched it on.",
    ),
    Diagnosis(
        "gateway-impaired",
        "Gateway is silent and its status checks are impaired",
        "swap",
        "The gateway has not been heard since the monitor's start and EC2's own checks fail.",
        "Stop and start the instance, so that it moves to other hardware.",
    ),
    Diagnosis(
        "gateway-grey",
        "Gateway loses packets",
        "move",
        "It answers, but loses a considerable share of the probes.",
        "Look for an overloaded or too small instance, or a network problem of its zone.",
    ),
    Diagnosis("gateway-suspect", "Gateway misses answers", "none", "Not yet a full window of silence.", ""),
    Diagnosis(
        "gateway-unheard",
        "Gateway not heard since the monitor's start",
        "told",
        "It is silent, but only EC2 or another gateway could tell that it is down, and neither does.",
        "Check that the gateway runs, and the security group between monitor and gateway.",
    ),
    Diagnosis(
        "monitor-cut-off-from-gateway",
        "Monitor does not hear a gateway that others hear",
        "told",
        "Another healthy gateway or another monitor still hears it, so the fault is on the monitor's way to it.",
        "Check security groups, network ACLs and routes between monitor and gateway.",
    ),
    Diagnosis(
        "gateway-no-second-sign",
        "Gateway's agent is silent and ICMP never answered",
        "told",
        "A silent agent alone is no dead gateway, and there is no second sign to go by.",
        "Let the monitor's ICMP echo requests through the security group; look at the agent's log.",
    ),
    Diagnosis(
        "agent-silent",
        "Agent is silent on a working gateway",
        "told",
        "The gateway answers ICMP but its agent does not; tunnels cannot be judged.",
        "Look at `systemctl status vpnha-agent` and its journal on the gateway.",
    ),
    Diagnosis(
        "status-check-impaired",
        "EC2 status check impaired",
        "told",
        "EC2's own check fails while the gateway works.",
        "Plan a stop and start of the instance, so that it moves to other hardware.",
    ),
    Diagnosis(
        "gateway-retiring",
        "EC2 has scheduled the instance's retirement",
        "move",
        "Its hardware is to be retired; routes leave it beforehand.",
        "Stop and start the instance before the date; the failover covers it.",
    ),
    Diagnosis(
        "gateway-absent",
        "Gateway has no network interface in EC2",
        "told",
        "No network interface carries this gateway's tags, so no route can point at it.",
        "Run the deploy playbook; it makes what is missing.",
    ),
    Diagnosis(
        "gateway-new-interface",
        "Gateway has another network interface",
        "swap",
        "Routes point at an interface that is no longer the gateway's; they are moved to the one it has now.",
        "",
    ),
    # A tunnel
    Diagnosis("tunnel-up", "Tunnel carries packets", "none", "Probes through it are answered.", ""),
    Diagnosis(
        "tunnel-nothing-returns",
        "Security association is up but nothing comes back",
        "swap",
        "IKE and CHILD SA look fine, but no probe sent through the tunnel is answered.",
        "Check ESP (UDP 4500) both ways, and the peer's routes and policies.",
    ),
    Diagnosis(
        "ike-sa-missing",
        "IKE SA missing",
        "swap",
        "There is no IKE SA with the peer and no probe is answered.",
        "Look at the gateway's charon log: an unreachable peer, a wrong PSK or a proposal mismatch.",
    ),
    Diagnosis(
        "child-sa-missing",
        "CHILD SA missing",
        "swap",
        "IKE is up but there is no CHILD SA and no probe is answered.",
        "Compare ESP proposals and traffic selectors with the peer's.",
    ),
    Diagnosis(
        "peer-not-answering",
        "Peer does not answer IKE",
        "swap",
        "Our IKE messages get no answer from the peer, and no probe is answered.",
        "Check that the peer runs, and UDP 500 and 4500 between it and the gateway.",
    ),
    Diagnosis(
        "charon-dead",
        "strongSwan's daemon is dead",
        "swap",
        "charon does not run and no probe is answered.",
        "Look at the journal of the strongswan unit; it restarts by itself.",
    ),
    Diagnosis(
        "charon-hung",
        "strongSwan's daemon hangs",
        "swap",
        "charon does not answer and no probe is answered either.",
        "Restart the strongswan unit and keep a backtrace.",
    ),
    Diagnosis(
        "bgp-down",
        "BGP session down",
        "swap",
        "The tunnel carries packets, but without BGP no site prefix is reachable through it.",
        "Look at `vtysh -c 'show bgp summary'` on the gateway, and at the peer.",
    ),
    Diagnosis(
        "tunnel-grey",
        "Tunnel loses packets",
        "move",
        "A considerable share of the probes through it is lost.",
        "Measure the way to the peer; ask the providers on it.",
    ),
    Diagnosis(
        "tunnel-mtu",
        "Large packets vanish in the tunnel",
        "move",
        "Small probes pass, full-size ones do not.",
        "The MTU on the way has dropped; mend the path, or lower `vpnha_gateway_mss`: the probes shrink with it.",
    ),
    Diagnosis("tunnel-suspect", "Tunnel misses answers", "none", "Not yet a full window of silence.", ""),
    Diagnosis(
        "tunnel-unknown",
        "Tunnel cannot be judged",
        "none",
        "There is no recent word of the agent on it.",
        "",
    ),
    Diagnosis(
        "ike-down-esp-passes",
        "IKE is down but packets pass",
        "told",
        "Probes through the tunnel are answered, but there is no working IKE SA to renew its keys.",
        "Check UDP 500 and 4500 to the peer; the tunnel fails when its keys expire.",
    ),
    Diagnosis(
        "charon-silent-esp-passes",
        "strongSwan's daemon is silent but packets pass",
        "told",
        "Probes through the tunnel are answered, but charon is dead or does not answer.",
        "Look at the strongswan unit; the tunnel fails when its keys expire.",
    ),
    # A gateway's way to a site
    Diagnosis("path-up", "Site reachable", "none", "Packets to the site leave through the gateway's own tunnel.", ""),
    Diagnosis(
        "via-neighbour",
        "Site reached through the neighbour gateway",
        "move",
        "The gateway's tunnels to the site are gone, lose packets or were handed over: packets go to another gateway.",
        "Mend the tunnel; routes are moved to the gateway that has one.",
    ),
    Diagnosis(
        "no-path",
        "Gateway has no way to the site",
        "swap",
        "The gateway has neither a tunnel nor a neighbour for the site's packets.",
        "See the tunnel's diagnosis.",
    ),
    Diagnosis(
        "site-not-behind-peer",
        "Peer answers, the site behind it does not",
        "swap",
        "The probe targets answer through another gateway but not through this one.",
        "Look at the routing between this peer and the site.",
    ),
    # A managed gateway's way to a site
    Diagnosis("managed-up", "Managed gateway works", "none", "The site answers probes through it.", ""),
    Diagnosis("managed-suspect", "Managed gateway misses answers", "none", "Not yet a full window of silence.", ""),
    Diagnosis(
        "managed-grey",
        "Managed gateway loses packets",
        "move",
        "A considerable share of the probes through it is lost.",
        "Measure the internet access of the site; look at the connection's metrics in CloudWatch.",
    ),
    Diagnosis(
        "managed-down",
        "Managed gateway is down",
        "swap",
        "No probe through it is answered, and EC2 or CloudWatch calls all its connections down.",
        "Look at the tunnels of its VPN connections (`managed_vpn_info`), and at the customer gateway device.",
    ),
    Diagnosis(
        "managed-silent",
        "Nothing comes back through a managed gateway",
        "swap",
        "No probe through it is answered, though neither EC2 nor CloudWatch calls it down: routes leave after a longer "
        "time (`managed_patience`).",
        "Check the site's route back to the monitors, its firewall, and that the probed host runs.",
    ),
    Diagnosis(
        "managed-unheard",
        "Managed gateway not heard since the monitor's start",
        "told",
        "No probe through it has ever been answered, so no route is moved there.",
        "Check the probed address, the monitors' host route to it, and the site's route back.",
    ),
    Diagnosis(
        "managed-unprobed",
        "Managed gateway has no probe for a site",
        "none",
        "Nothing is known of its way there, so that site's routes are never moved there.",
        "",
    ),
    # A site
    Diagnosis(
        "site-down",
        "Site is down",
        "told",
        "It answers through no gateway, so it is the site's fault: nothing is swapped or repaired.",
        "Ask the people of the site.",
    ),
    Diagnosis(
        "site-silent",
        "Site's probe targets are silent",
        "told",
        "Tunnels carry packets, but no target answers: the targets are off, or all that is behind the site's peers.",
        "Look at a probe target, then at the site behind its peers; give the site a second target.",
    ),
    # The monitor
    Diagnosis(
        "monitor-isolated",
        "Monitor hears nobody",
        "told",
        "No gateway answers at all, so the monitor trusts no verdict and does nothing.",
        "Check the monitor's own network.",
    ),
    Diagnosis(
        "monitor-sick",
        "Monitor is late",
        "told",
        "The monitor's own loop was late or paused, so it throws away what it saw and starts afresh.",
        "Look for CPU starvation on the monitor's instance.",
    ),
    Diagnosis(
        "monitor-observing",
        "Monitor observes before it acts",
        "none",
        "After a start, isolation or lateness it first observes for a full window.",
        "",
    ),
    Diagnosis(
        "ec2-unreadable",
        "EC2 cannot be read",
        "told",
        "Routes and instances could not be read for a while; decisions go by the last view.",
        "Check the monitor's way to the EC2 API, its instance profile and DNS.",
    ),
    Diagnosis(
        "api-behind-vpn",
        "Monitor reaches EC2 through a gateway that it looks after",
        "told",
        "The route by which its calls leave leads to a gateway of the deployment: when that fails, no route is moved.",
        "Give the monitor's subnet a way of its own: `vpnha_endpoints` with `ec2`, or a route to an internet or NAT "
        "gateway. `vpnha check-config` says whether it helped.",
    ),
    Diagnosis(
        "no-healthy-gateway",
        "No healthy gateway to move to",
        "told",
        "Routes lead to a gateway that does not work, and no other works better: they are left alone.",
        "Mend any gateway of the deployment; routes follow by themselves.",
    ),
    # Repairs, where `vpnha_repair` allows them
    Diagnosis(
        "repair-under-way",
        "Gateway is being repaired",
        "told",
        "It was down for long and no route hangs on it, so the monitor brings its instance back.",
        "Nothing yet: a step has 10 minutes to help. `vpnha pause --gateway` keeps the monitor from it.",
    ),
    Diagnosis(
        "repair-issued",
        "Repair handed to EC2",
        "none",
        "The tag of the gateway's interface is written, then EC2 is called for its instance.",
        "",
    ),
    Diagnosis(
        "repair-accepted", "EC2 has taken a repair", "none", "The call went through; what it brings is seen.", ""
    ),
    Diagnosis(
        "repair-failed",
        "EC2 refuses a repair",
        "told",
        "The call or the tag before it failed; it comes again in its time, within the day's steps.",
        "See the error: a lack of capacity passes, or the gateway needs another instance type (see the runbook); a "
        "lack of rights does not pass (deploy with `vpnha_repair` set).",
    ),
    Diagnosis(
        "repair-waits",
        "Gateway waits to be repaired",
        "told",
        "It has been down for long, and for a quarter of an hour something has kept the monitor from repairing it.",
        "See what it waits for, and mend that or the gateway (playbook `repair`).",
    ),
    Diagnosis(
        "repair-needs-person",
        "Repair by the monitor ends here",
        "told",
        "The gateway stays down, and the monitor has used up its steps or may not do what would help.",
        "Look at the instance's console output and mend it (playbook `repair`, or `deploy` where it is gone).",
    ),
    # Routes and people
    Diagnosis("failover", "Routes leave a gateway", "swap", "Routes move to a working gateway.", ""),
    Diagnosis(
        "failback",
        "Routes go back to their home gateway",
        "move",
        "The home gateway has been healthy for the hold-down.",
        "",
    ),
    Diagnosis(
        "leave-last-resort",
        "Routes leave the last resort",
        "move",
        "Another gateway has been healthy for the hold-down.",
        "",
    ),
    Diagnosis("voluntary-move", "Routes move without haste", "move", "Their gateway works, another works better.", ""),
    Diagnosis("swap-accepted", "Route moved", "none", "EC2 shows the route's new target in two reads.", ""),
    Diagnosis(
        "not-carrying",
        "Moved route carries nothing",
        "told",
        "EC2 shows the new target, but the gateway does not see that zone's packets.",
        "Check security groups, and give EC2's propagation some seconds.",
    ),
    Diagnosis(
        "swap-failed",
        "EC2 refuses a swap",
        "told",
        "It is tried again, 1 to 30 s apart.",
        "See the error; look at the route table.",
    ),
    Diagnosis(
        "swap-throttled",
        "EC2 throttles swaps",
        "told",
        "It is tried again, 1 to 30 s apart.",
        "Find out what else calls the EC2 API of the account; use prefix lists.",
    ),
    Diagnosis(
        "swaps-waiting",
        "Swaps wait for EC2's limit",
        "none",
        "More routes are to be moved than EC2 takes at once; it goes on, the most urgent first.",
        "See `vpnha plan` for what would make it fewer.",
    ),
    Diagnosis(
        "swap-forbidden",
        "The monitor may not swap routes",
        "told",
        "IAM denies ReplaceRoute; it is tried again every 30 s only.",
        "Run the deploy playbook, which gives the monitor's role ec2:ReplaceRoute on the deployment's route tables.",
    ),
    Diagnosis(
        "swap-unknown",
        "Outcome of a swap is not known",
        "told",
        "The call timed out and may have been carried out; the routes are read before it is tried again.",
        "",
    ),
    Diagnosis(
        "route-blackhole",
        "Route reads blackhole",
        "swap",
        "EC2 says that the route's target cannot take packets.",
        "",
    ),
    Diagnosis(
        "route-missing",
        "Route of the deployment is not there",
        "told",
        "Somebody deleted it, or deploy made none as another route takes its packets. The monitor never makes routes.",
        "Run the deploy playbook; where it warns of another route, `failback` with vpnha_take_over=true makes it.",
    ),
    Diagnosis(
        "route-foreign",
        "Route of the deployment points elsewhere",
        "told",
        "It points at something that is no gateway of the deployment: a person's decision, left alone.",
        "Run the failback playbook with `-e vpnha_take_over=true`, or `vpnha failback --take-over`, to point it home.",
    ),
    Diagnosis(
        "route-not-described",
        "Route to a gateway is not described",
        "told",
        "It leads to a gateway of the deployment, for a destination that is none of a described site: when that "
        "gateway fails, the route stays.",
        "Describe it as a prefix of a site, or delete it; the deploy playbook deletes it with "
        "`vpnha_remove_covered_routes` where a described route takes its place.",
    ),
    Diagnosis(
        "table-refused",
        "Route table is not looked after",
        "told",
        "It carries the deployment's tag but cannot be managed.",
        "Tag it with vpnha:zone, or remove the deployment's tag.",
    ),
    Diagnosis(
        "pinned",
        "Routes are pinned",
        "told",
        "A person has put them where they are; they stay until the pin ends.",
        "Run the failback playbook to clear the pin.",
    ),
    Diagnosis(
        "pinned-to-broken",
        "Routes are pinned to a gateway that does not work",
        "told",
        "They would be moved if they were not pinned.",
        "Run the failback playbook to clear the pin.",
    ),
    Diagnosis(
        "paused",
        "Actions are paused",
        "told",
        "A person has paused them; observation goes on.",
        "`vpnha resume` ends the pause.",
    ),
    Diagnosis(
        "moves-limited",
        "Too many voluntary moves of a route",
        "told",
        "The hourly limit is reached; the route stays where it works.",
        "Find out why its gateways alternate.",
    ),
    Diagnosis(
        "flapping",
        "Gateway keeps failing",
        "told",
        "It has failed repeatedly within an hour, so routes go back to it ever later.",
        "Mend the gateway; a quiet hour resets the hold-down.",
    ),
    Diagnosis(
        "invariant-violated",
        "An action would have broken a promise",
        "told",
        "It was dropped. This is a bug of the monitor.",
        "Report it with the journal's entry.",
    ),
    # Several monitors
    Diagnosis(
        "lease-store-unreadable",
        "Lease store cannot be read",
        "told",
        "The monitor knows neither lease nor veto: it swaps only the routes that it owns, and repairs nothing.",
        "Check the monitor's way to DynamoDB, its permissions, and that the deploy playbook has made the table.",
    ),
    Diagnosis(
        "lease-store-unwritable",
        "Lease store cannot be written",
        "told",
        "The others do not hear this monitor and act for it, and it cannot keep the lease.",
        "Check the monitor's way to DynamoDB and its permissions.",
    ),
    Diagnosis("lease-taken", "Lease taken", "none", "The monitor acts for those that fall silent, and may repair.", ""),
    Diagnosis("lease-lost", "Lease lost", "none", "Another monitor has it, or it could not be renewed in time.", ""),
    Diagnosis(
        "monitor-silent",
        "Another monitor does not say that it can act",
        "told",
        "It is down, blind, or cut off from the lease store; whoever has the lease acts for it.",
        "Look at that monitor: `vpnha status` on its host.",
    ),
    Diagnosis(
        "route-contested",
        "Another monitor has moved a route back",
        "told",
        "The lease store cannot be read, so nobody knows why; the route is left alone until it can be.",
        "Mend the monitors' way to DynamoDB and to each other's zones.",
    ),
    # The daemons
    Diagnosis(
        "clock-skewed",
        "Wall clock is wrong",
        "told",
        "It differs from AWS's clock; detection does not depend on it.",
        "Mend time synchronisation (169.254.169.123).",
    ),
    Diagnosis(
        "credentials-expiring",
        "AWS credentials run out",
        "told",
        "They could not be renewed.",
        "Check the instance profile and the instance metadata service.",
    ),
    Diagnosis(
        "cloudwatch-unwritable",
        "CloudWatch does not take the monitor's sign of life",
        "told",
        "The monitor works, but the alarm that waits for its word goes off.",
        "Check the role's right to cloudwatch:PutMetricData and the way to CloudWatch; run deploy, or with "
        "`vpnha_monitor_cloudwatch: false` if it shall not be told.",
    ),
    Diagnosis(
        "journal-failed",
        "Event journal cannot be written",
        "told",
        "Failover goes on without it.",
        "Check the disk; a corrupt journal is put aside and begun anew.",
    ),
    Diagnosis(
        "config-refused",
        "New configuration refused",
        "told",
        "The old one stays in force.",
        "Run `vpnha check-config` and mend what it says.",
    ),
    Diagnosis(
        "heartbeats-rejected",
        "Heartbeats rejected",
        "told",
        "Forged, replayed or damaged packets arrive; ignored.",
        "Compare the heartbeat keys of monitors and gateways; find the sender.",
    ),
    Diagnosis(
        "notification-failing",
        "A notification target takes no messages",
        "told",
        "Messages wait for it in the journal and are tried again, for a day; the other targets get theirs.",
        "Run `vpnha notify-test` on the monitor; check the target's address, and the monitor's way to it.",
    ),
    # Drills
    Diagnosis(
        "drill-running",
        "A drill is running",
        "told",
        "A failure is caused on purpose; what fails over meanwhile belongs to the drill.",
        "Nothing; the drill says when it is over.",
    ),
    Diagnosis("drill-result", "A drill is over", "none", "The role `drill` says what came of it.", ""),
    Diagnosis("daemon-started", "Monitor started", "none", "It observes for a full window before it acts.", ""),
    Diagnosis("daemon-stopping", "Monitor stops", "none", "It finishes the call in flight, nothing else.", ""),
    Diagnosis("swap-issued", "Swap handed to EC2", "none", "ReplaceRoute is being called for the route.", ""),
    Diagnosis("carrying", "Moved route carries packets", "none", "The new gateway counts that zone's packets.", ""),
    Diagnosis("config-reloaded", "New configuration in force", "none", "It was checked and taken over.", ""),
)

DIAGNOSES: dict[str, Diagnosis] = {diagnosis.code: diagnosis for diagnosis in _ALL}
