# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that sends one message: it reads the order from standard input, and says what came of it.

No word of a library gets out of here, since it may have the address in it: only codes and numbers do.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error

UNKNOWN = "Apprise does not know such an address, or a part of it is missing"
MISSING = "Apprise is not installed here: deploy with vpnha_notify_apprise set"
_CODE = re.compile(r"error=(\d{3})\b")


def main() -> NoReturn:
    """One message."""
    with contextlib.suppress(OSError):  # before the monitor: this process is to wait, and to be killed first
        os.nice(10)
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    order = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer of ours
    try:
        error = publish(order) if "topic" in order else notify(order)
    except Exception as problem:
        error = f"the message could not be sent ({type(problem).__name__})"
    answers.write(json.dumps({"error": error}))
    answers.flush()
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # this process with all threads and processes that a plugin has left
    os._exit(0)


def publish(order: dict[str, Any]) -> str:
    """To SNS; why it failed, or empty."""
    message = order["message"]
    kinds = {"kind": message["kind"], "severity": message["severity"]}
    try:
        client = ec2.make_client("sns", region=order["region"], endpoint_url=order["endpoint_url"], pool=1)
        ec2.call(
            "publishing a message",
            lambda: client.publish(
                TopicArn=order["topic"],
                Subject=message["title"].encode("ascii", "replace").decode(),
                Message=f"{message['title']}\n\n{message['body']}",
                MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in kinds.items()},
            ),
        )
    except Ec2Error as error:
        return f"SNS does not take it ({error.code})"
    return ""


def notify(order: dict[str, Any]) -> str:
    """Through Apprise; why it failed, or empty."""
    heard = _Codes()
    try:
        import apprise
    except ImportError:
        return MISSING
    logging.getLogger("apprise").handlers[:] = [heard]
    logging.getLogger("apprise").propagate = False
    target = apprise.Apprise.instantiate(order["url"])
    if target is None:
        return UNKNOWN
    sender = apprise.Apprise(asset=apprise.AppriseAsset(app_id="vpnha.aws", app_desc="vpnha.aws monitor"))
    sender.add(target)
    message = order["message"]
    sent = sender.notify(
        title=message["title"],
        body=message["body"],
        notify_type=apprise.NotifyType(message["severity"]),
        body_format=apprise.NotifyFormat.TEXT,
    )
    if sent:
        return ""
    return f"the target did not take it{f' (HTTP {heard.code})' if heard.code else ''}"


class _Codes(logging.Handler):
    """Keeps the number of an HTTP error out of what Apprise logs, and nothing else of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.code = ""

    def emit(self, record: logging.LogRecord) -> None:
        found = _CODE.search(record.getMessage())
        self.code = found[1] if found else self.code


if __name__ == "__main__":
    main()
