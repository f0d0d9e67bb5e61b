# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told, as which message, and how it reads. Times are given, none is waited for."""

from __future__ import annotations

import pytest
from monitor_world import deployment

from ansible_collections.vpnha.aws.plugins.module_utils.announced import KINDS, kind_of
from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from vpnha_monitor.notify.facts import Fact, Message, fact_from, message_from, new_id
from vpnha_monitor.notify.telling import LAPSE, PATIENCE, RECONFIRM, SETTLE, TRIFLES, YIELD, Opened, Telling, Told
from vpnha_monitor.notify.wording import BODY_MOST, TITLE_MOST, Wording, late

WALL = 1_795_600_000.0  # 2026-11-25 09:46:40 UTC
SILENT = ("gateway-silent", "gw-a")


def fact(code: str, subject: str = "", text: str = "It is so.", **given: object) -> Fact:
    values = {"wall": WALL, "evidence": {}, "resolved": False, "drill": ""} | given
    return Fact(new_id(), values["wall"], code, subject, text, values["evidence"], values["resolved"], values["drill"])


def moved(count: int, zone: str = "a", source: str = "gw-a", to: str = "gw-b", code: str = "failover") -> Fact:
    evidence = {
        "reason": "gateway-silent", "from": source, "to": to, "zone": zone, "site": "hq", "count": count,
        "routes": [f"rtb-{zone}{number} 192.168.10.0/24" for number in range(min(count, 20))],
        "heartbeats": "10/10 lost", "heartbeat_age": None, "ec2_state": "running", "drill": None,
    }  # fmt: skip
    return fact(code, source, f"Moving {count} routes of zone {zone} for hq from {source} to {to}.", evidence=evidence)


def made(telling: Telling, mono: float, leads: bool = True) -> list[Told]:
    """What is due, and told at once."""
    found = telling.due(mono, leads=leads)
    for one in found:
        if not one.silent:
            telling.told(one)
    return [one for one in found if not one.silent]


def wording(**templates: dict[str, str]) -> Wording:
    return Wording("prod", "mon-a", templates)


# --- the catalogue --------------------------------------------------------------------------------------------


def test_every_diagnosis_that_people_are_told_makes_a_message_unless_it_is_a_persons_doing() -> None:
    silent = {code for code, one in DIAGNOSES.items() if one.action != "none" and not kind_of(code)}
    assert silent == {"pinned", "paused", "swap-unknown", "gateway-new-interface"}
    assert kind_of("route-missing") == "trouble" and kind_of("bgp-down") == kind_of("agent-silent") == "redundancy"
    assert {kind_of(code) for code in DIAGNOSES} - {""} == set(KINDS)
    assert not any(kind_of(code) for code, one in DIAGNOSES.items() if one.action == "none" and code != "drill-result")


# --- once, and its end ----------------------------------------------------------------------------------------


def test_a_matter_is_told_once_until_it_is_over() -> None:
    telling = Telling(deployment())
    assert telling.take(fact(*SILENT), 0.0)
    assert not telling.take(fact(*SILENT), 1.0)
    assert made(telling, SETTLE - 0.1) == []
    (told,) = made(telling, SETTLE)
    assert [one.key for one in told.facts] == [SILENT] and not told.over
    assert not telling.take(fact(*SILENT), 60.0) and made(telling, 100.0) == []

    assert telling.take(fact(*SILENT, wall=WALL + 90, resolved=True), 120.0)
    assert not telling.take(fact(*SILENT, resolved=True), 121.0)
    (over,) = made(telling, 120.0 + SETTLE)
    assert over.over and over.since == {SILENT: WALL} and telling.open == {}
    message = wording().message(over)
    assert (message.severity, message.title) == ("success", "[prod] Over: gw-a: Gateway answers nobody")
    assert "It was told at 2026-11-25 09:46:40Z, and lasted 90 s." in message.body

    assert telling.take(fact(*SILENT), 200.0)  # it happens again
    assert len(made(telling, 200.0 + SETTLE)) == 1


def test_packets_that_do_not_follow_a_swap_are_told_each_time() -> None:
    """It happens, and nothing ever says that it is over."""
    telling = Telling(deployment())
    for mono in (0.0, 1e6):
        assert telling.take(fact("not-carrying", "rtb-a 192.168.10.0/24"), mono)
        assert len(made(telling, mono + 10.0)) == 1
    assert telling.open == {}


