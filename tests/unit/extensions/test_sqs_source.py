# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source for SQS, run by its path as ansible-rulebook does, against the lab's endpoint."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import runpy
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.unit.endpoint_process import endpoint

SOURCE = runpy.run_path(
    str(Path(__file__).resolve().parents[3] / "extensions" / "eda" / "plugins" / "event_source" / "sqs.py")
)
ALARM = {"AlarmName": "lab-vpn-1-connection", "NewStateValue": "ALARM", "Trigger": {"Dimensions": [{"name": "VpnId"}]}}
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint's address."""
    with endpoint(tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(autouse=True)
def rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for the endpoint, and nothing else that boto3 could find."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-needed-here")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@dataclass
class Queue:
    """A queue of its own for each test."""

    sqs: Any
    endpoint: str
    name: str
    url: str

    def send(self, body: Any) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))

    @property
    def left(self) -> int:
        """Messages that are not deleted."""
        shown = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(shown["ApproximateNumberOfMessages"]) + int(shown["ApproximateNumberOfMessagesNotVisible"])

    @property
    def options(self) -> dict[str, Any]:
        return {"queue": self.name, "region": "eu-central-1", "endpoint_url": self.endpoint, "wait_seconds": 1}


@pytest.fixture
def queue(url: str) -> Queue:
    make: Any = boto3.client
    sqs, name = make("sqs", region_name="eu-central-1", endpoint_url=url), f"queue-{next(NUMBERS)}"
    return Queue(sqs, url, name, sqs.create_queue(QueueName=name)["QueueUrl"])


def run(options: dict[str, Any], watch: Callable[[asyncio.Queue[dict[str, Any]]], Awaitable[Any]]) -> Any:
    """What ``watch`` finds in ansible-rulebook's queue, which takes one event at a time, while the source runs."""

    async def both() -> Any:
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        source = asyncio.create_task(SOURCE["main"](events, options))
        watching = asyncio.ensure_future(watch(events))
        await asyncio.wait({source, watching}, return_when=asyncio.FIRST_COMPLETED, timeout=120)
        if not watching.done():
            watching.cancel()
            await asyncio.wait_for(source, 1)  # raises what ended it
        source.cancel()
        return await watching

    return asyncio.run(both())


def fails(options: dict[str, Any], watch: Callable[..., Awaitable[Any]] | None = None) -> str:
    """The sentence that the source ends with."""

    async def forever(_events: Any) -> None:
        await asyncio.sleep(3600)

    with pytest.raises(SOURCE["SourceError"]) as caught:
        run(options, watch or forever)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("way", ["raw", "enveloped"])
def test_an_alarm_comes_either_way_and_its_message_is_gone(queue: Queue, way: str) -> None:
    queue.send(ALARM if way == "raw" else {"Type": "Notification", "Message": json.dumps(ALARM), "TopicArn": "arn"})

    async def watch(events: asyncio.Queue[dict[str, Any]]) -> dict[str, Any]:
        event = await events.get()
        await until(lambda: queue.left == 0)
        return event

    event = run(queue.options, watch)
    assert event["body"] == ALARM and event["meta"]["MessageId"]


def test_a_queue_may_be_given_by_its_url(queue: Queue) -> None:
    queue.send(ALARM)
    assert run({**queue.options, "queue": queue.url}, lambda events: events.get())["body"] == ALARM


def test_a_message_stays_until_its_event_was_taken(queue: Queue) -> None:
    queue.send(ALARM)
    queue.send({**ALARM, "NewStateValue": "OK"})

    async def watch(events: asyncio.Queue[dict[str, Any]]) -> None:
        await until(lambda: queue.left == 1)  # the first is in ansible-rulebook's queue, the second waits for room
        await asyncio.sleep(0.5)
        assert queue.left == 1
        await events.get()
        await until(lambda: queue.left == 0)

    run(queue.options, watch)


