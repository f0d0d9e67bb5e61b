# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a tunnel is the last choice, and what makes it the first again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from agent_world import DEPLOYMENT, NEVER, report, stats

from ansible_collections.vpnha.aws.plugins.module_utils.model import LossStats
from vpnha_agent.steering import DEAD_HEAL_SECONDS, GREY_HEAL_SECONDS, GREY_SECONDS, AwayRule


def rule(static: bool = False) -> AwayRule:
    return AwayRule(DEPLOYMENT.timing, static)


def feed(rule: AwayRule, start: float, end: float, **values: object) -> None:
    for step in range(int((end - start) * 4)):
        rule.update(report(**values), start + step / 4)  # type: ignore[arg-type]


def test_a_lossy_tunnel_is_left_and_is_itself_again_after_healing() -> None:
    away = rule()
    feed(away, 0, 20)
    feed(away, 20, 20 + GREY_SECONDS, probe=stats(loss=0.5))
    assert not away.away
    feed(away, 20 + GREY_SECONDS, 21 + GREY_SECONDS, probe=stats(loss=0.5))
    assert away.away
    healed = 21 + GREY_SECONDS
    feed(away, healed, healed + GREY_HEAL_SECONDS)
    assert away.away
    feed(away, healed + GREY_HEAL_SECONDS, healed + GREY_HEAL_SECONDS + 1)
    assert not away.away


def test_bad_luck_in_one_window_is_no_reason() -> None:
    away = rule()
    for start in range(0, 100, 10):
        feed(away, start, start + 8, probe=stats(loss=0.3))
        feed(away, start + 8, start + 10, probe=stats(loss=0.2))
    assert not away.away


def test_each_relapse_begins_the_healing_anew() -> None:
    away = rule()
    feed(away, 0, 11, probe=stats(loss=0.5))
    for start in (11, 31, 51):
        feed(away, start, start + 19)
        feed(away, start + 19, start + 20, probe=stats(loss=0.5))
        assert away.away


def test_ten_percent_each_way_is_no_reason() -> None:
    away = rule()
    feed(away, 0, 60, probe=stats(loss=0.19))
    assert not away.away


def test_large_packets_that_vanish_are_a_reason() -> None:
    away = rule()
    feed(away, 0, 1 + GREY_SECONDS, large_loss=0.9)
    assert away.away


def test_an_outage_is_left_to_bfd_and_does_not_count_after_it() -> None:
    """The long window still holds the outage's losses when the tunnel has healed."""
    away = rule()
    feed(away, 0, 10)
    for age in (2.0, 3.0, 4.0):
        away.update(report(probe=stats(age=age, silent=True, loss=age / 10)), 10 + age)
    assert not away.away
    feed(away, 15, 23, probe=stats(loss=0.5))
    feed(away, 23, 40)
    assert not away.away
    feed(away, 40, 41 + GREY_SECONDS, probe=stats(loss=0.5))  # this is another matter
    assert away.away


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("probe", [stats(age=30.0, silent=True, loss=1.0), stats(loss=0.5)])
def test_a_peer_that_answers_badly_while_the_site_answers_well_is_no_reason(static: bool, probe: LossStats) -> None:
    """As a router that polices pings to itself does: it forwards all the same."""
    away = rule(static)
    feed(away, 0, 20)
    feed(away, 20, 60, probe=probe, target=stats())
    assert not away.away
    feed(away, 60, 90, probe=probe, target=probe)
    assert away.away == (static or not probe.silent)
    feed(away, 90, 91 + GREY_HEAL_SECONDS, probe=probe, target=stats())
    assert not away.away


@pytest.mark.parametrize("target", [stats(age=30.0, silent=True, loss=1.0), stats(age=None), stats(loss=0.5)])
def test_a_site_that_answers_badly_while_the_peer_answers_well_is_no_reason(target: LossStats) -> None:
    away = rule(static=True)
    feed(away, 0, 60, target=target)
    assert not away.away


