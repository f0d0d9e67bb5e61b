# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the monitor's own way to EC2, or to what else it needs, leads through a gateway that it looks after.

Looked at from the start on, in a thread of its own: routes and names change while a monitor runs. It is told, and
changes nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.vpnha.aws.plugins.module_utils import api_way, ec2, lease
from ansible_collections.vpnha.aws.plugins.module_utils.api_way import Service, Way
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note

from . import log
from .config import MonitorConfig
from .reader import Reader, Reading

if TYPE_CHECKING:
    from .daemon import Monitor

EVERY = 60.0  # s
RETRY = 10.0  # s after a look that failed, or while the way leads through the VPN: whoever mends it waits for that


def services(config: MonitorConfig, url: Callable[[str, str], str]) -> Iterator[Service]:
    """The services beside EC2 that a configuration needs. ``url`` gives that of one in a region.

    Where one URL serves all of them there is nothing to be seen that is not seen of EC2.
    """
    if config.endpoint_url:
        return
    region = config.deployment.region
    if lease.needed(config.deployment):
        yield Service("DynamoDB", "the monitors cannot agree by it", partial(url, "dynamodb", region))
    if config.cloudwatch or config.deployment.managed_gateways:
        lost = "this monitor neither reports to it nor reads it"
        yield Service("CloudWatch", lost, partial(url, "cloudwatch", region))
    if topic := config.announcing.sns_topic:
        yield Service("SNS", "no message gets to the topic", partial(url, "sns", topic.split(":")[3] or region))


def _url(service: str, region: str, prepare: Callable[[Any], None] | None = None) -> str:
    """As a client of it would call it. Raises Ec2Error."""
    return str(ec2.make_client(service, region=region, pool=1, prepare=prepare).meta.endpoint_url)


@dataclass(frozen=True)
class Proof:
    """What a look at this host's way to EC2's API has come to."""

    text: str = ""  # a sentence on the way; empty where nobody has looked
    bad: bool = False
    unproven: str = ""  # a sentence where it is neither good nor bad, and why that is not known
    warnings: Collection[str] = ()  # a sentence for each other service that is not reached as it should be


def prove(loaded: MonitorConfig) -> Proof:
    """Look once, from this host. Raises no Ec2Error: that is the sentence."""
    try:
        client = ec2.make_client(region=loaded.deployment.region, endpoint_url=loaded.endpoint_url)
        found = api_way.find(client, loaded.deployment, loaded.monitor, services=services(loaded, _url))
    except Ec2Error as error:
        return Proof(f"EC2's API does not answer this host as it should: {error}.", bad=True)
    warnings = tuple(found.warnings.values())
    if found.kind != api_way.UNKNOWN:
        return Proof(found.text, bad=found.kind == api_way.BEHIND, warnings=warnings)
    why = f"EC2's API answers, but it could not be proven that no managed route leads there: {found.text}"
    return Proof(found.text, unproven=why, warnings=warnings)


class OwnWay:
    """Works for one monitor, on its loop."""

    def __init__(self, monitor: Monitor, deliver: Callable[[Reading[Way]], None]) -> None:
        """``deliver`` has the loop call `took`; it is called in the reader's thread."""
        self._monitor = monitor
        self._reader = Reader(self._read, EVERY, deliver, "way-reader", RETRY)
        self._known: Way | None = None
        self._told = ""  # the host that was told of
        self._urls: dict[tuple[str, str], str] = {}  # by service and region; for the reader's thread

    def start(self) -> None:
        """Look, and go on looking."""
        self._reader.start()

    def suit(self) -> None:
        """The configuration has changed: look at once."""
        self._reader.request()

    def stop(self) -> None:
        """Look no more."""
        self._reader.stop()

    def status(self) -> Mapping[str, Any] | None:
        """What is known of it; None before EC2 has first answered."""
        return None if self._known is None else asdict(self._known)

    def took(self, reading: Reading[Way]) -> None:
        """Take what was seen. Where EC2 does not answer, which is told anyway, what was seen before stays."""
        if reading.view is None:
            return
        before = self._known.warnings if self._known else {}
        way = self._known = reading.view
        for name, text in way.warnings.items():
            if name not in before:
                log.line(text, logging.WARNING, code="service-unreached", service=name)
        if way.kind == api_way.BEHIND and not self._told:
            self._told = way.host
            self._monitor.note(Note("api-behind-vpn", way.host, way.text, _facts(way)))
        elif way.kind in (api_way.PAST, api_way.WITHIN) and self._told:
            host, self._told = self._told, ""
            self._monitor.note(Note("api-behind-vpn", host, way.text, _facts(way), resolved=True))

    def _read(self) -> Way:
        """In the reader's thread; raises Ec2Error."""
        config = self._monitor.config
        others = services(config, self._url)
        way = api_way.find(self._monitor.client.get(), config.deployment, config.monitor, services=others)
        self._reader.interval = RETRY if way.kind == api_way.BEHIND else EVERY
        return way

    def _url(self, service: str, region: str) -> str:
        key = (service, region)
        if key not in self._urls:  # a client is made for it, which takes a moment
            self._urls[key] = _url(service, region, self._monitor.renewal.prepare)
        return self._urls[key]


def _facts(way: Way) -> dict[str, object]:
    return {
        "addresses": list(way.addresses),
        "table": way.table,
        "destination": way.destination,
        "target": way.target,
    }
