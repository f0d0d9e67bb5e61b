# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Heartbeats: what is taken, what is refused and counted, and that refusing changes nothing."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils import heartbeat, report_wire
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import (
    MAX_PACKET,
    HeartbeatAnswerer,
    HeartbeatAsker,
    HeartbeatError,
    KeyRing,
)
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport, LossStats, TunnelReport

OLD, NEW, OTHER = "o" * 32, "n" * 32, "x" * 32


def tunnel(name: str = "hq-gw-a") -> TunnelReport:
    return TunnelReport(
        name=name,
        ike="established",
        child="installed",
        probe=LossStats(sent=10, lost=1, window_full=True, last_answer_age=0.0312, slow_loss=0.0125, slow_full=True),
        target=LossStats(),
        large_loss=0.05,
        bgp="established",
        rtt_ms=1.25,
    )


REPORT = AgentReport(
    boot_id="b1",
    agent_id="a1",
    charon="alive",
    tunnels={"hq-gw-a": tunnel()},
    paths={"hq": "tunnel", "plant": "neighbour"},
    peers={"gw-b": 0.05, "gw-c": None},
    stopping="host",
    counters={"eu-central-1a": 12345678901},
    handed_over=True,
)


def asker(keys: KeyRing | None = None, gateway: str = "gw-a", session: bytes = b"s" * 16) -> HeartbeatAsker:
    return HeartbeatAsker(keys or KeyRing([OLD]), "mon-a", gateway, lambda: LossWindow(0.5, 10.0), lambda: session)


def answerer(keys: KeyRing | None = None, report: AgentReport | None = REPORT) -> HeartbeatAnswerer:
    agent = HeartbeatAnswerer(keys or KeyRing([OLD]), "gw-a")
    if report is not None:
        agent.publish(report, 0.0)
    return agent


def ask(asking: HeartbeatAsker, agent: HeartbeatAnswerer, now: float = 0.0) -> bytes:
    answer = agent.on_packet(asking.next_request(now), now)
    assert answer is not None
    return answer


def test_a_report_arrives_as_it_was_sent() -> None:
    asking = asker()
    answer = ask(asking, answerer(), 1.0)
    assert asking.on_packet(answer, 1.2) == REPORT
    assert asking.report == REPORT
    assert asking.rtt == pytest.approx(0.2)
    assert asking.heard_since_start
    assert asking.report_age(1.5) == pytest.approx(1.3)  # it was 1.0 s old when it left
    assert asking.answer_age(1.5) == pytest.approx(0.3)
    assert asking.stats(1.5).lost == 0


def test_an_answer_counts_once() -> None:
    asking = asker()
    answer = ask(asking, answerer())
    assert asking.on_packet(answer, 0.1) is not None
    assert asking.on_packet(answer, 0.2) is None
    assert asking.refused == {"replayed": 1}


def test_an_answer_to_something_never_asked_is_refused() -> None:
    asking, twin = asker(), asker()
    twin.next_request(0.0)
    answer = ask(twin, answerer())
    asking.next_request(0.0)
    assert asking.on_packet(answer, 0.1) is None
    assert asking.refused == {"replayed": 1}
    assert asking.report is None and not asking.heard_since_start


def test_an_answer_of_another_session_is_stale() -> None:
    before, after = asker(session=b"1" * 16), asker(session=b"2" * 16)
    answer = ask(before, answerer())
    after.next_request(0.0)
    assert after.on_packet(answer, 0.1) is None
    assert after.refused == {"stale": 1}


def test_a_restart_forgets_the_losses_and_refuses_earlier_answers() -> None:
    sessions = iter([b"1" * 16, b"2" * 16])
    asking = HeartbeatAsker(KeyRing([OLD]), "m", "gw-a", lambda: LossWindow(0.5, 10.0), lambda: next(sessions))
    late = ask(asking, answerer())
    for step in range(10):
        asking.next_request(0.1 * step)
    assert asking.stats(1.0).silent
    asking.restart()
    assert not asking.stats(1.0).silent
    assert asking.on_packet(late, 1.0) is None
    assert asking.refused == {"stale": 1}