def test_what_nobody_says_the_end_of_is_over_when_it_has_not_come_for_long() -> None:
    """A broken promise may come in each step; that is one message, and one that it has stopped."""
    telling = Telling(deployment())
    broken, long = ("invariant-violated", "16"), LAPSE["invariant-violated"]
    taken = [telling.take(fact(*broken, text="No lease."), 0.025 * step) for step in range(100)]
    assert taken.count(True) == 1 and len(made(telling, 2.475 + SETTLE)) == 1
    assert not telling.take(fact(*broken), 1000.0)
    assert telling.gone(999.0 + long, WALL) == []
    (gone,) = telling.gone(1000.0 + long, WALL)
    assert gone.key == broken and gone.text == "Not seen again for 60 minutes: No lease."
    assert telling.take(gone, 5000.0) and len(made(telling, 5000.0 + SETTLE)) == 1
    assert telling.take(fact(*broken), 6000.0) and len(made(telling, 6000.0 + SETTLE)) == 1

    again = Telling(deployment())
    again.restore(telling.open, 0.0)
    assert again.gone(RECONFIRM, WALL) == [] and len(again.gone(long, WALL)) == 1


def test_no_end_without_a_beginning_that_was_told() -> None:
    telling = Telling(deployment())
    assert not telling.take(fact(*SILENT, resolved=True), 0.0)
    assert made(telling, 10.0) == [] and telling.next_due(10.0) is None


def test_what_is_over_before_it_was_told_is_one_message_that_says_so() -> None:
    telling = Telling(deployment())
    telling.take(fact("journal-failed", "/j"), 0.0)
    assert not telling.take(fact("journal-failed", "/j", resolved=True), 1.0)
    (told,) = made(telling, SETTLE)
    assert "This is over already." in wording().message(told).body
    assert telling.open == {} and not telling.take(fact("journal-failed", "/j", resolved=True), 9.0)


def test_what_ends_and_begins_again_within_a_moment_keeps_its_order() -> None:
    telling = Telling(deployment())
    telling.take(fact(*SILENT), 0.0)
    made(telling, SETTLE)
    assert telling.take(fact(*SILENT, resolved=True), 50.0) and telling.take(fact(*SILENT), 51.0)
    assert [one.over for one in made(telling, 60.0)] == [True, False]
    assert SILENT in telling.open


def test_an_end_says_what_of_the_same_gateway_is_not_over() -> None:
    """A silent gateway of which EC2 then says that it is stopped."""
    telling = Telling(deployment())
    stopped = ("gateway-stopped", "gw-a")
    telling.take(fact(*SILENT), 0.0)
    telling.take(fact("site-down", "hq"), 0.0)
    made(telling, SETTLE)
    telling.take(fact(*stopped, text="gw-a does not run."), 5.0)
    telling.take(fact(*SILENT, resolved=True), 5.0)
    messages = [wording().message(told) for told in made(telling, 5.0 + SETTLE)]
    over = next(message for message in messages if "over" in message.title)
    assert (over.severity, over.title) == ("warning", "[prod] Partly over: gw-a: Gateway answers nobody")
    assert "Not over: gw-a does not run." in over.body
    telling.take(fact("ike-sa-missing", "hq-gw-a", text="No SA."), 20.0)
    telling.take(fact(*stopped, resolved=True), 20.0)
    over = next(told for told in made(telling, 20.0 + SETTLE) if told.over)
    assert over.remains == ("No SA.",)
    telling.take(fact("ike-sa-missing", "hq-gw-a", resolved=True), 30.0)
    (last,) = made(telling, 30.0 + SETTLE)
    assert last.remains == () and wording().message(last).title == "[prod] Over: hq-gw-a: IKE SA missing"


