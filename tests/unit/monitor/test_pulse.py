# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's word to CloudWatch: what it says, what becomes of it, and that no swap ever waits for it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from gateway_agents import KEY
from monitor_world import REGION, World, deployment
from prometheus_client import CollectorRegistry

from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.description import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note
from vpnha_monitor import config
from vpnha_monitor.credentials import Renewal
from vpnha_monitor.metrics import Counters
from vpnha_monitor.pulse import Pulse, Speaker


def until(condition: Any) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


# --- the thread -----------------------------------------------------------------------------------------------


def test_it_goes_on_after_errors_and_tells_them() -> None:
    said: list[str] = []
    errors = iter(["no network", "", "", ""])

    def say() -> None:
        error = next(errors, "")
        if error or len(said) == 2:
            raise OSError(error)

    speaker = Speaker(say, said.append, first=0.0, every=0.001, retry=0.001)
    speaker.start()
    until(lambda: len(said) >= 5)
    speaker.stop()
    assert said[:5] == ["no network", "", "OSError", "", ""]


def test_it_waits_at_first_and_then_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses, by an event that hears them instead of waiting; each call takes two seconds."""
    pauses: list[float] = []
    clock = itertools.count(100.0, 2.0)
    monkeypatch.setattr("vpnha_monitor.pulse.time", SimpleNamespace(monotonic=lambda: next(clock)))
    outcomes = iter([True, False, True])

    def say() -> None:
        if not next(outcomes):
            raise OSError("no network")

    speaker = Speaker(say, lambda error: None, first=10.0, every=60.0, retry=15.0)

    def wait(pause: float) -> bool:
        pauses.append(pause)
        return len(pauses) > 3

    speaker._stopped = SimpleNamespace(wait=wait, is_set=lambda: False)  # type: ignore[assignment]
    speaker._speak_on()
    assert pauses == [10.0, 58.0, 15.0, 58.0]


def test_nothing_is_said_after_the_stop() -> None:
    begun, go_on, said = threading.Event(), threading.Event(), []

    def say() -> None:
        begun.set()
        assert go_on.wait(20)

    speaker = Speaker(say, said.append, first=0.0, every=0.0, retry=0.0)
    speaker.start()
    assert begun.wait(20)
    speaker.stop()
    go_on.set()
    speaker._thread.join(20)
    assert not speaker._thread.is_alive() and said == []


# --- what is said ---------------------------------------------------------------------------------------------


class Monitor:
    """What the pulse needs of one."""

    def __init__(self, status: Mapping[str, Any] | None = None, cloudwatch: bool = True) -> None:
        self.config = SimpleNamespace(
            cloudwatch=cloudwatch, deployment=deployment(), monitor="mon-a", endpoint_url="http://192.0.2.1"
        )
        self.answer = status
        self.counters = Counters(CollectorRegistry())
        self.renewal = Renewal()
        self.notes: list[Note] = []

    def status_document(self) -> Mapping[str, Any] | None:
        return self.answer

    def note(self, note: Note) -> None:
        self.notes.append(note)

    def puts(self, result: str) -> float:
        return self.counters.puts.labels(result)._value.get()


@pytest.mark.parametrize(("status", "value"), [({"able": True}, 1.0), ({"able": False}, 0.0), (None, 0.0)])
def test_it_says_whether_the_monitor_can_act(
    monkeypatch: pytest.MonkeyPatch, status: Mapping[str, Any] | None, value: float
) -> None:
    """One whose loop does not answer cannot."""
    calls: list[dict[str, Any]] = []
    made: list[tuple[str, dict[str, Any]]] = []

    def make_client(service: str, **given: Any) -> Any:
        made.append((service, given))
        return SimpleNamespace(put_metric_data=lambda **arguments: calls.append(arguments))

    monkeypatch.setattr(ec2, "make_client", make_client)
    monitor = Monitor(status)
    pulse = Pulse(monitor, lambda error: None)  # type: ignore[arg-type]
    pulse._say()
    pulse._say()
    dimensions = [{"Name": "deployment", "Value": "test"}, {"Name": "monitor", "Value": "mon-a"}]
    datum = {"MetricName": "monitor_able", "Dimensions": dimensions, "Value": value}
    assert calls == [{"Namespace": "vpnha", "MetricData": [datum]}] * 2
    credentials = {"prepare": monitor.renewal.prepare}  # good to their end, as those of the swaps
    assert made == [("cloudwatch", {"region": REGION, "endpoint_url": "http://192.0.2.1", "pool": 1, **credentials})]
    monitor.config.endpoint_url = "http://192.0.2.2"
    pulse._say()
    assert [given["endpoint_url"] for _service, given in made] == ["http://192.0.2.1", "http://192.0.2.2"]


def test_errors_are_counted_and_told_once_and_so_is_their_end() -> None:
    monitor = Monitor()
    pulse = Pulse(monitor, lambda error: None)  # type: ignore[arg-type]
    for error in ("no network", "no network", "", "denied", "denied"):
        pulse.said(error)
    assert monitor.notes == []
    pulse.said("denied")
    pulse.said("denied")
    (note,) = monitor.notes
    assert (note.code, note.subject, note.text, note.resolved) == ("cloudwatch-unwritable", "mon-a", "denied.", False)
    pulse.said("")
    pulse.said("")
    assert [(each.code, each.resolved) for each in monitor.notes[1:]] == [("cloudwatch-unwritable", True)]
    assert (monitor.puts("ok"), monitor.puts("failed")) == (3.0, 6.0)


def test_a_new_configuration_begins_and_ends_it() -> None:
    monitor = Monitor(cloudwatch=False)
    pulse = Pulse(monitor, lambda error: None)  # type: ignore[arg-type]
    pulse.suit()
    assert pulse._speaker is None
    monitor.config.cloudwatch = True
    pulse.suit()
    speaker = pulse._speaker
    assert speaker is not None and speaker._thread.is_alive()
    pulse.suit()
    assert pulse._speaker is speaker
    for _number in range(3):
        pulse.said("denied")
    monitor.config.cloudwatch = False
    pulse.suit()
    assert pulse._speaker is None
    speaker._thread.join(20)
    assert not speaker._thread.is_alive()
    assert [each.resolved for each in monitor.notes] == [False, True]


@pytest.mark.parametrize(
    ("given", "expected"), [({}, False), ({"cloudwatch": True}, True), ({"cloudwatch": "no"}, None)]
)
def test_the_configuration_says_whether(given: dict[str, Any], expected: bool | None) -> None:
    value = {"monitor": "mon-a", "deployment": to_dict(deployment()), "keys": [KEY], **given}
    if expected is None:
        with pytest.raises(DescriptionError, match="cloudwatch: 'no' is no truth value; write true or false"):
            config.parse(value, "monitor.yml")
    else:
        assert config.parse(value, "monitor.yml").cloudwatch is expected


# --- the daemon -----------------------------------------------------------------------------------------------


def test_a_swap_does_not_wait_for_cloudwatch(world: World) -> None:
    """CloudWatch hangs while a gateway dies: the routes leave. The call is given up, counted, and made again."""
    world.proxy.delays["PutMetricData"] = 600.0
    world.configure(cloudwatch=True)
    world.start()
    world.until(lambda: world.proxy.begun["PutMetricData"])
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    assert world.proxy.ended["PutMetricData"] == 0
    world.until(lambda: 'vpnha_cloudwatch_puts_total{result="failed"} 1.0' in (world.get("/metrics") or (0, ""))[1])
    world.proxy.delays.clear()
    world.until(lambda: 'vpnha_cloudwatch_puts_total{result="ok"} 1.0' in (world.get("/metrics") or (0, ""))[1])
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    cloudwatch: Any = boto3.client("cloudwatch", region_name=REGION, endpoint_url="http://127.0.0.1:4566", **keys)
    now = datetime.now(UTC)
    found = cloudwatch.get_metric_statistics(
        Namespace="vpnha",
        MetricName="monitor_able",
        Dimensions=[{"Name": "deployment", "Value": "test"}, {"Name": "monitor", "Value": "mon-a"}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=600,
        Statistics=["Minimum", "SampleCount"],
    )["Datapoints"]
    assert [(each["Minimum"], each["SampleCount"]) for each in found] == [(1.0, 1.0)]
