# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the collection talks to EC2: clients that never stall, and errors in one sentence. Its limits are in ``pace``.

A client made here has botocore's retries off and short timeouts, because whoever fails over must know within
seconds whether a call went through, and decides by itself what to repeat. Its signatures follow the clock of AWS: a
host whose own clock is wrong is exactly the host that may still have to move routes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from .errors import Ec2Error
from .pace import THROTTLED

if TYPE_CHECKING:
    from botocore.config import Config

# Codes of our own, beside EC2's: what happened to a call that got no answer from EC2.
TIMEOUT = "timeout"
UNREACHABLE = "unreachable"
CLOSED = "closed"  # the connection broke, or the answer was not EC2's
CREDENTIALS = "credentials"

# The call may have been applied although it failed.
UNKNOWN_OUTCOME = frozenset({TIMEOUT, CLOSED, "InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"})
UNKNOWN_OUTCOME |= {"InternalServerError"}  # DynamoDB's word for it
# Worth one more try; an answer of another code would only be given again. The last four are what a clock that is off
# looks like, see `Clock`: the next try has AWS's time.
TRANSIENT = THROTTLED | UNKNOWN_OUTCOME | {UNREACHABLE}
TRANSIENT |= {"RequestExpired", "RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch"}

_SIGNER = "v4-vpnha"


class Clock:
    """How far this host's wall clock is from AWS's, learnt from the Date of every answer.

    Below ``tolerance`` seconds nothing is corrected: EC2 accepts it, and the Date has whole seconds only.
    """

    def __init__(self, tolerance: float = 30.0) -> None:
        self.tolerance = tolerance
        self.skew = 0.0  # AWS's clock minus ours, seconds; 0.0 while within the tolerance

    def learn(self, date_header: str | None, now_wall: float) -> None:
        """Takes the Date header of an answer; one that cannot be read is ignored."""
        from email.utils import parsedate_to_datetime

        try:
            skew = parsedate_to_datetime(date_header or "").timestamp() - now_wall
        except (TypeError, ValueError):
            return
        self.skew = skew if abs(skew) > self.tolerance else 0.0

    def now(self) -> float:
        """What AWS's clock shows, as far as it is known: seconds since the epoch."""
        return time.time() + self.skew


CLOCK = Clock()  # one per process: it is the host's clock that is off


def settings(*, patient: bool = False, swift: bool = False, pool: int = 32) -> Config:
    """The botocore configuration of our clients.

    ``patient`` is for work that nobody waits for in an emergency (making things, reading an overview): botocore may
    repeat a call by itself and wait longer. ``swift`` is for calls that are worth nothing a second later. ``pool`` is
    the number of connections that are kept warm.
    """
    from botocore.config import Config

    return Config(
        connect_timeout=5 if patient else 1,
        read_timeout=30 if patient else 1.0 if swift else 2.5,
        retries={"mode": "standard", "total_max_attempts": 5 if patient else 1},
        max_pool_connections=pool,
        tcp_keepalive=True,
    )


def make_client(
    service: str = "ec2",
    *,
    region: str,
    endpoint_url: str = "",
    pool: int = 32,
    patient: bool = False,
    swift: bool = False,
    prepare: Callable[[Any], None] | None = None,
) -> Any:
    """A client of an AWS service with `settings`, credentials as boto3 finds them, thread-safe.

    An empty ``endpoint_url`` means AWS's own, or what the environment says (``AWS_ENDPOINT_URL``). ``prepare`` may
    change botocore's session first, and raises Ec2Error.
    Raises Ec2Error when boto3 is missing or the configuration is unusable.
    """
    try:
        import boto3
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise Ec2Error("preparing to talk to AWS", "boto3", f"boto3 is not installed here: {error}") from error
    try:
        core = botocore.session.get_session()
        if prepare is not None:
            prepare(core)
        # typed, it would want a literal name of a service
        session: Any = boto3.session.Session(botocore_session=core, region_name=region)
        client = session.client(
            service,
            endpoint_url=endpoint_url or None,
            config=settings(patient=patient, swift=swift, pool=pool),
        )
    except (BotoCoreError, ValueError) as error:
        raise translate("preparing to talk to AWS", error) from error
    return correct_clock(client)


