# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic probe for real, on the loopback interface; judged by sequence numbers, never by speed."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import traffic
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.outage import StreamLosses

ROOT = Path(__file__).resolve().parents[4]
needs_raw = pytest.mark.skipif(os.geteuid() != 0, reason="ICMP needs root")


def load_responder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("responder", ROOT / "roles/drill/files/responder.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


responder = load_responder()


def request(tick: int, token: bytes = b"12345678") -> bytes:
    return traffic.REQUEST.pack(traffic.MAGIC, token, tick, 0)


def test_the_responder_counts_by_token_and_echoes() -> None:
    counters = responder.Counters()
    assert counters.reply(request(7)) == request(7) + traffic.COUNTER.pack(1)
    assert counters.reply(request(9)) == request(9) + traffic.COUNTER.pack(2)
    assert counters.reply(request(9, b"another1")) == request(9, b"another1") + traffic.COUNTER.pack(1)


@pytest.mark.parametrize("packet", [b"", b"VPNH", request(1) + b"x", b"XXXX" + request(1)[4:]])
def test_the_responder_answers_nothing_else(packet: bytes) -> None:
    assert responder.Counters().reply(packet) is None


def test_the_responder_forgets_the_token_unused_for_longest() -> None:
    counters = responder.Counters(limit=2)
    for token in (b"aaaaaaaa", b"bbbbbbbb", b"aaaaaaaa", b"cccccccc"):
        counters.reply(request(1, token))
    assert counters.reply(request(1, b"aaaaaaaa"))[-8:] == traffic.COUNTER.pack(3)
    assert counters.reply(request(1, b"bbbbbbbb"))[-8:] == traffic.COUNTER.pack(1)


class LossyResponder:
    """The responder behind a path that loses chosen ticks."""

    def __init__(self, address: str, out: Callable[[int], bool], back: Callable[[int], bool]) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.port: int = self.socket.getsockname()[1]
        self.seen = 0
        self._out, self._back = out, back
        self._counters = responder.Counters()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                packet, sender = self.socket.recvfrom(64)
            except OSError:
                return
            tick: int = traffic.REQUEST.unpack(packet)[2]
            self.seen = max(self.seen, tick)
            if self._out(tick):
                continue
            answer = self._counters.reply(packet)
            if not self._back(tick):
                self.socket.sendto(answer, sender)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "records" / "probe.record"
    yield file
    traffic.stop(file)


def await_that(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "gave up after a minute"
        time.sleep(0.02)


@needs_raw
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_probe_tells_both_ways_apart_and_ends_when_told(path: Path, address: str) -> None:
    far = LossyResponder(address, out=lambda tick: 20 <= tick < 30, back=lambda tick: 40 <= tick < 45)
    plan = traffic.Plan("probe", (traffic.Target(address, far.port),))
    header = traffic.start(plan, path)
    assert header.pid != os.getpid() and traffic.running(path)
    await_that(lambda: far.seen >= 60)
    assert traffic.stop(path) is True
    assert not traffic.running(path)
    record = traffic.load(path)
    assert record.end_reason == "stopped"
    icmp, udp = (StreamLosses(record, packets) for packets in record.packets)
    assert icmp.stats().lost == 0 and icmp.stats().sent > 40
    sent = set(record.packets[1].sent)  # a busy machine may have missed some ticks
    expected = [("out", len(sent & set(range(20, 30)))), ("return", len(sent & set(range(40, 45))))]
    assert [(run.direction, run.packets) for run in udp.runs] == [one for one in expected if one[1]]


@needs_raw
def test_a_second_probe_of_the_same_name_is_refused(path: Path) -> None:
    plan = traffic.Plan("probe", (traffic.Target("127.0.0.1"),))
    first = traffic.start(plan, path)
    with pytest.raises(VpnhaError, match="named probe is already running"):
        traffic.start(plan, path)
    assert traffic.load(path).header == first


@needs_raw
def test_a_probe_ends_by_itself(path: Path) -> None:
    traffic.start(traffic.Plan("probe", (traffic.Target("127.0.0.1"),), max_seconds=1), path)
    await_that(lambda: not traffic.running(path))
    assert traffic.load(path).end_reason == "max_seconds"
    assert traffic.stop(path) is False


@needs_raw
def test_a_probe_can_be_started_again_and_forgets_the_old_record(path: Path) -> None:
    plan = traffic.Plan("probe", (traffic.Target("127.0.0.1"),))
    first = traffic.start(plan, path)
    traffic.stop(path)
    second = traffic.start(plan, path)
    assert second.start_ns > first.start_ns
    assert traffic.load(path).end_reason == ""


def test_what_never_ran_is_told_in_a_sentence(tmp_path: Path) -> None:
    assert traffic.running(tmp_path / "none.record") is False
    assert traffic.stop(tmp_path / "none.record") is False
    with pytest.raises(VpnhaError, match="no traffic probe named none on this host"):
        traffic.load(tmp_path / "none.record")
