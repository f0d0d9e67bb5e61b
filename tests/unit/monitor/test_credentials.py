# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of the instance while the metadata service is away: used until they end, renewed beside the calls."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import CredentialProvider, RefreshableCredentials
from monitor_world import World
from test_daemon import running

from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from vpnha_monitor import credentials
from vpnha_monitor.credentials import Renewal

ENDING = 1260.0  # s; botocore takes less than 20 minutes for longer-lived
DUE = 3600  # s before their end, in place of a quarter of an hour: they are to be renewed now


class Metadata:
    """The metadata service. ``away``: it takes requests and does not answer."""

    def __init__(self) -> None:
        self.away = threading.Event()
        self.back = threading.Event()
        self.key, self.life = "first", ENDING
        self.asked = 0
        self.broken = False
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self._answer("token")

            def do_GET(self) -> None:
                self._answer(metadata.document() if self.path.endswith("/role") else "role")

            def _answer(self, text: str) -> None:
                metadata.asked += 1
                if metadata.away.is_set():
                    metadata.back.wait(30.0)
                    return
                self.send_response(500 if metadata.broken else 200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def document(self) -> str:
        end = datetime.now(UTC) + timedelta(seconds=self.life)
        return json.dumps(
            {
                "AccessKeyId": self.key,
                "SecretAccessKey": "secret",
                "Token": "token",
                "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )

    def close(self) -> None:
        self.back.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Metadata]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    service = Metadata()
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    monkeypatch.setattr(credentials, "_PAUSE", 0.0)
    yield service
    service.close()


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def client_of(renewal: Renewal) -> Any:
    return ec2.make_client(region="eu-central-1", endpoint_url="http://127.0.0.1:9", prepare=renewal.prepare)


class Unsent(Exception):
    """A call goes no further than this."""


def signed_with(client: Any) -> str:
    """The key that a call is signed with."""
    found = []

    def caught(request: Any, **_kwargs: Any) -> None:
        header = request.headers["Authorization"]
        found.append(re.search("Credential=([^/]+)/", header if isinstance(header, str) else header.decode()))
        raise Unsent

    client.meta.events.register("before-send.ec2", caught, unique_id="caught")
    with pytest.raises(Unsent):
        client.describe_regions()
    client.meta.events.unregister("before-send.ec2", unique_id="caught")
    return str(found[0].group(1))


def test_while_the_metadata_service_is_away_calls_get_at_once_what_is_held(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewal = Renewal()
    client = client_of(renewal)
    assert signed_with(client) == "first" and not renewal.trouble()
    asked = metadata.asked
    metadata.away.set()
    metadata.key = "second"
    monkeypatch.setattr(credentials, "_EARLY", DUE)
    assert [signed_with(client) for _ in range(50)] == ["first"] * 50
    assert metadata.asked <= asked + 1, "one thread asks, however many calls there are"
    until(renewal.trouble)
    assert "metadata service" in renewal.trouble()
    assert signed_with(client) == "first"
    metadata.away.clear()
    metadata.back.set()
    until(lambda: signed_with(client) == "second")
    assert not renewal.trouble()


def test_a_failed_try_is_not_repeated_at_once(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    renewal = Renewal()
    client = client_of(renewal)
    monkeypatch.setattr(credentials, "_PAUSE", 3600.0)
    monkeypatch.setattr(credentials, "_EARLY", DUE)
    metadata.broken = True
    signed_with(client)
    until(renewal.trouble)
    asked = metadata.asked
    for _ in range(20):
        signed_with(client)
    assert metadata.asked == asked


def test_a_thread_that_cannot_be_made_costs_no_call_and_is_tried_again(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewal = Renewal()
    client = client_of(renewal)
    metadata.key = "second"
    monkeypatch.setattr(credentials, "_EARLY", DUE)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert [signed_with(client) for _ in range(3)] == ["first"] * 3
    assert renewal.trouble() == "can't start new thread"
    until(lambda: signed_with(client) == "second")
    assert not renewal.trouble()


def test_without_any_credentials_no_client_is_made_and_with_them_the_next_one_is(metadata: Metadata) -> None:
    metadata.broken = True
    with pytest.raises(Ec2Error, match="no usable AWS credentials") as caught:
        client_of(Renewal())
    assert caught.value.code == ec2.CREDENTIALS
    metadata.broken = False
    assert signed_with(client_of(Renewal())) == "first"


def test_credentials_from_the_environment_are_botocores(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "theirs")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert signed_with(client_of(Renewal())) == "theirs"
    assert not metadata.asked


def test_complaints_of_botocore_about_others_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    renewal = Renewal()
    logging.getLogger("botocore.credentials").warning("Refreshing temporary credentials failed")
    assert "Refreshing" in renewal.trouble()
    now = time.monotonic()
    monkeypatch.setattr(credentials, "monotonic", lambda: now + 61.0)
    assert not renewal.trouble()


@pytest.mark.parametrize(("seconds_left", "skew"), [(899, 0.0), (599, 0.0), (-3600, 0.0), (4400, 3600.0)])
def test_what_is_held_is_used_to_its_end_and_beyond(
    monkeypatch: pytest.MonkeyPatch, seconds_left: int, skew: float
) -> None:
    """Within botocore's two windows; and beyond: this host's clock may be wrong, so that is for AWS to say."""
    monkeypatch.setattr(ec2.CLOCK, "skew", skew)  # AWS's clock is so much ahead, and ends them by it
    now = datetime.now(UTC)
    held = RefreshableCredentials(
        "first", "secret", "token", now + timedelta(seconds=ENDING + skew), dict, "iam-role", time_fetcher=lambda: now
    )

    class Theirs(CredentialProvider):
        found: RefreshableCredentials | None = held

        def load(self) -> RefreshableCredentials | None:
            return self.found

    theirs, renewal = Theirs(), Renewal()
    lasting = credentials._Provider(theirs, renewal).load()
    assert lasting is not None
    theirs.found = None
    now += timedelta(seconds=ENDING + skew - seconds_left)
    assert lasting.get_frozen_credentials().access_key == "first"
    until(renewal.trouble)


def test_the_monitor_tells_it_and_still_fails_over(
    world: World, metadata: Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metadata service goes away for the last quarter of an hour of the credentials."""
    due = (
        tmp_path / "due" / "sitecustomize.py"
    )  # for the monitor's process, whose credentials are in their last minutes
    due.parent.mkdir()
    due.write_text(f"from vpnha_monitor import credentials\n\ncredentials._EARLY = {DUE}\ncredentials._PAUSE = 1.0\n")
    monkeypatch.setattr(sys, "path", [str(due.parent), *sys.path])
    running(world, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
    assert not world.events("credentials-expiring")
    metadata.away.set()
    world.until(lambda: world.events("credentials-expiring"))
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b", seconds=2.0)
    metadata.away.clear()
    metadata.back.set()
    world.until(lambda: [event.resolved for event in world.events("credentials-expiring")] == [False, True])
