# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who watches the monitors: a CloudWatch metric that each publishes, an alarm on it, and one on its instance.

Alarms are found by their names, which begin with ``vpnha/DEPLOYMENT/monitor/``, and deleted only if they carry the
tag ``vpnha:made``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import VpnhaError

NAMESPACE = "vpnha"
METRIC = "monitor_able"  # 1: watching and able to act; 0: running, but blind or late; none: not running
SILENT_MINUTES = 3
RECOVER_MINUTES = 2
_MINUTE = 60
_STATES = ["pending", "running", "stopping", "stopped"]


@dataclass(frozen=True)
class Wanted:
    """Which monitors are watched, and how."""

    deployment: str
    monitors: Sequence[str]
    region: str
    partition: str = "aws"
    topic: str = ""  # ARN of the SNS topic that is told; empty: nobody is
    silence: bool = True  # an alarm when a monitor does not say that it can act
    recovery: bool = True  # EC2 moves an instance off hardware that fails


@dataclass(frozen=True)
class Outcome:
    """What differed, by name: alarms, and instances whose recovery was off."""

    alarms: tuple[str, ...] = ()  # that there should be
    made: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    recovery_switched_on: tuple[str, ...] = ()

    @property
    def differed(self) -> bool:
        """Whether anything was done, or would be."""
        return bool(self.made or self.changed or self.removed or self.recovery_switched_on)


def dimensions(deployment: str, monitor: str) -> list[dict[str, str]]:
    """What tells a monitor's metric from another's."""
    return [{"Name": "deployment", "Value": deployment}, {"Name": "monitor", "Value": monitor}]


def prefix(deployment: str) -> str:
    """What the names of a deployment's alarms on its monitors begin with."""
    return f"vpnha/{deployment}/monitor/"


def see_to(cloudwatch: Any, client: Any, wanted: Wanted, *, check: bool) -> Outcome:
    """Make the alarms what they should be. ``check``: change nothing. Raises VpnhaError.

    Alarms of monitors that there are no more, or that are not wanted any more, are deleted.
    """
    if wanted.topic and not wanted.topic.startswith(f"arn:{wanted.partition}:sns:"):
        raise VpnhaError(
            f"'{wanted.topic}' is no ARN of an SNS topic; write one like "
            f"arn:{wanted.partition}:sns:{wanted.region}:123456789012:vpnha."
        )
    instances = _instances(client, wanted, check) if wanted.recovery else {}
    there = _there(cloudwatch, wanted.deployment)
    names, made, changed = [], [], []
    for alarm in _alarms(wanted, instances):
        name = alarm["AlarmName"]
        names.append(name)
        found = there.pop(name, None)
        if found is None:
            made.append(name)
            more = {"Tags": tags.to_list({tags.DEPLOYMENT: wanted.deployment, tags.MADE: wanted.deployment})}
        elif _same(alarm, found):
            continue
        else:
            _require_ours(cloudwatch, found, wanted.deployment)
            changed.append(name)
            more = {"ActionsEnabled": found.get("ActionsEnabled", True)}  # somebody may have switched them off
        if not check:
            ec2.call(f"making the alarm {name}", partial(cloudwatch.put_metric_alarm, **alarm, **more))
    switched = []
    for monitor, instance in instances.items():
        if instance.get("MaintenanceOptions", {}).get("AutoRecovery", "default") != "default":
            switched.append(monitor)
            if not check:
                _switch_on(client, monitor, instance["InstanceId"])
    removed = _delete(cloudwatch, wanted.deployment, there.values(), check)
    return Outcome(tuple(names), tuple(made), tuple(changed), removed, tuple(switched))


def remove(cloudwatch: Any, deployment: str, *, check: bool) -> Outcome:
    """Delete the alarms that we have made. Raises VpnhaError."""
    return Outcome(removed=_delete(cloudwatch, deployment, _there(cloudwatch, deployment).values(), check))