def test_an_answer_that_took_too_long_is_stale() -> None:
    asking = asker()
    answer = ask(asking, answerer(), 0.0)
    asking.next_request(heartbeat.OUTSTANDING_SECONDS + 0.1)
    assert asking.on_packet(answer, heartbeat.OUTSTANDING_SECONDS + 0.2) is None
    assert asking.refused == {"stale": 1}


def test_an_overtaken_answer_counts_as_heard_but_brings_no_older_report() -> None:
    asking, agent = asker(), answerer()
    first = ask(asking, agent, 0.0)
    newer = replace(REPORT, charon="hung")
    agent.publish(newer, 0.1)
    second = ask(asking, agent, 0.1)
    assert asking.on_packet(second, 0.15) == newer
    assert asking.on_packet(first, 0.16) is None
    assert asking.report == newer
    assert not asking.refused
    assert asking.stats(0.3).lost == 0


def test_who_wants_no_reports_hears_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = HeartbeatAsker(KeyRing([OLD]), "gw-b", "gw-a", lambda: LossWindow(0.5, 10.0), reports=False)
    monkeypatch.setattr(heartbeat, "unpack_report", lambda body: pytest.fail("it was unpacked"))
    answer = answerer().on_packet(asking.next_request(1.0), 1.1)
    assert answer is not None
    assert asking.on_packet(answer, 1.2) is None and asking.report is None
    assert asking.heard_since_start and asking.answer_age(1.5) == pytest.approx(0.3)
    asking.on_packet(answer, 1.3)
    assert dict(asking.refused) == {"replayed": 1}


def test_another_gateways_answer_does_not_count() -> None:
    """Whoever redirects packets cannot make gw-b vouch for gw-a."""
    to_b = asker(gateway="gw-b")
    agent = answerer()
    assert agent.on_packet(to_b.next_request(0.0), 0.0) is None
    assert agent.refused == {"misdirected": 1}
    forwarded = heartbeat.encode_answer(
        KeyRing([OLD]), heartbeat.decode_request(KeyRing([OLD]), to_b.next_request(0.0)), "gw-a", 0.0, b""
    )
    assert to_b.on_packet(forwarded, 0.1) is None
    assert to_b.refused == {"misdirected": 1}


def test_a_request_is_no_answer_and_an_answer_no_request() -> None:
    asking, agent = asker(), answerer()
    request = asking.next_request(0.0)
    assert asking.on_packet(request, 0.0) is None
    answer = agent.on_packet(request, 0.0)
    assert answer is not None
    assert agent.on_packet(answer, 0.0) is None
    assert asking.refused == agent.refused == {"misdirected": 1}


def test_an_agent_answers_a_request_once() -> None:
    asking, agent = asker(), answerer()
    first, second = asking.next_request(0.0), asking.next_request(0.0)
    assert agent.on_packet(second, 0.0) is not None
    assert agent.on_packet(first, 0.0) is not None  # overtaken on the way
    assert agent.on_packet(first, 0.0) is None
    assert agent.on_packet(second, 0.0) is None
    assert agent.refused == {"replayed": 2}


def test_a_request_far_behind_its_session_is_stale() -> None:
    asking, agent = asker(), answerer()
    requests = [asking.next_request(0.0) for _ in range(1100)]
    assert agent.on_packet(requests[-1], 0.0) is not None
    assert agent.on_packet(requests[0], 0.0) is None
    assert agent.refused == {"stale": 1}
    assert agent.on_packet(requests[-1000], 0.0) is not None


def test_no_answer_before_there_is_a_report() -> None:
    assert answerer(report=None).on_packet(asker().next_request(0.0), 0.0) is None


