# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch's actions where moto's are not enough: alarms that are evaluated, composite alarms, their history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from moto.cloudwatch.exceptions import ResourceNotFound, ValidationError
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult, EmptyResult

from lab.api.alarms import COMPARE, Alarms, utc
from lab.api.rules import parse


class LabCloudWatch(CloudWatchResponse):  # type: ignore[misc]
    """The overridden actions; each answers like moto's method of the same name."""

    alarms: ClassVar[Alarms]

    def put_metric_alarm(self) -> ActionResult:
        if self._get_param("MetricName"):  # moto takes what could never be evaluated
            if missing := [each for each in ("Period", "Threshold") if self._get_param(each) is None]:
                raise ValidationError(f"An alarm by a metric needs {' and '.join(missing)}.")
            if (operator := self._get_param("ComparisonOperator")) not in COMPARE:
                raise ValidationError(f"An alarm by a metric has no ComparisonOperator {operator}.")
        name = self._get_param("AlarmName")
        before = self.cloudwatch_backend.alarms.get(name)
        answer = super().put_metric_alarm()
        self.alarms.renew(before, self.cloudwatch_backend.alarms[name])
        return answer

    def put_composite_alarm(self) -> ActionResult:
        try:
            rule = parse(self._get_param("AlarmRule"))
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if missing := rule.names - self.alarms.states().keys():
            raise ValidationError(f"The alarm rule speaks of alarms that do not exist: {', '.join(sorted(missing))}.")
        return self.put_metric_alarm()  # moto's takes the rule too

    def describe_alarms(self) -> ActionResult:
        answer = super().describe_alarms()
        wanted = self._get_param("AlarmTypes", []) or ["MetricAlarm"]
        return ActionResult(
            {kind: alarms for kind, alarms in answer.result.items() if kind.removesuffix("s") in wanted}
        )

    def delete_alarms(self) -> ActionResult:
        names = self._get_param("AlarmNames", [])
        known = self.cloudwatch_backend.alarms
        if len(names) > 1 and (missing := [name for name in names if name not in known]):
            raise ResourceNotFound(f"Unknown alarms: {', '.join(missing)}")
        self.alarms.forget(names)
        return super().delete_alarms()

    def set_alarm_state(self) -> ActionResult:
        name, state = self._get_param("AlarmName"), self._get_param("StateValue")
        alarm = self.cloudwatch_backend.alarms.get(name)
        if alarm is None or state not in ("OK", "ALARM", "INSUFFICIENT_DATA"):
            return super().set_alarm_state()  # which refuses it
        self.alarms.change(alarm, state, self._get_param("StateReason"), self._get_param("StateReasonData") or "{}")
        return EmptyResult()

    def describe_alarm_history(self) -> ActionResult:
        name, kind = self._get_param("AlarmName"), self._get_param("HistoryItemType")
        types = self._get_param("AlarmTypes", []) or ["MetricAlarm"]
        start, end = self._get_param("StartDate"), self._get_param("EndDate")

        def wanted(item: Mapping[str, Any]) -> bool:
            return (
                (name is None or item["AlarmName"] == name)
                and (kind is None or item["HistoryItemType"] == kind)
                and (name is not None or item["AlarmType"] in types)
                and (start is None or item["Timestamp"] >= utc(start))
                and (end is None or item["Timestamp"] <= utc(end))
            )

        items = self.alarms.history(wanted)
        if self._get_param("ScanBy") != "TimestampAscending":
            items.reverse()
        return ActionResult({"AlarmHistoryItems": items[: int(self._get_param("MaxRecords") or 100)]})