def correct_clock(client: Any) -> Any:
    """Makes a client sign with AWS's time instead of this host's, and learn it from answers; returns the client."""
    import datetime

    from botocore import auth

    if _SIGNER not in auth.AUTH_TYPE_MAPS:

        class CorrectedAuth(auth.SigV4Auth):
            def _modify_request_before_signing(self, request: Any) -> None:
                if CLOCK.skew:
                    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=CLOCK.skew)
                    request.context["timestamp"] = now.strftime(auth.SIGV4_TIMESTAMP)
                super()._modify_request_before_signing(request)  # type: ignore[misc]

        auth.AUTH_TYPE_MAPS[_SIGNER] = CorrectedAuth

    def learn(response_dict: dict[str, Any] | None = None, **_kwargs: Any) -> None:
        if response_dict is not None:
            CLOCK.learn(response_dict.get("headers", {}).get("date"), time.time())

    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"choose-signer.{service}", lambda **_kwargs: _SIGNER)
    client.meta.events.register(f"response-received.{service}", learn)
    return client


def of_module(module: Any, *, patient: bool = False, service: str = "ec2") -> Any:
    """The client of an Ansible module (an AnsibleAWSModule: credentials, region, endpoint from its options)."""
    return correct_clock(module.client(service, config=settings(patient=patient)))


def translate(doing: str, error: Exception) -> Ec2Error:
    """An exception of botocore as one sentence with a code: EC2's own, or one of this module's.

    ``doing`` is what was being done, as in "reading the route tables".
    """
    from botocore import exceptions as bex

    if isinstance(error, bex.ClientError):
        code, message = _answered(error.response.get("Error", {}))
    elif isinstance(error, (bex.NoCredentialsError, bex.PartialCredentialsError, bex.CredentialRetrievalError)):
        code = CREDENTIALS
        message = f"no usable AWS credentials ({_brief(error)}); set them in the environment, a profile or a role"
    elif isinstance(error, (bex.ReadTimeoutError, bex.ConnectTimeoutError)):
        code, message = TIMEOUT, f"no answer in time: {_brief(error)}"
    elif isinstance(error, bex.EndpointConnectionError):
        code, message = UNREACHABLE, f"the endpoint cannot be reached: {_brief(error)}"
    elif isinstance(error, (bex.HTTPClientError, bex.IncompleteReadError)) or "ResponseParser" in type(error).__name__:
        code, message = CLOSED, f"the connection broke: {_brief(error)}"
    elif isinstance(error, bex.NoRegionError):
        code, message = "NoRegion", "no region is given; set it, or AWS_REGION in the environment"
    else:
        code, message = type(error).__name__, _brief(error)
    return Ec2Error(doing, code, message, applied=None if code in UNKNOWN_OUTCOME else False)


def _answered(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Code and sentence of an error that AWS answered."""
    code = str(answer.get("Code") or "Unknown")
    message = str(answer.get("Message") or "no reason given")
    if code in ("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"):
        message = f"AWS does not accept the credentials: {message}"
    elif code in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"):
        # The encoded message is hundreds of characters that only STS can read.
        message = f"the credentials lack a permission: {message.split(' Encoded authorization', maxsplit=1)[0]}"
    return code, message


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())


@contextmanager
def telling(doing: str) -> Iterator[None]:
    """Turns every exception of boto3 inside the block into an Ec2Error that says what was being done."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise translate(doing, error) from error


def call(doing: str, function: Callable[[], Any]) -> Any:
    """A call that may be repeated safely, with one more try where that can help. Raises Ec2Error.

    Where the first try may have been applied, no refusal of the second one says that it was not.
    """
    unsure = False
    try:
        with telling(doing):
            return function()
    except Ec2Error as error:
        if error.code not in TRANSIENT:
            raise
        unsure = error.applied is None
    try:
        with telling(doing):
            return function()
    except Ec2Error as error:
        if unsure:
            error.applied = None
        raise


def pages(client: Any, operation: str, key: str, doing: str, **arguments: Any) -> list[dict[str, Any]]:
    """All items of a paged Describe call. ``key`` is the answer's list, e.g. "RouteTables". Raises Ec2Error."""
    items: list[dict[str, Any]] = []
    method = getattr(client, operation)
    token: str | None = None
    while True:
        more = {"NextToken": token} if token else {}
        answer = call(doing, partial(method, **arguments, **more))
        items.extend(answer.get(key, []))
        token = answer.get("NextToken")
        if not token:
            return items
