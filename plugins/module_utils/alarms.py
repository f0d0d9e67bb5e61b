# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who watches the monitors: a CloudWatch metric that each publishes, an alarm on it, and one on its instance.

Alarms are found by their names, which begin with ``vpnha/DEPLOYMENT/monitor/``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import alarm_set, ec2, pace, tags
from .alarm_set import Alarm, Plan, own_tags
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


def see_to(
    cloudwatch: Any, client: Any, wanted: Wanted, *, check: bool, bucket: pace.TokenBucket | None = None
) -> Outcome:
    """Make the alarms what they should be. ``check``: change nothing. Raises VpnhaError.

    Alarms of monitors that there are no more, or that are not wanted any more, are deleted.
    """
    if wanted.topic and not wanted.topic.startswith(f"arn:{wanted.partition}:sns:"):
        raise VpnhaError(
            f"'{wanted.topic}' is no ARN of an SNS topic; write one like "
            f"arn:{wanted.partition}:sns:{wanted.region}:123456789012:vpnha."
        )
    instances = _instances(client, wanted, check) if wanted.recovery else {}
    alarms = list(_alarms(wanted, instances))
    existing = alarm_set.read(cloudwatch, prefix(wanted.deployment))
    todo = alarm_set.plan_ours(cloudwatch, wanted.deployment, alarms, existing)
    off = {
        monitor: instance["InstanceId"]
        for monitor, instance in instances.items()
        if instance.get("MaintenanceOptions", {}).get("AutoRecovery", "default") != "default"
    }
    if not check:
        alarm_set.carry_out(cloudwatch, todo, existing, bucket)
        for monitor, instance in off.items():
            _switch_on(client, monitor, instance)
    return _outcome(todo, tuple(alarm.name for alarm in alarms), tuple(off))


def remove(cloudwatch: Any, deployment: str, *, check: bool) -> Outcome:
    """Delete the alarms that we have made. Raises VpnhaError."""
    existing = alarm_set.read(cloudwatch, prefix(deployment))
    todo = alarm_set.plan_ours(cloudwatch, deployment, (), existing)
    if not check:
        alarm_set.carry_out(cloudwatch, todo, existing)
    return _outcome(todo)


def _outcome(todo: Plan, names: tuple[str, ...] = (), switched_on: tuple[str, ...] = ()) -> Outcome:
    put = [alarm.name for alarm in todo.put]
    return Outcome(
        alarms=names,
        made=tuple(name for name in put if name in todo.new),
        changed=tuple(name for name in put if name not in todo.new),
        removed=tuple(name for name, _kind in todo.remove),
        recovery_switched_on=switched_on,
    )


def _alarms(wanted: Wanted, instances: Mapping[str, Mapping[str, Any]]) -> Iterator[Alarm]:
    tell = [wanted.topic] if wanted.topic else []
    for monitor in wanted.monitors:
        of = f"The monitor {monitor} of the VPN deployment {wanted.deployment}"
        if wanted.silence:
            said = f"{of} does not say that it can act: it is down, blind or cut off from CloudWatch."
            yield _alarm(
                wanted, monitor, "silent", said, tell,
                Namespace=NAMESPACE,
                MetricName=METRIC,
                Dimensions=dimensions(wanted.deployment, monitor),
                ComparisonOperator="LessThanThreshold",
                EvaluationPeriods=SILENT_MINUTES,
                TreatMissingData="breaching",
            )  # fmt: skip
        if wanted.recovery:
            recover = f"arn:{wanted.partition}:automate:{wanted.region}:ec2:recover"
            said = f"{of} is on hardware that fails: EC2 moves its instance to other hardware."
            yield _alarm(
                wanted, monitor, "recover", said, [recover, *tell],
                Namespace="AWS/EC2",
                MetricName="StatusCheckFailed_System",
                Dimensions=[{"Name": "InstanceId", "Value": instances.get(monitor, {}).get("InstanceId", "")}],
                ComparisonOperator="GreaterThanOrEqualToThreshold",
                EvaluationPeriods=RECOVER_MINUTES,
                TreatMissingData="missing",
            )  # fmt: skip


def _alarm(wanted: Wanted, monitor: str, name: str, said: str, actions: list[str], **arguments: Any) -> Alarm:
    """One in CloudWatch's words; when it is over, the topic is told."""
    common = {
        "AlarmName": f"{prefix(wanted.deployment)}{monitor}/{name}",
        "AlarmDescription": said,
        "AlarmActions": actions,
        "OKActions": [wanted.topic] if wanted.topic else [],
        "InsufficientDataActions": [],
        "Statistic": "Maximum",
        "Period": _MINUTE,
        "Threshold": 1.0,
        "Tags": own_tags(wanted.deployment),
    }
    return Alarm(monitor, alarm_set.METRIC, common | arguments)


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