def test_a_moment_s_lateness_is_not_told_but_what_lasts_or_comes_again_is() -> None:
    telling = Telling(deployment())
    patience = PATIENCE["monitor-sick"]
    telling.take(fact("monitor-sick"), 0.0)
    telling.take(fact("monitor-sick", resolved=True), 4.0)
    assert made(telling, SETTLE + 1) == [] and made(telling, patience) == [] and telling.next_due(patience) is None
    assert not telling.take(fact("monitor-sick", resolved=True), patience + 1)

    telling.take(fact("monitor-sick"), 100.0)
    assert len(made(telling, 100.0 + patience)) == 1  # it lasts
    telling.take(fact("monitor-sick", resolved=True), 200.0)
    made(telling, 200.0 + SETTLE)
    for number in range(TRIFLES + 1):
        telling.take(fact("monitor-sick"), 300.0 + 10 * number)
        telling.take(fact("monitor-sick", resolved=True), 305.0 + 10 * number)
    assert len(made(telling, 300.0 + patience)) == 1  # it comes and goes


def test_a_gateway_that_is_silent_after_a_grey_moment_is_told_at_once() -> None:
    telling = Telling(deployment())
    telling.take(fact("gateway-grey", "gw-a"), 0.0)
    telling.take(fact(*SILENT), 5.0)
    (told,) = made(telling, 5.0 + SETTLE)
    assert [one.code for one in told.facts] == ["gateway-grey", "gateway-silent"]


# --- many in one ----------------------------------------------------------------------------------------------


def test_a_failover_of_a_hundred_tables_with_its_cause_is_one_message() -> None:
    telling = Telling(deployment())
    telling.take(fact(*SILENT, text="gw-a answers nobody."), 0.0)
    telling.take(moved(60, "a"), 0.1)  # later than its cause, as notes come
    telling.take(moved(40, "c"), 0.1)
    for _swap in range(98):
        telling.accepted("gw-b")
    telling.accepted("gw-z")
    (told,) = made(telling, 0.1 + SETTLE)
    message = wording().message(told)
    assert message.kind == "failover"
    assert message.title == "[prod] Failover: 100 routes from gw-a to gw-b"
    for said in (
        "2026-11-25 09:46:40Z: Moving 60 routes of zone a for hq from gw-a to gw-b.",
        "gw-a answers nobody.",
        "heartbeats: 10/10 lost; ec2 state: running.",
        "rtb-a0 192.168.10.0/24, rtb-a1 192.168.10.0/24, rtb-a2 192.168.10.0/24 and 97 more",
        "Done: the monitor began to move 100 routes to gw-b; within 3 s EC2 accepted 98 swaps to gw-b.",
        "Next: `vpnha status`, then `vpnha events --since 2026-11-25T09:45`.",
        "start or replace it.",
        "Deployment prod, told by monitor mon-a, 2026-11-25 09:46:40Z.",
    ):
        assert said in message.body, message.body
    assert list(telling.open) == [SILENT]  # the cause has an end, the failover has none
    assert "heartbeat age" not in message.body and "None" not in message.body


def test_each_gateway_and_direction_is_a_message() -> None:
    telling = Telling(deployment())
    telling.take(moved(2, source="gw-a", to="gw-b"), 0.0)
    telling.take(moved(3, source="gw-c", to="gw-b"), 0.0)
    telling.take(moved(4, source="gw-b", to="gw-a", code="failback"), 0.0)
    telling.take(moved(1, source="gw-d", to="gw-b", code="voluntary-move"), 0.0)
    titles = {wording().message(told).title for told in made(telling, SETTLE)}
    assert titles == {
        "[prod] Failover: 2 routes from gw-a to gw-b",
        "[prod] Failover: 3 routes from gw-c to gw-b",
        "[prod] Failback: 4 routes from gw-b to gw-a",
        "[prod] Routes moved: 1 route from gw-d to gw-b",
    }


def test_troubles_of_one_gateway_are_one_message_and_many_routes_are() -> None:
    telling = Telling(deployment())
    telling.take(fact("ike-sa-missing", "hq-gw-a"), 0.0)
    telling.take(fact("via-neighbour", "gw-a/hq"), 0.0)
    for number in range(30):
        telling.take(fact("route-missing", f"rtb-{number} 192.168.10.0/24"), 0.0)
    tunnel, routes = made(telling, SETTLE)
    assert wording().message(tunnel).title == "[prod] hq-gw-a: IKE SA missing and 1 more"
    assert "or another tunnel or a neighbour gateway carries their packets already." in wording().message(tunnel).body
    assert wording().message(routes).title == "[prod] Route of the deployment is not there (30 times)"
    assert "And 27 more like that." in wording().message(routes).body