BAD = {
    "no JSON": ("it is no CloudWatch alarm", "rubbish"),
    "no object": ("it is no CloudWatch alarm", "[1]"),
    "no alarm": ("it is no CloudWatch alarm", json.dumps({"Records": []})),
    "no alarm in the envelope": ("it is no CloudWatch alarm", json.dumps({"Type": "Notification", "Message": "hello"})),
    "an empty envelope": ("it is no CloudWatch alarm", json.dumps({"Type": "Notification"})),
    "a state that is none": ("it is no CloudWatch alarm", json.dumps({**ALARM, "NewStateValue": 1})),
    "a template": (
        "it has a Jinja template in it",
        json.dumps({**ALARM, "NewStateReason": "{{ lookup('pipe', 'x') }}"}),
    ),
    "a hidden template": (
        "it has a Jinja template in it",
        json.dumps({**ALARM, "NewStateReason": "{% x %}"}).replace("{%", "\\u007b%"),
    ),
}


def test_what_is_no_alarm_is_counted_logged_and_left(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "vpnha.aws.sqs")
    for _reason, body in BAD.values():
        queue.send(body)
    queue.send(ALARM)

    async def watch(events: asyncio.Queue[dict[str, Any]]) -> dict[str, Any]:
        event = await events.get()
        await until(lambda: queue.left == len(BAD) and len(caplog.messages) == len(BAD))
        return event

    assert run(queue.options, watch)["body"] == ALARM
    for number, (reason, _body) in enumerate(BAD.values(), 1):
        assert any(text.endswith(f"is left: {reason} ({number} so far)") for text in caplog.messages), caplog.messages


def test_a_queue_that_is_not_there_is_one_sentence(queue: Queue) -> None:
    sentence = "There is no SQS queue {} in this region and account: create it, or mend 'queue'."
    assert fails({**queue.options, "queue": "nowhere"}) == sentence.format("nowhere")
    assert fails({**queue.options, "queue": f"{queue.url}-2"}) == sentence.format(f"{queue.url}-2")

    async def remove(_events: Any) -> None:
        await asyncio.to_thread(queue.sqs.delete_queue, QueueUrl=queue.url)
        await asyncio.sleep(3600)

    assert fails(queue.options, remove) == sentence.format(queue.name)  # also while it runs


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"queue": ""}, "vpnha.aws.sqs needs 'queue', and 'wait_seconds' is a whole number from 1 to 20."),
        ({"wait_seconds": 21}, "vpnha.aws.sqs needs 'queue', and 'wait_seconds' is a whole number from 1 to 20."),
        (
            {"qeue": "x"},
            "vpnha.aws.sqs has no option qeue; it has queue, region, endpoint_url, wait_seconds.",
        ),
    ],
)
def test_options_that_are_no_good_are_one_sentence(queue: Queue, change: dict[str, Any], sentence: str) -> None:
    assert fails({**queue.options, **change}) == sentence


def test_an_endpoint_that_fails_for_a_while_is_asked_again(
    queue: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import EndpointConnectionError

    make: Any = boto3.client
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        if seconds >= 1:
            pauses.append(seconds)
        await sleep(0)

    def unsteady(*args: Any, **given: Any) -> Any:
        client = make(*args, **given)
        receive = client.receive_message

        def fail_thrice(**asked: Any) -> Any:
            if len(pauses) < 3:
                raise EndpointConnectionError(endpoint_url="https://sqs")
            return receive(**asked)

        client.receive_message = fail_thrice
        return client

    monkeypatch.setattr(boto3, "client", unsteady)
    monkeypatch.setattr(asyncio, "sleep", pause)
    queue.send(ALARM)
    assert run(queue.options, lambda events: events.get())["body"] == ALARM
    assert pauses == [1.0, 2.0, 4.0]
    assert f"The SQS queue {queue.name} cannot be read: " in caplog.messages[0]
    assert caplog.messages[2].endswith("the next try is in 4 s")
