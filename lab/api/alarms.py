# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch's alarms, which moto keeps but never evaluates: their states, their history, and whom they tell.

An alarm looks at windows of its period that end now, not at whole minutes of the clock, so that nobody waits for the
minute to end. As on AWS it looks two windows further back than it evaluates, which makes up for data that are late.
Alarms by metric math or percentile are not evaluated.
"""

from __future__ import annotations

import json
import logging
import operator
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.api.rules import parse
from lab.errors import LabError

_LOG = logging.getLogger(__name__)

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
EVERY = 1.0  # seconds between two evaluations of all alarms
_FURTHER = 2
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def utc(stamp: datetime) -> datetime:
    """A time as moto compares it: UTC, without saying so."""
    return stamp.astimezone(UTC).replace(tzinfo=None) if stamp.tzinfo else stamp


def now() -> datetime:
    """The current time, likewise."""
    return utc(datetime.now(UTC))


def series(data: Iterable[Any], alarm: Any, until: datetime) -> list[float | None]:
    """The alarm's statistic in each window that it looks at, the newest first; None where there is no data."""
    from moto.cloudwatch.models import Statistics

    dimensions = _dimensions(alarm)
    mine = [
        datum
        for datum in data
        if (datum.namespace, datum.name) == (alarm.namespace, alarm.metric_name) and _dimensions(datum) == dimensions
    ]
    period, found = timedelta(seconds=int(alarm.period)), []
    for number in range(int(alarm.evaluation_periods) + _FURTHER):
        end = until - number * period
        window = Statistics([alarm.statistic], end)
        window.metric_data = [datum for datum in mine if end - period < utc(datum.timestamp) <= end]
        value = window.get_statistics_for_type(alarm.statistic) if window.metric_data else None
        found.append(None if value is None else float(value))
    return found


def judge(alarm: Any, values: list[float | None]) -> tuple[str, str]:
    """State and reason of a metric alarm by its windows, the newest first."""
    evaluated = int(alarm.evaluation_periods)
    needed = int(alarm.datapoints_to_alarm or evaluated)
    present = [value for value in values if value is not None][:evaluated]
    compare = COMPARE[alarm.comparison_operator]
    breaching = sum(compare(value, float(alarm.threshold)) for value in present)
    missing = evaluated - len(present)
    treatment = alarm.treat_missing_data or "missing"
    reason = (
        f"Threshold Crossed: {breaching} of {len(present)} datapoints {present} breached the threshold "
        f"({alarm.threshold:g}, {alarm.comparison_operator}); {needed} of {evaluated} are needed, {missing} missing."
    )
    if breaching + (missing if treatment == "breaching" else 0) >= needed:
        return ALARM, reason
    if not missing or treatment in ("breaching", "notBreaching"):
        return OK, reason
    if present:
        return (alarm.state_value if breaching == len(present) else OK), reason
    return (alarm.state_value if treatment == "ignore" else INSUFFICIENT), reason


def _dimensions(thing: Any) -> set[tuple[str, str]]:
    return {(each.name, each.value) for each in thing.dimensions}