def test_a_drill_marks_what_belongs_to_it() -> None:
    telling = Telling(deployment())
    telling.take(fact(*SILENT, drill="d1"), 0.0)
    telling.take(moved(1), 0.0)
    (told,) = made(telling, SETTLE)
    message = wording().message(told)
    assert (message.severity, message.title) == ("info", "[prod] Drill d1: Failover: 1 route from gw-a to gw-b")
    telling.take(fact("drill-result", "d1", "Outage 640 ms.", evidence={"passed": False}), 10.0)
    (result,) = made(telling, 10.0 + SETTLE)
    message = wording().message(result)
    assert (message.severity, message.title) == ("failure", "[prod] Drill d1 did not pass")


# --- several monitors, restarts -------------------------------------------------------------------------------


def test_what_all_monitors_see_is_told_by_the_one_with_the_lease() -> None:
    telling = Telling(deployment())
    telling.take(fact("site-down", "hq"), 0.0)
    telling.take(fact("journal-failed", "/j"), 0.0)
    (own,) = made(telling, SETTLE, leads=False)
    assert own.facts[0].code == "journal-failed"
    assert made(telling, YIELD, leads=False) == [] and ("site-down", "hq") not in telling.open
    assert not telling.take(fact("site-down", "hq", resolved=True), 60.0)

    telling.take(fact("site-down", "hq"), 100.0)  # the other one has died with the site, and its lease runs out
    assert made(telling, 100.0 + SETTLE, leads=False) == []
    assert len(made(telling, 100.0 + SETTLE + 2.0, leads=True)) == 1


@pytest.mark.parametrize("code", ["no-healthy-gateway", "moves-limited", "repair-failed"])
def test_what_only_the_monitor_that_acts_finds_is_told_by_it(code: str) -> None:
    """The other one, which has the lease, never sees it."""
    telling = Telling(deployment())
    telling.take(fact(code, "zone-a/hq"), 0.0)
    assert len(made(telling, SETTLE, leads=False)) == 1 and (code, "zone-a/hq") in telling.open


@pytest.mark.parametrize("code", ["repair-under-way", "repair-needs-person", "repair-waits"])
def test_a_repair_is_told_by_the_one_with_the_lease_which_does_it(code: str) -> None:
    telling = Telling(deployment())
    telling.take(fact(code, "gw-a"), 0.0)
    assert made(telling, SETTLE, leads=False) == made(telling, YIELD + 1.0, leads=False) == []


def test_what_is_told_late_is_left_to_the_lease_as_long_as_anything_else() -> None:
    telling, patience = Telling(deployment()), PATIENCE["gateway-grey"]
    telling.take(fact("gateway-grey", "gw-a"), 0.0)
    assert made(telling, patience, leads=False) == []  # the other monitor has died before it told
    assert made(telling, patience + YIELD - SETTLE - 0.1, leads=False) == []
    assert len(made(telling, patience + YIELD - SETTLE, leads=True)) == 1


@pytest.mark.parametrize("moves", [False, True])
def test_the_end_of_what_has_begun_again_is_told_before_it(moves: bool) -> None:
    """The beginning joins a message about the same gateway that is due sooner."""
    telling, one, other = Telling(deployment()), ("gateway-grey", "gw-a"), SILENT
    telling.take(fact(*other), 0.0)
    made(telling, SETTLE)
    telling.take(fact("agent-silent", "gw-a"), 100.0)
    if moves:
        telling.take(moved(1), 100.0)
    assert telling.take(fact(*other, resolved=True), 102.0) and telling.take(fact(*other), 102.5)
    told = [*made(telling, 100.0 + SETTLE), *made(telling, 110.0)]
    assert [each.over for each in told] == [True, False]
    assert other in telling.open and one not in telling.open


def test_a_failover_is_told_by_whoever_does_it_and_its_cause_belongs_to_the_lease() -> None:
    telling = Telling(deployment())
    telling.take(fact(*SILENT), 0.0)
    telling.take(moved(1), 0.0)
    (told,) = made(telling, SETTLE, leads=False)
    assert [one.code for one in told.facts] == ["gateway-silent", "failover"]
    assert telling.open == {}


