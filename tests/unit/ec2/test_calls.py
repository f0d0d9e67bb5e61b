# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How EC2 is called: errors in one sentence, AWS's clock followed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from botocore import exceptions as bex
from botocore.exceptions import ClientError

from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error


def answered(code: str, message: str = "because") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "ReplaceRoute")


@pytest.mark.parametrize(
    ("error", "code", "applied", "words"),
    [
        (answered("RouteNotFound"), "RouteNotFound", False, "swapping: RouteNotFound: because"),
        (answered("InternalError"), "InternalError", None, "because"),
        (answered("UnauthorizedOperation", "No. Encoded authorization failure message: abc"), "UnauthorizedOperation",
         False, "lack a permission: No."),
        (answered("AuthFailure"), "AuthFailure", False, "does not accept the credentials"),
        (bex.NoCredentialsError(), ec2.CREDENTIALS, False, "no usable AWS credentials"),
        (bex.ReadTimeoutError(endpoint_url="http://x"), ec2.TIMEOUT, None, "no answer in time"),
        (bex.EndpointConnectionError(endpoint_url="http://x"), ec2.UNREACHABLE, False, "cannot be reached"),
        (bex.ConnectionClosedError(endpoint_url="http://x"), ec2.CLOSED, None, "the connection broke"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_with_a_code(error: Exception, code: str, applied: bool | None, words: str) -> None:
    told = ec2.translate("swapping", error)
    assert (told.code, told.applied) == (code, applied)
    assert words in str(told)
    assert "\n" not in str(told)
    assert "Encoded" not in str(told)


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = ec2.make_client(region="eu-central-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(Ec2Error, match="reading: credentials: no usable AWS credentials"):
        ec2.call("reading", client.describe_vpcs)


def test_an_endpoint_that_nobody_listens_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, and not listening
        client = ec2.make_client(region="eu-central-1", endpoint_url=f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(Ec2Error, match="the endpoint cannot be reached") as told:
            ec2.call("reading", client.describe_vpcs)
    assert told.value.code == ec2.UNREACHABLE


def test_a_reading_call_is_tried_twice_where_that_can_help() -> None:
    tries: list[int] = []

    def failing(code: str) -> None:
        tries.append(1)
        raise answered(code)

    with pytest.raises(Ec2Error):
        ec2.call("reading", lambda: failing("RequestLimitExceeded"))
    assert len(tries) == 2
    with pytest.raises(Ec2Error):
        ec2.call("reading", lambda: failing("UnauthorizedOperation"))
    assert len(tries) == 3


@pytest.mark.parametrize(
    ("codes", "applied"),
    [
        (("InternalError", "RequestLimitExceeded"), None),
        (("RequestLimitExceeded", "RequestLimitExceeded"), False),
        (("RequestLimitExceeded", "InternalError"), None),
    ],
)
def test_a_second_refusal_does_not_say_that_the_first_try_was_not_applied(
    codes: tuple[str, str], applied: bool | None
) -> None:
    left = list(codes)

    def failing() -> None:
        raise answered(left.pop(0))

    with pytest.raises(Ec2Error) as told:
        ec2.call("writing the tag", failing)
    assert left == [] and told.value.applied is applied


class AnswersLater(BaseHTTPRequestHandler):
    """An endpoint whose clock is an hour ahead; keeps what time the requests were signed with."""

    signed: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.signed.append(self.headers["X-Amz-Date"])
        body = b"<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>"
        self.send_response_only(200)
        self.send_header("Date", "Fri, 01 Jan 2100 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def ahead() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), AnswersLater)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    AnswersLater.signed.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    ec2.CLOCK.skew = 0.0


def test_calls_are_signed_with_the_clock_of_aws(ahead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    client = ec2.make_client(region="eu-central-1", endpoint_url=ahead)
    ec2.call("reading", client.describe_vpcs)
    ec2.call("reading", client.describe_vpcs)
    assert not AnswersLater.signed[0].startswith("2100")
    assert AnswersLater.signed[1].startswith("21000101T0000")
    assert ec2.CLOCK.skew > 3600


def test_a_clock_that_is_right_is_left_alone() -> None:
    clock = ec2.Clock()
    clock.learn("Thu, 01 Jan 2026 00:00:20 GMT", 1_767_225_600.0)
    assert clock.skew == 0.0
    clock.learn("Thu, 01 Jan 2026 00:10:00 GMT", 1_767_225_600.0)
    assert clock.skew == 600.0
    clock.learn("nonsense", 1_767_225_600.0)
    assert clock.skew == 600.0


def test_nothing_is_repeated_behind_our_back() -> None:
    assert ec2.settings().retries["total_max_attempts"] == 1
    assert (ec2.settings().connect_timeout, ec2.settings().read_timeout) == (1, 2.5)