def test_a_dead_static_tunnel_is_left_at_once_and_for_a_short_time() -> None:
    away = rule(static=True)
    assert away.update(report(probe=stats(age=0.5, silent=True)), 1.0)
    assert away.away
    feed(away, 1.25, 1.25 + DEAD_HEAL_SECONDS)
    assert away.away
    feed(away, 1.25 + DEAD_HEAL_SECONDS, 2.0 + DEAD_HEAL_SECONDS)
    assert not away.away


def test_a_static_peer_that_never_answers_pings_is_judged_by_the_sites_answers() -> None:
    away = rule(static=True)
    away.update(report(probe=NEVER, target=stats()), 1.0)
    assert not away.away
    away.update(report(probe=NEVER, target=stats(age=0.5, silent=True)), 2.0)
    assert away.away


def test_where_nobody_ever_answers_the_sas_word_counts_both_ways() -> None:
    away = rule(static=True)
    away.update(report(probe=NEVER, target=NEVER), 1.0)
    assert not away.away
    away.update(report(probe=NEVER, target=NEVER, child="missing"), 2.0)
    assert away.away
    feed(away, 2.25, 10, probe=NEVER, target=NEVER, child="unknown")
    assert away.away
    feed(away, 10, 10.5 + DEAD_HEAL_SECONDS, probe=NEVER, target=NEVER)
    assert not away.away and not away.shown


def test_a_dead_static_tunnel_heals_by_answers_and_not_by_being_observed_afresh() -> None:
    away = rule(static=True)
    feed(away, 0, 5)
    feed(away, 5, 6, probe=stats(age=0.5, silent=True))
    assert away.away and away.shown
    feed(away, 6, 60, probe=NEVER, target=NEVER)  # the agent was held up, and forgot what it knew
    assert away.away
    feed(away, 60, 60.5 + DEAD_HEAL_SECONDS)
    assert not away.away


def test_who_dies_while_the_agent_is_held_up_is_dead() -> None:
    away = rule(static=True)
    feed(away, 0, 5)
    feed(away, 6, 7, probe=NEVER, target=NEVER)
    assert away.away


@pytest.mark.parametrize("dead", [stats(age=3.0, silent=True), NEVER])
def test_an_outage_is_no_time_free_of_loss(dead: LossStats) -> None:
    away = rule()
    feed(away, 0, 1 + GREY_SECONDS, probe=stats(loss=0.5))
    outage = 1 + GREY_SECONDS
    feed(away, outage, outage + GREY_HEAL_SECONDS + 5, probe=dead, target=NEVER)
    back = outage + GREY_HEAL_SECONDS + 5
    unmeasured = replace(stats(), slow_full=False)
    feed(away, back, back + 10, probe=unmeasured)
    feed(away, back + 10, back + 10 + GREY_HEAL_SECONDS)
    assert away.away
    feed(away, back + 10 + GREY_HEAL_SECONDS, back + 11 + GREY_HEAL_SECONDS)
    assert not away.away


def test_a_peer_that_never_answers_pings_is_lossy_by_the_sites_answers() -> None:
    away = rule()
    feed(away, 0, 1 + GREY_SECONDS, probe=NEVER, target=stats(loss=0.5))
    assert away.away
    healed = 1 + GREY_SECONDS
    feed(away, healed, healed + 1 + GREY_HEAL_SECONDS, probe=NEVER)
    assert not away.away


@pytest.mark.parametrize("static", [False, True])
def test_what_an_earlier_agent_left_waits_for_a_window_free_of_loss(static: bool) -> None:
    away = rule(static)
    away.take_over()
    feed(away, 0, 1, probe=LossStats(), target=LossStats())
    feed(away, 1, 11, probe=replace(stats(), slow_full=False))
    assert away.away
    feed(away, 11, 12)
    assert not away.away


def test_what_an_earlier_agent_left_of_bgp_does_not_wait_for_peers_that_never_answer() -> None:
    away = rule()
    away.take_over()
    feed(away, 0, 5, probe=NEVER, target=NEVER, bgp="down")
    assert away.away
    feed(away, 5, 6, probe=NEVER, target=NEVER, bgp="established")
    assert not away.away
