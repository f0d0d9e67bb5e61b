# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What charon says, read from what strongSwan 6.0.1 really answered in each fault (fixtures/list_sas.json)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from ansible_collections.vpnha.aws.plugins.module_utils.model import Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.vici_health import (
    ChildSa,
    IkeSa,
    SaTracker,
    TunnelSas,
    diagnose,
    packets_in,
    parse_sas,
    superfluous,
    tunnel_sas,
)

NAME = "hq-gw-a"
CAPTURED = json.loads((Path(__file__).parent / "fixtures" / "list_sas.json").read_text())


def captured(name: str) -> list[IkeSa]:
    return parse_sas(CAPTURED[name])


def as_bytes(value: Any) -> Any:
    """The fixture as the library gives it: every leaf is bytes."""
    if isinstance(value, dict):
        return {key: as_bytes(member) for key, member in value.items()}
    return [as_bytes(member) for member in value] if isinstance(value, list) else value.encode()


@pytest.mark.parametrize("name", sorted(CAPTURED))
def test_bytes_read_like_strings(name: str) -> None:
    assert parse_sas(as_bytes(CAPTURED[name])) == captured(name)


@pytest.mark.parametrize(
    ("name", "ike", "child"),
    [
        ("established", "established", "installed"),
        ("child_rekeyed", "established", "installed"),
        ("dpd_unanswered", "established", "installed"),
        ("connecting", "connecting", "missing"),
        ("child_missing", "established", "missing"),
        ("psk_wrong", "missing", "missing"),
        ("duplicates", "established", "installed"),
    ],
)
def test_states(name: str, ike: str, child: str) -> None:
    tunnel = tunnel_sas(NAME, captured(name))
    assert (tunnel.ike, tunnel.child) == (ike, child)


def test_a_healthy_tunnel_in_full() -> None:
    (sa,) = captured("established")
    assert sa.initiator and sa.answered and sa.lives and not sa.tasks
    assert (sa.remote_host, sa.remote_id) == ("198.18.0.12", "cgw-hq-a.example")
    (child,) = sa.children
    assert child.name == NAME and child.carries and len(child.spi_in) == len(child.spi_out) == 8
    assert child.packets_in > 100 and child.packets_out > 100 and child.bytes_in > child.packets_in
    assert child.last_in == 0 and child.installed is not None


def test_after_a_rekeying_the_old_child_does_not_count() -> None:
    (sa,) = captured("child_rekeyed")
    assert sorted(child.state for child in sa.children) == ["DELETED", "INSTALLED"]
    assert [child.carries for child in sa.children if child.state == "DELETED"] == [False]
    only_old = replace(sa, children=tuple(child for child in sa.children if not child.carries))
    assert tunnel_sas(NAME, [only_old]).child == "missing"


def test_a_silent_peer_shows_in_both_of_its_forms() -> None:
    assert tunnel_sas(NAME, captured("connecting")).peer_silent
    assert tunnel_sas(NAME, captured("dpd_unanswered")).waiting
    healthy = tunnel_sas(NAME, captured("established"))
    assert not healthy.peer_silent and not healthy.waiting


def test_other_connections_do_not_count() -> None:
    assert tunnel_sas("plant-gw-a", captured("established")).ike == "missing"


def ike(unique_id: str, established: int, spi: str = "", packets: int = 0, state: str = "ESTABLISHED") -> IkeSa:
    children = (ChildSa(NAME, "1", "INSTALLED", spi_in=spi, packets_in=packets),) if spi else ()
    return IkeSa(NAME, unique_id, state, established=established, answered=True, children=children)


def test_of_duplicates_the_newest_that_carries_is_kept() -> None:
    old, new, newest = ike("1", 500, "a", 90), ike("2", 20, "b", 50), ike("3", 10, "c", 0)
    tunnel = tunnel_sas(NAME, [old, new, newest])
    assert superfluous(tunnel, {"a": 90, "b": 40, "c": 0}) == ("3", "1")
    assert superfluous(tunnel, {"a": 80, "b": 40, "c": 0}) == ("1", "3")
    assert superfluous(tunnel, {}) == ("2", "1")  # none is known to carry: the newest
    childless = ike("4", 1)
    assert superfluous(tunnel_sas(NAME, [old, childless]), {}) == ("4",)


def test_real_duplicates_are_pruned_when_they_last_and_one_stays() -> None:
    tracker = SaTracker([NAME])
    polls = [captured("duplicates"), captured("duplicates_later")]
    assert len(tunnel_sas(NAME, polls[0]).established) == 2
    tracker.observe(polls[0], 0.0)
    tracker.observe(polls[1], 4.0)
    assert tracker.prunable == ()
    tracker.observe(polls[1], 5.0)
    received = {
        sa.unique_id
        for sa in polls[1]
        for child in sa.children
        if child.packets_in > packets_in(polls[0])[child.spi_in]
    }
    (pruned,) = tracker.prunable
    assert received and pruned not in received
    tracker.observe([sa for sa in polls[1] if sa.unique_id != pruned], 6.0)
    assert tracker.prunable == ()