class Alarms:
    """All alarms of the lab's account and region. For several threads."""

    def __init__(self, account: str, region: str) -> None:
        self._account, self._region = account, region
        self._lock = threading.RLock()
        self._history: list[dict[str, Any]] = []

    @property
    def backend(self) -> Any:
        """moto's CloudWatch of the lab's region."""
        from moto.cloudwatch.models import cloudwatch_backends

        return cloudwatch_backends[self._account][self._region]

    def start(self) -> None:
        """Evaluate from now on, in a thread."""
        threading.Thread(target=self._run, name="alarms", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(EVERY)
            try:
                self.evaluate(now())
            except Exception:
                _LOG.exception("the alarms could not be evaluated")

    def evaluate(self, at: datetime) -> None:
        """Bring the states of all alarms up to date, and do what the changes ask for."""
        with self._lock:
            alarms = list(self.backend.alarms.values())
            data = list(self.backend.metric_data)
            for alarm in alarms:
                if alarm.rule is None and alarm.metric_name and alarm.statistic:
                    self.change(alarm, *judge(alarm, series(data, alarm, at)))
            composite = [alarm for alarm in alarms if alarm.rule is not None]
            for _round in composite:  # one may follow from another
                states = self.states()
                for alarm in composite:
                    state = ALARM if parse(alarm.rule).holds(states) else OK
                    self.change(alarm, state, f"{alarm.rule} is {'true' if state == ALARM else 'false'}")

    def states(self) -> dict[str, str]:
        """The state of every alarm by its name, and by its ARN."""
        alarms = list(self.backend.alarms.values())
        return {key: alarm.state_value for alarm in alarms for key in (alarm.name, alarm.alarm_arn)}

    def renew(self, before: Any | None, alarm: Any) -> None:
        """Let an alarm that was put have the state it had before; a new one has none yet."""
        with self._lock:
            alarm.state_value = before.state_value if before is not None else INSUFFICIENT
            if before is not None:
                alarm.state_reason, alarm.state_updated_timestamp = before.state_reason, before.state_updated_timestamp
            summary = f"Alarm {alarm.name} {'updated' if before is not None else 'created'}"
            self._remember(alarm, "ConfigurationUpdate", summary, {"type": "Update" if before else "Create"})

    def change(self, alarm: Any, state: str, reason: str, data: str = "{}") -> None:
        """Set an alarm's state; a change of it is remembered and told."""
        with self._lock:
            old = alarm.state_value
            if state == old:
                return
            alarm.update_state(reason, data, state)
            states = {
                "oldState": {"stateValue": old},
                "newState": {"stateValue": state, "stateReason": reason, "stateReasonData": data},
            }
            self._remember(alarm, "StateUpdate", f"Alarm updated from {old} to {state}", states)
            actions = {OK: alarm.ok_actions, ALARM: alarm.alarm_actions, INSUFFICIENT: alarm.insufficient_data_actions}
            for arn in actions[state] if alarm.actions_enabled else ():
                self._tell(alarm, arn, old)

    def _tell(self, alarm: Any, arn: str, old: str) -> None:
        """Carry out one action, or remember why not: no action may keep the others, or other alarms, from theirs."""
        try:
            self._publish(alarm, arn, old)
            done = f"Successfully executed action {arn}"
        except Exception as error:
            _LOG.warning("the alarm %s could not do %s: %s", alarm.name, arn, error)
            done = f"Failed to execute action {arn}: {error}"
        self._remember(alarm, "Action", done, {"actionState": done.split()[0], "notificationResource": arn})

    def _publish(self, alarm: Any, arn: str, old: str) -> None:
        from moto.sns.models import sns_backends

        if not arn.startswith("arn:aws:sns:"):
            raise LabError("the lab's alarms tell SNS topics, and do nothing else, such as recovering an instance")
        subject = f'{alarm.state_value}: "{alarm.name}" in EU (Frankfurt)'[:99]
        topics = sns_backends[self._account][self._region]
        topics.publish(json.dumps(self._message(alarm, old)), arn=arn, subject=subject)

    def _message(self, alarm: Any, old: str) -> dict[str, Any]:
        return {
            "AlarmName": alarm.name,
            "AlarmDescription": alarm.description,
            "AWSAccountId": self._account,
            "AlarmConfigurationUpdatedTimestamp": _stamp(alarm.configuration_updated_timestamp),
            "NewStateValue": alarm.state_value,
            "NewStateReason": alarm.state_reason,
            "StateChangeTime": _stamp(alarm.state_updated_timestamp),
            "Region": "EU (Frankfurt)",
            "AlarmArn": alarm.alarm_arn,
            "OldStateValue": old,
            "OKActions": alarm.ok_actions,
            "AlarmActions": alarm.alarm_actions,
            "InsufficientDataActions": alarm.insufficient_data_actions,
            **({"AlarmRule": alarm.rule} if alarm.rule is not None else {"Trigger": _trigger(alarm)}),
        }

    # --- History -------------------------------------------------------------------------------------------

    def _remember(self, alarm: Any, kind: str, summary: str, data: Mapping[str, Any]) -> None:
        self._history.append(
            {
                "AlarmName": alarm.name,
                "AlarmType": "MetricAlarm" if alarm.rule is None else "CompositeAlarm",
                "Timestamp": now(),
                "HistoryItemType": kind,
                "HistorySummary": summary,
                "HistoryData": json.dumps({"version": "1.0", **data}),
            }
        )

    def forget(self, names: Iterable[str]) -> None:
        """Note that alarms are about to be deleted; their history stays."""
        with self._lock:
            for name in names:
                if (alarm := self.backend.alarms.get(name)) is not None:
                    self._remember(alarm, "ConfigurationUpdate", f"Alarm {name} deleted", {"type": "Delete"})

    def history(self, wanted: Callable[[Mapping[str, Any]], bool]) -> list[dict[str, Any]]:
        """What is remembered, the oldest first."""
        with self._lock:
            return [item for item in self._history if wanted(item)]


def _trigger(alarm: Any) -> dict[str, Any]:
    return {
        "MetricName": alarm.metric_name,
        "Namespace": alarm.namespace,
        "StatisticType": "Statistic",
        "Statistic": (alarm.statistic or "").upper(),
        "Unit": alarm.unit,
        "Dimensions": [{"value": each.value, "name": each.name} for each in alarm.dimensions],
        "Period": alarm.period,
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data or "",
        "EvaluateLowSampleCountPercentile": "",
    }


def _stamp(at: datetime) -> str:
    return f"{utc(at).isoformat(timespec='milliseconds')}+0000"