def test_keys_rotate_without_a_gap() -> None:
    steps = [([OLD], [OLD]), ([OLD, NEW], [OLD]), ([NEW, OLD], [OLD, NEW]), ([NEW], [NEW, OLD]), ([NEW], [NEW])]
    for monitors, agents in steps:
        asking = asker(KeyRing(monitors))
        assert asking.on_packet(ask(asking, answerer(KeyRing(agents))), 0.0) == REPORT


def test_an_unknown_key_is_forged() -> None:
    agent = answerer(KeyRing([OTHER]))
    assert agent.on_packet(asker().next_request(0.0), 0.0) is None
    assert agent.refused == {"forged": 1}


def test_short_or_missing_keys_are_refused_without_telling_them() -> None:
    with pytest.raises(ValueError, match="at least one"):
        KeyRing([])
    with pytest.raises(ValueError, match="key 2 is shorter than 32") as caught:
        KeyRing([OLD, "hunter2"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("mangle", "reason"),
    [
        (lambda packet: packet[:20], "truncated"),
        (lambda packet: b"", "truncated"),
        (lambda packet: packet[:-1], "forged"),
        (lambda packet: packet + b"\0", "forged"),
        (lambda packet: b"XX" + packet[2:], "malformed"),
        (lambda packet: packet[:2] + b"\x02" + packet[3:], "version"),
        (lambda packet: packet + bytes(MAX_PACKET), "oversized"),
    ],
)
def test_broken_packets_are_told_apart(mangle, reason) -> None:  # type: ignore[no-untyped-def]
    asking, agent = asker(), answerer()
    request = asking.next_request(0.0)
    answer = agent.on_packet(asking.next_request(0.0), 0.0)
    assert agent.on_packet(mangle(request), 0.0) is None
    assert asking.on_packet(mangle(answer), 0.0) is None
    assert agent.refused == asking.refused == {reason: 1}


@given(st.data())
def test_any_changed_bit_is_noticed(data: st.DataObject) -> None:
    asking, agent = asker(), answerer()
    answer = bytearray(ask(asking, agent))
    position = data.draw(st.integers(0, len(answer) * 8 - 1))
    answer[position // 8] ^= 1 << position % 8
    assert asking.on_packet(bytes(answer), 0.1) is None
    assert sum(asking.refused.values()) == 1
    assert asking.report is None and not asking.heard_since_start
    assert asking.stats(1.0).lost == asking.stats(1.0).sent


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_change_nothing(noise: bytes, headed: bool) -> None:
    packet = b"VH\x01\x02" + noise if headed else noise
    asking, agent = asker(), answerer()
    request = asking.next_request(0.0)
    assert asking.on_packet(packet, 0.1) is None
    assert agent.on_packet(packet, 0.1) is None
    assert sum(asking.refused.values()) == sum(agent.refused.values()) == 1
    answer = agent.on_packet(request, 0.0)
    assert answer is not None and asking.on_packet(answer, 0.1) == REPORT


@given(st.binary(max_size=200))
def test_a_signed_packet_with_nonsense_inside_is_malformed_and_no_silence(body: bytes) -> None:
    """Even one who has the key (an agent of a broken version) cannot make us fall over."""
    keys, asking = KeyRing([OLD]), asker()
    for packed in (body, zlib.compress(body)):
        request = heartbeat.decode_request(keys, asking.next_request(0.0))
        answer = heartbeat.encode_answer(keys, request, "gw-a", 0.0, packed)
        assert asking.on_packet(answer, 0.1) is None
        assert asking.on_packet(answer, 0.1) is None
    assert asking.refused == {"malformed": 2, "replayed": 2}
    assert asking.report is None and asking.heard_since_start
    assert asking.stats(1.0).lost == 0


def test_a_bomb_is_malformed() -> None:
    with pytest.raises(HeartbeatError, match="malformed"):
        heartbeat.unpack_report(zlib.compress(b" " * (heartbeat.MAX_JSON + 1)))
    with pytest.raises(HeartbeatError, match="malformed"):
        heartbeat.unpack_report(zlib.compress(b"[" * 100_000))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(report_wire.to_wire(REPORT))), JSON)
