# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of changes: what passes, what is said, and what is read out of a playbook's and swanctl's output."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from lab import rolling, sas
from lab.changes import Part, Played, page, problems, recap
from lab.matrix.lookout import Lookout, NotSeen
from lab.names import Names

OUTPUT = """\
fatal: [gw-a]: FAILED! => {"changed": false, "msg": "gw-a was changed and did not come back: no \\"IKE SA\\". \
gw-b is still as before. Mend what is said of gw-a and deploy again."}

PLAY RECAP *********************************************************************
gw-a                       : ok=47   changed=3    unreachable=0    failed=1    skipped=9    rescued=1    ignored=0
localhost                  : ok=61   changed=0    unreachable=0    failed=0    skipped=22   rescued=0    ignored=0
"""
SAS = """\
hq-gw-a: #5, ESTABLISHED, IKEv2, 5b0d6e0b2b1ce9b2_i* 9e26b8e2f7b2c0d4_r
  local  'gw-a.lab' @ 10.20.0.10[4500]
  remote 'cgw-hq-a.example' @ 198.51.100.11[4500]
  AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048
  established 40s ago, rekeying in 13100s
  hq-gw-a: #9, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_CBC-256/HMAC_SHA2_256_128
    installed 40s ago, rekeying in 3200s, expires in 3920s
plant-gw-a: #6, ESTABLISHED, IKEv2, 0b0d6e0b2b1ce9b2_i* 0e26b8e2f7b2c0d4_r
  local  'gw-a.lab' @ 10.20.0.10[4500]
  remote 'cgw-plant-a.example' @ 198.51.100.21[4500]
  AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384
  established 41s ago, rekeying in 13100s
late-gw-a: #7, CONNECTING, IKEv2, 0b0d6e0b2b1ce9b2_i* 0000000000000000_r
"""


def part(**values: object) -> Part:
    found = Part("cipher", "other ciphers")
    found.fact("it is so", True)
    for name, value in {"sent": 1000, **values}.items():
        setattr(found, name, value)
    return found


def test_a_part_passes_when_nothing_is_lost_and_all_is_so() -> None:
    assert part().passed
    assert problems(asdict(part())) == []


@pytest.mark.parametrize("values", [{"lost": 1}, {"sent": 0}, {"problem": "The lab is gone."}])
def test_a_part_with_a_loss_or_without_a_measurement_fails(values: dict[str, object]) -> None:
    assert not part(**values).passed


def test_what_is_not_so_is_said() -> None:
    found = part(lost=3, longest_ms=30.0)
    found.fact("gw-b is as before", False)
    assert problems(asdict(found)) == [
        "3 of 1000 packets were lost, for up to 30 ms.",
        "Not so: gw-b is as before.",
    ]


def test_a_part_tells_of_all_its_playbooks() -> None:
    found = part()
    found.take(Played(0, 12.3, {"gw-a": 3, "gw-b": 1}, ""))
    found.take(Played(0, 4.5, {"gw-a": 1, "gw-b": 0}, ""))
    assert (found.seconds, found.changed) == (16.8, {"gw-a": 4, "gw-b": 1})


def test_who_waits_in_vain_is_told_what_is_left_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([["gw-a is down."]])
    monkeypatch.setattr(Lookout, "objections", lambda _self: next(seen, ["gw-b is down."]))
    with pytest.raises(NotSeen, match=r"^Not within 0 s: all is well\. gw-b is down\.$"):
        Lookout(Names("t1", tmp_path, 4600), {}).await_well(0.0)


def test_the_page_shows_parts_and_escapes_what_was_said() -> None:
    found = part(said=["strongSwan says <no>"])
    report = {
        "title": "A deploy", "passed": True, "written": 0.0, "parts": [{**asdict(found), "passed": True}],
        "environment": {"cores": 2}, "commit": "0123abc",
    }  # fmt: skip
    text = page(report)
    assert "other ciphers" in text and "&lt;no&gt;" in text and "0 of 1000 packets lost" in text


def test_the_recap_is_read() -> None:
    assert recap(OUTPUT) == {"gw-a": 3, "localhost": 0}


def test_the_sentence_of_a_stopped_rollout_is_found_as_it_was_said() -> None:
    assert rolling.stopped(OUTPUT) == [
        'gw-a was changed and did not come back: no "IKE SA". gw-b is still as before. '
        "Mend what is said of gw-a and deploy again."
    ]
    assert rolling.stopped("ok") == []


def test_the_ciphers_in_use_are_read() -> None:
    assert sas.established(SAS) == {
        "hq-gw-a": sas.Sa(
            "5", "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048", "AES_CBC-256/HMAC_SHA2_256_128"
        ),
        "plant-gw-a": sas.Sa("6", "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384", ""),
    }


def test_another_version_differs_where_the_daemons_are(tmp_path: Path) -> None:
    here = rolling.another_version(tmp_path / "collections") / "ansible_collections" / "vpnha" / "aws"
    for name in rolling.TOUCHED:
        assert (here / name).read_text() == (rolling.REPOSITORY / name).read_text() + "# another version\n"
    assert (here / "galaxy.yml").exists() and (here / "plugins" / "modules" / "gateway_handover.py").exists()