def test_after_a_restart_known_matters_are_not_told_again_and_ends_are() -> None:
    telling = Telling(deployment())
    other = ("site-down", "hq")
    telling.restore({SILENT: Opened(WALL - 100, "gw-a was silent."), other: Opened(WALL - 50, "hq is down.")}, 1000.0)
    assert not telling.take(fact(*SILENT), 1001.0)
    assert telling.gone(1000.0 + RECONFIRM - 1, WALL) == []
    (gone,) = telling.gone(1000.0 + RECONFIRM, WALL)
    assert gone.key == other and gone.resolved
    assert telling.take(gone, 1120.0)
    (told,) = made(telling, 1120.0 + SETTLE)
    assert "Not seen again since the monitor's restart: hq is down." in wording().message(told).body
    assert list(telling.open) == [SILENT]


def test_what_takes_long_to_find_out_again_is_not_over_sooner_after_a_restart() -> None:
    telling, of = Telling(deployment()), deployment().timing
    lost, waits = ("repair-needs-person", "gw-a"), ("repair-waits", "gw-b")
    telling.restore({lost: Opened(WALL, "It needs a person."), waits: Opened(WALL, "It waits.")}, 0.0)
    assert telling.gone(RECONFIRM + of.repair_after - 1.0, WALL) == []
    assert [one.key for one in telling.gone(RECONFIRM + of.repair_after, WALL)] == [lost]
    assert [one.key for one in telling.gone(RECONFIRM + of.repair_after + 900.0, WALL)] == [waits]


def test_nothing_of_ec2_is_over_after_a_restart_while_ec2_cannot_be_read() -> None:
    telling, gone = Telling(deployment()), ("route-missing", "rtb-a 192.168.10.0/24")
    telling.restore({gone: Opened(WALL, "The route is gone.")}, 0.0)
    telling.take(fact("ec2-unreadable"), 20.0)
    made(telling, 20.0 + SETTLE)
    assert telling.gone(RECONFIRM + 10.0, WALL) == []


def test_what_waited_over_a_restart_and_is_not_seen_again_is_over_and_can_be_told_anew() -> None:
    telling = Telling(deployment())
    assert telling.take_again(fact(*SILENT, text="gw-a was silent."), 1000.0)
    assert len(made(telling, 1000.0 + SETTLE)) == 1
    (gone,) = telling.gone(1000.0 + RECONFIRM, WALL)
    assert gone.key == SILENT and gone.text == "Not seen again since the monitor's restart: gw-a was silent."
    assert telling.take(gone, 1120.0) and len(made(telling, 1120.0 + SETTLE)) == 1
    assert telling.take(fact(*SILENT), 1200.0)


def test_what_waited_over_a_restart_and_is_seen_again_is_not_over() -> None:
    telling = Telling(deployment())
    telling.take_again(fact(*SILENT), 1000.0)
    assert not telling.take(fact(*SILENT), 1001.0)
    made(telling, 1000.0 + SETTLE)
    assert telling.gone(1000.0 + RECONFIRM, WALL) == [] and SILENT in telling.open


def test_what_waited_over_a_restart_and_ends_or_is_told_by_another_needs_no_end() -> None:
    telling = Telling(deployment())
    telling.take_again(fact(*SILENT), 1000.0)
    telling.take(fact(*SILENT, resolved=True), 1001.0)
    telling.take_again(fact("site-down", "hq"), 1000.0)
    telling.take_again(fact("not-carrying", "rtb-a 192.168.10.0/24"), 1000.0)
    assert len(made(telling, 1000.0 + YIELD, leads=False)) == 1
    assert telling.gone(1000.0 + RECONFIRM, WALL) == []


def test_a_moment_s_lateness_before_a_restart_is_not_told_after_it() -> None:
    telling = Telling(deployment())
    assert not telling.take_again(fact("monitor-sick"), 1000.0)
    assert made(telling, 1000.0 + PATIENCE["monitor-sick"]) == []
    assert telling.take(fact("monitor-sick"), 1100.0)  # it is late again, and stays so
    assert len(made(telling, 1100.0 + PATIENCE["monitor-sick"])) == 1