def test_a_report_with_a_wrong_field_is_refused_or_sound(field: str, value: object) -> None:
    raw = {**report_wire.to_wire(REPORT), field: value}
    try:
        report = report_wire.from_wire(raw)
    except report_wire.WireError:
        return
    assert report_wire.from_wire(report_wire.to_wire(report)) == report


@pytest.mark.parametrize(
    "change",
    [
        {"charon": None},
        {"boot": None},
        {"paths": {"hq": ["tunnel"]}},
        {"heard_ms": "0000000c"},
        {"heard_ms": "-000000c0000000d"},
        {"heard_ms": "0000000c0000000"},
        {"heard_ms": [12, 13]},
        {"heard": "gw-b"},
        {"heard": "gw-b gw-b"},
        {"heard": "gw-b "},
        {"counters": {"z": 1.5}},
        {"counters": {"z": True}},
        {"tunnels": [{"name": "t", "ike": "established", "child": "installed", "probe": {"sent": 1, "lost": 2}}]},
        {"tunnels": [{"name": "t", "ike": "established", "child": "installed", "large": 1.1}]},
        {"tunnels": {}},
        {"stopping": True},
        {"handed_over": "yes"},
    ],
)
def test_values_that_would_mislead_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(report_wire.WireError):
        report_wire.from_wire({**report_wire.to_wire(REPORT), **change})


def test_neighbouring_versions_understand_each_other() -> None:
    raw = report_wire.to_wire(REPORT)
    raw["from the future"] = 1
    raw["tunnels"][0]["from the future"] = 1
    assert report_wire.from_wire(raw) == REPORT
    for key in ("heard", "heard_ms", "counters", "stopping", "handed_over"):
        del raw[key]
    older = report_wire.from_wire(raw)
    assert (older.peers, older.counters, older.stopping, older.handed_over) == ({}, {}, "", False)


@pytest.mark.parametrize("field", ["ike", "child", "bgp", "charon", "stopping", "paths"])
def test_a_newer_versions_word_says_nothing_and_its_answer_is_no_silence(field: str) -> None:
    raw = report_wire.to_wire(REPORT)
    if field == "paths":
        raw["paths"]["hq"] = "sideways"
    else:
        (raw["tunnels"][0] if field in raw["tunnels"][0] else raw)[field] = "sideways"
    asking, agent = asker(), answerer()
    agent._body = zlib.compress(json.dumps(raw).encode())
    found = asking.on_packet(ask(asking, agent), 0.1)
    nothing = {
        "paths": replace(REPORT, paths={"plant": "neighbour"}),
        "charon": replace(REPORT, charon="unknown"),
        "stopping": replace(REPORT, stopping=""),
    }
    of_the_tunnel = {field: "unknown"} if field not in nothing else {}
    assert found == nothing.get(field, replace(REPORT, tunnels={"hq-gw-a": replace(tunnel(), **of_the_tunnel)}))
    assert not asking.refused and asking.stats(1.0).lost == 0
    assert report_wire.from_wire(report_wire.to_wire(found)) == found


def test_two_hundred_tunnels_fit_into_one_packet() -> None:
    tunnels = {}
    for number in range(200):
        loss = LossStats(10, number % 7, True, number / 777, number / 999, True)
        name = f"site-{number:03}-gw-a"
        tunnels[name] = replace(tunnel(name), probe=loss, target=loss, rtt_ms=number / 7)
    answer = ask(asker(), answerer(report=replace(REPORT, tunnels=tunnels)))
    assert len(answer) <= MAX_PACKET
    assert len(json.dumps(report_wire.to_wire(REPORT))) > 100