def test_a_short_overlap_is_no_lasting_duplicate() -> None:
    tracker = SaTracker([NAME])
    for now in (0.0, 4.0, 8.0):
        tracker.observe(captured("duplicates"), now)
        assert tracker.prunable == ()
        tracker.observe(captured("established"), now + 2.0)


def test_a_first_absence_is_unknown_a_lasting_one_missing() -> None:
    tracker = SaTracker([NAME])
    assert tracker.tunnels()[NAME].ike == "unknown"
    assert tracker.observe(captured("established"), 0.0)[NAME].ike == "established"
    assert tracker.observe([], 1.0)[NAME] == TunnelSas(NAME, "unknown", "unknown")
    assert tracker.observe([], 1.2)[NAME].ike == "unknown"
    assert tracker.observe(captured("established"), 1.3)[NAME].ike == "established"
    assert tracker.observe([], 1.6)[NAME].ike == "unknown"
    assert tracker.observe([], 2.2)[NAME].ike == "missing"


def test_a_peer_that_owes_an_answer_for_seconds_is_told_of_and_not_when_it_has_answered() -> None:
    tracker = SaTracker([NAME])
    owed = [tracker.observe(captured("dpd_unanswered"), now)[NAME].unanswered for now in (0.0, 2.0, 4.9, 5.0)]
    assert owed == [False, False, False, True]
    assert tracker.tunnels()[NAME].ike == "established", "who asks for the SA itself still finds it"
    assert not tracker.observe(captured("established"), 6.0)[NAME].unanswered
    assert not tracker.observe(captured("dpd_unanswered"), 7.0)[NAME].unanswered, "another request, another wait"


def test_after_a_down_event_one_absence_is_enough() -> None:
    tracker = SaTracker([NAME])
    tracker.observe(captured("established"), 0.0)
    tracker.went_down(NAME)
    assert tracker.observe([], 0.1)[NAME].ike == "missing"
    tracker.observe(captured("established"), 0.2)
    assert tracker.observe([], 0.3)[NAME].ike == "unknown"  # the event was about another absence


def test_when_charon_is_gone_nothing_is_known() -> None:
    tracker = SaTracker([NAME])
    tracker.observe(captured("established"), 0.0)
    tracker.forget()
    assert tracker.tunnels()[NAME].ike == "unknown"
    assert tracker.tunnels()[NAME] is tracker.tunnels()[NAME], "it is asked for twenty times a second"
    assert tracker.observe([], 1.0)[NAME].ike == "unknown"


@pytest.mark.parametrize(
    ("charon", "sample", "loss", "verdict", "codes"),
    [
        ("alive", "established", 0.0, Verdict.UP, ("tunnel-up",)),
        ("alive", "established", 0.4, Verdict.GREY, ("tunnel-grey",)),
        ("alive", "established", 1.0, Verdict.DOWN, ("tunnel-nothing-returns",)),
        ("alive", "established", None, Verdict.UNKNOWN, ("tunnel-unknown",)),
        ("alive", "dpd_unanswered", 1.0, Verdict.DOWN, ("peer-not-answering",)),
        ("alive", "connecting", 1.0, Verdict.DOWN, ("ike-sa-missing", "peer-not-answering")),
        ("alive", "psk_wrong", 1.0, Verdict.DOWN, ("ike-sa-missing",)),
        ("alive", "psk_wrong", None, Verdict.DOWN, ("ike-sa-missing",)),
        ("alive", "psk_wrong", 0.0, Verdict.UP, ("ike-down-esp-passes",)),
        ("alive", "child_missing", 1.0, Verdict.DOWN, ("child-sa-missing",)),
        ("dead", "psk_wrong", 1.0, Verdict.DOWN, ("charon-dead",)),
        ("dead", "psk_wrong", 0.0, Verdict.UP, ("charon-silent-esp-passes",)),
        ("hung", "psk_wrong", 1.0, Verdict.DOWN, ("charon-hung",)),
        ("hung", "psk_wrong", None, Verdict.UNKNOWN, ("charon-hung",)),
    ],
)
def test_reasons(charon: str, sample: str, loss: float | None, verdict: Verdict, codes: tuple[str, ...]) -> None:
    assert diagnose(charon, tunnel_sas(NAME, captured(sample)), loss, 0.15) == (verdict, codes)
    assert set(codes) <= set(DIAGNOSES)