def test_what_is_seen_before_the_file_could_be_read_is_not_over() -> None:
    telling = Telling(deployment())
    telling.take(fact(*SILENT), 1000.0)
    telling.restore({SILENT: Opened(WALL, "gw-a was silent.")}, 1001.0)
    assert telling.gone(1001.0 + RECONFIRM, WALL) == []


def test_a_blind_monitor_sees_nothing_end() -> None:
    telling = Telling(deployment())
    telling.restore({SILENT: Opened(WALL, "gw-a was silent.")}, 0.0)
    telling.take(fact("monitor-isolated"), 5.0)
    made(telling, 5.0 + SETTLE)
    assert telling.gone(RECONFIRM * 3, WALL) == []
    telling.take(fact("monitor-isolated", resolved=True), RECONFIRM * 3)
    made(telling, RECONFIRM * 3 + SETTLE)
    assert [one.key for one in telling.gone(RECONFIRM * 4 + 1, WALL)] == [SILENT]


# --- wording --------------------------------------------------------------------------------------------------


def told_silent() -> Told:
    return Told("redundancy", "gw-a", (fact(*SILENT),))


def test_templates_of_the_user_are_used_by_kind_and_part() -> None:
    message = wording(
        default={"title": "${deployment}: ${title}"}, redundancy={"body": "$$ ${what} | ${next} | ${kind}"}
    ).message(told_silent())
    assert message.title == "prod: gw-a: Gateway answers nobody"
    assert message.body.startswith("$ 2026-11-25 09:46:40Z: It is so. | `vpnha status`")
    assert message.body.endswith("| redundancy")


@pytest.mark.parametrize("broken", ["${nothing}", "costs $ 5", "${title"])
def test_a_broken_template_falls_back_to_the_built_in_one(broken: str) -> None:
    message = wording(redundancy={"title": broken, "body": broken}).message(told_silent())
    assert message == Message(message.id, WALL, "redundancy", "failure", message.title, message.body)
    assert message.title == "[prod] gw-a: Gateway answers nobody" and "Evidence: see the journal." in message.body


def test_titles_are_one_short_line_and_late_messages_say_so() -> None:
    message = wording(default={"title": "a\r\nb " + "x" * 200, "body": "y" * 9000}).message(told_silent())
    assert message.title.startswith("a b xxx") and len(message.title) == TITLE_MOST
    marked = late(message)
    assert marked.title.startswith("Late: a b") and len(marked.title) == TITLE_MOST
    assert marked.body.startswith("This message is of 2026-11-25 09:46:40Z and could not be sent before.")
    assert len(marked.body) == len(message.body) == BODY_MOST


def test_many_messages_become_a_summary_of_their_titles() -> None:
    many = [Message(str(number), WALL + number, "trouble", "warning", f"t{number}", "") for number in range(60)]
    summary = wording().summary([*many, Message("x", WALL + 99, "failover", "failure", "last", "")], WALL + 100)
    assert summary.title == "[prod] 61 more messages: see `vpnha events`" and summary.severity == "failure"
    assert "(60 trouble, 1 failover)" in summary.body and "- … 21 more …" in summary.body
    assert "vpnha events --since 2026-11-25T09:45" in summary.body and "last" in summary.body


def test_a_long_summary_loses_what_matters_least() -> None:
    many = [
        Message(
            str(n), WALL + n, "trouble", "failure" if n in (20, 39) else "warning", f"{n:02}".ljust(TITLE_MOST, "x"), ""
        )
        for n in range(40)
    ]
    body = wording().summary(many, WALL + 100).body
    assert len(body) <= BODY_MOST and "Next: on mon-a" in body and "Deployment prod, told by" in body
    lines = [line for line in body.splitlines() if line.startswith("- ")]
    told = [line[23:25] for line in lines if "more …" not in line]
    assert {"00", "20", "39"} <= set(told) and told == sorted(told)
    assert f"- … {40 - len(told)} more …" in lines


def test_facts_and_messages_survive_the_way_through_a_file() -> None:
    one = moved(3)
    assert fact_from(one.to_json()) == one
    message = wording().message(told_silent())
    assert message_from(message.to_json()) == message