def _alarms(wanted: Wanted, instances: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The alarms in CloudWatch's words."""
    tell = [wanted.topic] if wanted.topic else []
    for monitor in wanted.monitors:
        name = prefix(wanted.deployment) + monitor
        of = f"The monitor {monitor} of the VPN deployment {wanted.deployment}"
        common = {"OKActions": tell, "InsufficientDataActions": [], "Period": _MINUTE, "Threshold": 1.0}
        if wanted.silence:
            yield {
                "AlarmName": f"{name}/silent",
                "AlarmDescription": f"{of} does not say that it can act: it is down, blind or cut off from CloudWatch.",
                "Namespace": NAMESPACE,
                "MetricName": METRIC,
                "Dimensions": dimensions(wanted.deployment, monitor),
                "Statistic": "Maximum",
                "ComparisonOperator": "LessThanThreshold",
                "EvaluationPeriods": SILENT_MINUTES,
                "TreatMissingData": "breaching",
                "AlarmActions": tell,
                **common,
            }
        if wanted.recovery:
            yield {
                "AlarmName": f"{name}/recover",
                "AlarmDescription": f"{of} is on hardware that fails: EC2 moves its instance to other hardware.",
                "Namespace": "AWS/EC2",
                "MetricName": "StatusCheckFailed_System",
                "Dimensions": [{"Name": "InstanceId", "Value": instances.get(monitor, {}).get("InstanceId", "")}],
                "Statistic": "Maximum",
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "EvaluationPeriods": RECOVER_MINUTES,
                "TreatMissingData": "missing",
                "AlarmActions": [f"arn:{wanted.partition}:automate:{wanted.region}:ec2:recover", *tell],
                **common,
            }


def _same(alarm: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(_plain(found.get(key)) == _plain(value) for key, value in alarm.items())


def _plain(value: Any) -> Any:
    """Lists of dimensions and actions have no order."""
    return sorted(value, key=str) if isinstance(value, list) else value


def _instances(client: Any, wanted: Wanted, check: bool) -> dict[str, dict[str, Any]]:
    """The monitors' instances by name. In check mode some may not have been made yet."""
    found: dict[str, dict[str, Any]] = {}
    filters = [
        *tags.filters(wanted.deployment, **{tags.ROLE: "monitor"}),
        {"Name": "instance-state-name", "Values": _STATES},
    ]
    doing = "finding the monitors' instances"
    for reservation in ec2.pages(client, "describe_instances", "Reservations", doing, Filters=filters):
        for instance in reservation["Instances"]:
            found[tags.to_dict(instance.get("Tags")).get("Name", "")] = instance
    missing = [monitor for monitor in wanted.monitors if monitor not in found]
    if missing and not check:
        raise VpnhaError(
            f"The deployment {wanted.deployment} has no instance of the monitor {', '.join(missing)}; "
            "run the playbook deploy, which launches it."
        )
    return {monitor: found[monitor] for monitor in wanted.monitors if monitor in found}


def _switch_on(client: Any, monitor: str, instance: str) -> None:
    call = partial(client.modify_instance_maintenance_options, InstanceId=instance, AutoRecovery="default")
    ec2.call(f"switching on the recovery of {monitor}'s instance", call)


def _there(cloudwatch: Any, deployment: str) -> dict[str, dict[str, Any]]:
    arguments = {"AlarmNamePrefix": prefix(deployment), "AlarmTypes": ["MetricAlarm"]}
    found = ec2.pages(cloudwatch, "describe_alarms", "MetricAlarms", "looking for the monitors' alarms", **arguments)
    return {str(alarm["AlarmName"]): alarm for alarm in found}


def _delete(cloudwatch: Any, deployment: str, alarms: Any, check: bool) -> tuple[str, ...]:
    ours = tuple(sorted(alarm["AlarmName"] for alarm in alarms if _maker(cloudwatch, alarm) == deployment))
    if ours and not check:
        ec2.call(f"deleting the alarms {', '.join(ours)}", partial(cloudwatch.delete_alarms, AlarmNames=list(ours)))
    return ours


def _require_ours(cloudwatch: Any, alarm: Mapping[str, Any], deployment: str) -> None:
    if _maker(cloudwatch, alarm) != deployment:
        raise VpnhaError(
            f"The alarm {alarm['AlarmName']} does not carry the tag {tags.MADE}={deployment}: somebody else has made "
            "it. Rename or delete it."
        )


def _maker(cloudwatch: Any, alarm: Mapping[str, Any]) -> str:
    doing = f"reading the tags of the alarm {alarm['AlarmName']}"
    answer = ec2.call(doing, partial(cloudwatch.list_tags_for_resource, ResourceARN=alarm["AlarmArn"]))
    return tags.to_dict(answer.get("Tags")).get(tags.MADE, "")
