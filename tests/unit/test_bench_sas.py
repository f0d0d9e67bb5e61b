# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of ways to ask strongSwan: what an answer is, how swanctl's output is read, and who is asked."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.charon import CharonError
from benchmarks import gateway
from benchmarks.gateway import GATEWAY, SITE, Ends, Wire
from benchmarks.sas import __main__ as asking
from benchmarks.sas import summary as asked
from benchmarks.sas import ways
from benchmarks.sas.ways import Command, Raw, Text, Way, WayFailed, tree

DUMP = (
    "list-sa event {tunnel-001 {uniqueid=2 state=ESTABLISHED local-id=a remote-id=b tasks-active=[IKE_DPD] child-sas "
    "{tunnel-001-9 {name=tunnel-001 state=INSTALLED local-ts=[10.20.0.0/16 169.254.1.1/32] "
    "remote-ts=[169.254.1.2/32]}}}}\n"
    "list-sa event {tunnel-000 {uniqueid=1 state=ESTABLISHED child-sas {}}}\n"
    "list-sas reply {}\n"
)
TEXT = """\
tunnel-001: #2, ESTABLISHED, IKEv2, d2db3a32ab310583_i* f82fe4f9174acd6a_r
  local  'a' @ 203.0.113.1[4500]
  tunnel-001: #9, reqid 9, INSTALLED, TUNNEL-in-UDP, ESP:AES_CBC-256/HMAC_SHA2_256_128
tunnel-000: #1, ESTABLISHED, IKEv2, a4554065f788033d_i* 18d6a0672f1390e8_r
  local  'a' @ 203.0.113.1[4500]
"""
ENDS = Ends(Path("/nonexistent"), {GATEWAY: os.getpid()})


def test_a_dump_is_read_as_the_tree_that_it_is() -> None:
    first, second = tree(DUMP)
    assert first["tunnel-001"]["remote-id"] == "b"
    assert first["tunnel-001"]["tasks-active"] == ["IKE_DPD"]
    child = first["tunnel-001"]["child-sas"]["tunnel-001-9"]
    assert child["local-ts"] == ["10.20.0.0/16", "169.254.1.1/32"]
    assert second == {"tunnel-000": {"uniqueid": "1", "state": "ESTABLISHED", "child-sas": {}}}


@pytest.mark.parametrize("broken", [DUMP[:200], DUMP[:200] + "\n", DUMP.replace("}}}}", "}}}}}")])
def test_a_dump_that_is_cut_off_is_no_answer(broken: str) -> None:
    with pytest.raises(WayFailed, match="swanctl's dump"):
        tree(broken)


@pytest.mark.parametrize(("way", "said"), [(Raw, DUMP), (Text, TEXT)])
def test_a_tunnel_without_child_is_not_up(way: type[Text], said: str) -> None:
    assert way(ENDS, []).read(said) == 1


def test_a_playbook_runs_swanctl_where_charon_is_and_reads_what_ansible_hands_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[tuple[str, str]] = []
    heard = "localhost | CHANGED | rc=0 >>\n" + TEXT
    monkeypatch.setattr(ways, "_ad_hoc", lambda module, command, _given: ran.append((module, command)) or heard)
    ends = Ends(Path("/no such"), {GATEWAY: os.getpid()})
    assert Command(ends, []).up() == 1
    [(module, command)] = ran
    assert module == "ansible.builtin.command"
    assert command.startswith("chroot '/no such' /usr/sbin/swanctl --list-sas --uri unix:///")


class Claims(Way):
    """Says what it is told to say."""

    name = "claims"
    says = ""
    at_once = 3

    def __init__(self, answers: list[int | Exception]) -> None:
        super().__init__(ENDS, [])
        self.answers = iter(answers)

    def up(self) -> int:
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([10, 10, 10], ""),
        ([10, 9, 10], "claims says that 9 of 10 tunnels are up."),
        ([10, WayFailed("claims: exit code 1: no"), 10], "claims: exit code 1: no"),
        ([10, CharonError("hung", "charon has hung up."), 10], "charon has hung up."),
        ([json.JSONDecodeError("Expecting value", "", 0)], "Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_an_answer_that_lacks_a_tunnel_is_a_failure(answers: list[int | Exception], error: str) -> None:
    assert asking.asked(Claims(answers), ENDS, 10)["error"] == error


@pytest.mark.parametrize(("failed", "asks"), [(1, 3), (2, 4), (9, 3)])
def test_questions_that_failed_are_made_up_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: int, asks: int
) -> None:
    report = asking.kept(tmp_path / "sas.json", {"strongSwan": "6.0.1"})
    monkeypatch.setattr(asking.gateway, "charons", lambda *_: nullcontext(ENDS))
    answers: list[int | Exception] = [10] * 3 + [9] * 3 * failed + [10] * 30  # the first one warms up
    way = type("Told", (Claims,), {"__init__": lambda self, *_: Claims.__init__(self, answers)})
    asking.compare(10, [way], 2, report, tmp_path)
    runs = report.content["runs"]
    assert (len(runs), sum(bool(one["error"]) for one in runs)) == (asks, min(failed, 3))


def test_both_ends_of_a_wire_are_told_the_same() -> None:
    wire = Wire("hq", "169.254.1.1", "169.254.1.2", ("192.168.10.0/24",), ("10.20.0.0/16",))
    ours, theirs = (gateway._connections([wire], end) for end in (GATEWAY, SITE))
    for selectors in ("169.254.1.1/32, 10.20.0.0/16", "169.254.1.2/32, 192.168.10.0/24"):
        assert ours.count(selectors) == theirs.count(selectors) == 1
    assert "local_ts = 169.254.1.1/32" in ours and "remote_ts = 169.254.1.1/32" in theirs
    assert "start_action = start" in ours and "start_action = none" in theirs


def question(way: str, tunnels: int, milliseconds: float, error: str = "") -> dict[str, Any]:
    """One question to charon as it is kept."""
    return {
        "way": way, "tunnels": tunnels, "milliseconds": milliseconds, "cpu_ms": milliseconds / 2, "charon_ms": 0.5,
        "error": error,
    }  # fmt: skip


def test_questions_that_failed_are_counted_and_not_measured() -> None:
    ways = {"quick": "", "slow": ""}
    runs = [question("quick", 10, 2.0), question("quick", 10, 4.0), question("quick", 10, 900.0, "no answer")]
    runs += [question("quick", 1, 1.0), question("slow", 10, 50.0)]
    one, never, ten, always = asked.rows({"ways": ways, "runs": runs})
    assert (one.tunnels, ten.tunnels, ten.milliseconds.text(0), ten.failed) == (1, 10, "3 (2 to 4, 2)", 1)
    assert (never.way, never.milliseconds.text()) == ("slow", "-")
    assert (one.first, never.first) == (True, False)
    assert (ten.first, always.first) == (False, True), "first is only who has answered each time"
