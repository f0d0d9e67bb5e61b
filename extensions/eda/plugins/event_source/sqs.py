# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch alarms from an SQS queue, which they reach through SNS. It stands alone: it is run by its path."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

DOCUMENTATION = r"""
short_description: CloudWatch alarms from an SQS queue
description:
  - Reads an SQS queue that an SNS topic delivers CloudWatch alarms to, with raw message delivery or without.
  - An event has the alarm as CloudWatch writes it in C(body) and the message's id in C(meta.MessageId), which is what
    C(ansible.eda.aws_sqs_queue) makes of a message with raw delivery.
  - A message is deleted after its event was taken. What is no alarm is logged, and left to the queue's redrive policy.
options:
  queue: {description: Name or URL of the queue., type: str, required: true}
  region: {description: "Region of the queue. Without it, what boto3 finds.", type: str}
  endpoint_url: {description: "Another endpoint than AWS's own.", type: str}
  wait_seconds: {description: "How long SQS waits for a message before it answers, 1 to 20.", type: int, default: 20}
"""

EXAMPLES = r"""
- vpnha.aws.sqs:
    queue: vpnha-alarms
    region: eu-central-1
"""

LOG = logging.getLogger("vpnha.aws.sqs")
OPTIONS = ("queue", "region", "endpoint_url", "wait_seconds")
GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
LONGEST_PAUSE = 60.0  # seconds between two tries while SQS cannot be asked
TEMPLATES = ("{{", "{%", "{#")  # playbooks get the event as a variable, where they would be run


class SourceError(Exception):
    """What keeps this source from working, in one sentence."""


def alarm_in(text: str) -> dict[str, Any]:
    """The alarm in a message's body; ValueError, with the reason, if there is none."""
    try:
        found = json.loads(text)
        if isinstance(found, dict) and found.get("Type") == "Notification":
            found = json.loads(str(found.get("Message")))
    except json.JSONDecodeError:
        found = None
    names = ("AlarmName", "NewStateValue")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in names):
        raise ValueError("it is no CloudWatch alarm")
    if any(sign in json.dumps(found, ensure_ascii=False) for sign in TEMPLATES):
        raise ValueError("it has a Jinja template in it")
    return found


def problem(error: Exception, queue: str) -> SourceError:
    """An error of boto3 as one sentence."""
    if getattr(error, "response", {}).get("Error", {}).get("Code") in GONE:
        return SourceError(f"There is no SQS queue {queue} in this region and account: create it, or mend 'queue'.")
    return SourceError(f"The SQS queue {queue} cannot be read: {' '.join(str(error).split())}")


async def main(queue: asyncio.Queue[dict[str, Any]], args: dict[str, Any]) -> None:
    """Puts alarms into ansible-rulebook's queue until it is cancelled. SourceError when the SQS queue is not there."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    if unknown := sorted(set(args) - set(OPTIONS)):
        raise SourceError(f"vpnha.aws.sqs has no option {', '.join(unknown)}; it has {', '.join(OPTIONS)}.")
    name, wait = str(args.get("queue") or ""), args.get("wait_seconds", 20)
    if not name or not isinstance(wait, int) or not 1 <= wait <= 20:
        raise SourceError("vpnha.aws.sqs needs 'queue', and 'wait_seconds' is a whole number from 1 to 20.")
    try:
        client = boto3.client("sqs", region_name=args.get("region"), endpoint_url=args.get("endpoint_url"))
        url = name if "://" in name else (await asyncio.to_thread(client.get_queue_url, QueueName=name))["QueueUrl"]
    except (BotoCoreError, ClientError, ValueError) as error:
        raise problem(error, name) from error
    bad, pause = 0, 1.0
    while True:
        try:
            asked = {"QueueUrl": url, "WaitTimeSeconds": wait, "MaxNumberOfMessages": 10}
            answer = await asyncio.to_thread(client.receive_message, **asked)
            pause = 1.0
            for message in answer.get("Messages", ()):
                try:
                    event = {"body": alarm_in(message["Body"]), "meta": {"MessageId": message["MessageId"]}}
                except ValueError as reason:
                    bad += 1
                    LOG.warning("message %s is left: %s (%d so far)", message["MessageId"], reason, bad)
                    continue
                await queue.put(event)
                await asyncio.to_thread(client.delete_message, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError) as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") in GONE:
                raise problem(error, name) from error
            LOG.error("%s; the next try is in %.0f s", problem(error, name), pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
