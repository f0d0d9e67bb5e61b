# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading tunnels one at a time: equal ones are left alone, a refused one costs nobody else anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_load import Outcome, Wanted, apply, secrets_of

SECRET = "a-key-that-nobody-may-see"
NEXT = "the-key-that-comes-after-it"


class Refused(Exception):
    """As vici.exception.CommandException."""


class FakeCharon:
    """Keeps connections and keys as charon does, and refuses what has the proposal "bad"."""

    def __init__(self) -> None:
        self.conns: dict[str, Mapping[str, Any]] = {}
        self.keys: dict[str, bytes] = {}
        self.terminated: list[str] = []
        self.established: list[str] = []
        self.calls = 0
        self.gone = False

    def get_conns(self) -> Mapping[str, Any]:
        if self.gone:
            raise ConnectionRefusedError(111, "Connection refused")
        return {"conns": [name.encode() for name in self.conns]}

    def list_sas(self) -> Iterator[Mapping[str, Any]]:
        yield {"coming": {"state": b"CONNECTING"}}
        for name in self.established:
            yield {name: {"state": b"ESTABLISHED"}}

    def load_conn(self, connection: Mapping[str, Any]) -> None:
        self.calls += 1
        ((name, body),) = connection.items()
        assert f"ike-{name}" in self.keys, "a connection may start as soon as it is loaded"
        if body["proposals"] == ["bad"]:
            raise Refused("Command failed: invalid value for: proposals, config discarded")
        self.conns[name] = body

    def unload_conn(self, request: Mapping[str, Any]) -> None:
        if request["name"] not in self.conns:
            raise Refused("no such connection")
        del self.conns[request["name"]]

    def get_shared(self) -> Mapping[str, Any]:
        return {"keys": [name.encode() for name in self.keys]}

    def load_shared(self, secret: Mapping[str, Any]) -> None:
        self.calls += 1
        self.keys.pop(secret["id"], None)
        self.keys[secret["id"]] = secret["data"]  # the last one signs

    def unload_shared(self, request: Mapping[str, Any]) -> None:
        if request["id"] not in self.keys:
            raise Refused("no such key")
        del self.keys[request["id"]]

    def terminate(self, request: Mapping[str, Any]) -> Iterator[Any]:
        self.terminated.append(request["ike"])
        yield {}
        raise Refused("no such SA")


def wanted(name: str, proposal: str = "good", psk: str = SECRET, psk_next: str = "") -> Wanted:
    return Wanted(name, {"proposals": [proposal]}, psk, [f"{name}.ours", f"{name}.theirs"], psk_next)


@pytest.fixture
def charon() -> FakeCharon:
    return FakeCharon()


def both(charon: FakeCharon, directory: Path) -> Outcome:
    return apply(charon, directory, [wanted("one"), wanted("two")])


def content(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()}


def test_new_tunnels_are_loaded_and_written_for_root_alone(charon: FakeCharon, tmp_path: Path) -> None:
    outcome = both(charon, tmp_path)
    assert outcome.changed == ["one", "two"]
    assert set(charon.conns) == {"one", "two"}
    assert charon.keys == {"ike-one": SECRET.encode(), "ike-two": SECRET.encode()}
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "vpnha-one.conf": 0o600,
        "vpnha-two.conf": 0o600,
    }


def test_the_second_time_nothing_is_touched(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    before = charon.calls
    assert both(charon, tmp_path) == Outcome()
    assert charon.calls == before


def test_only_the_tunnel_that_differs_is_loaded(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    kept = charon.conns["two"]
    outcome = apply(charon, tmp_path, [wanted("one", "better"), wanted("two")])
    assert outcome.changed == ["one"]
    assert charon.conns["one"] == {"proposals": ["better"]}
    assert charon.conns["two"] is kept


def test_a_refused_tunnel_keeps_its_former_state_and_the_next_one_is_done(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    before = content(tmp_path)["vpnha-one.conf"]
    outcome = apply(charon, tmp_path, [wanted("one", "bad", "another-key-for-the-tunnel"), wanted("two", "better")])
    assert outcome.changed == ["two"]
    assert outcome.failed == {
        "one": "strongSwan refuses the connection one (invalid value for: proposals, config discarded); "
        "the one before stays in force."
    }
    assert charon.conns["one"] == {"proposals": ["good"]}
    assert charon.keys["ike-one"] == SECRET.encode()
    assert content(tmp_path)["vpnha-one.conf"] == before


def test_a_refused_new_tunnel_leaves_neither_key_nor_file(charon: FakeCharon, tmp_path: Path) -> None:
    outcome = apply(charon, tmp_path, [wanted("one", "bad")])
    assert "nothing was loaded for it" in outcome.failed["one"]
    assert charon.keys == {} and content(tmp_path) == {}


def test_a_tunnel_that_is_no_longer_wanted_is_closed_and_other_files_stay(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    (tmp_path / "mine.conf").write_text("connections {}\n")
    outcome = apply(charon, tmp_path, [wanted("two")])
    assert outcome.removed == ["one"]
    assert set(charon.conns) == {"two"} and set(charon.keys) == {"ike-two"}
    assert charon.terminated == ["one"]
    assert set(content(tmp_path)) == {"mine.conf", "vpnha-two.conf"}


def test_a_tunnel_that_charon_has_lost_is_loaded_again(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    del charon.conns["one"]
    assert both(charon, tmp_path).changed == ["one"]


def test_a_file_that_others_can_read_is_written_anew(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    (tmp_path / "vpnha-one.conf").chmod(0o644)
    assert both(charon, tmp_path).changed == ["one"]
    assert (tmp_path / "vpnha-one.conf").stat().st_mode & 0o077 == 0


def test_a_new_key_alone_is_a_change_that_a_diff_names_and_does_not_show(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    outcome = apply(charon, tmp_path, [wanted("one", psk="another-key-for-the-tunnel"), wanted("two")])
    assert outcome.changed == ["one"]
    assert charon.keys["ike-one"] == b"another-key-for-the-tunnel"
    assert outcome.before != outcome.after
    for key in (SECRET, "another-key-for-the-tunnel"):
        for shown in (outcome.before, outcome.after, repr(wanted("one", psk=key))):
            assert key not in shown and key.encode().hex() not in shown


def test_a_next_key_is_accepted_as_well_and_the_one_in_use_signs(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    outcome = apply(charon, tmp_path, [wanted("one", psk_next=NEXT), wanted("two")])
    assert outcome.changed == ["one"]
    assert list(charon.keys.items())[-2:] == [("ikenext-one", NEXT.encode()), ("ike-one", SECRET.encode())]
    text = content(tmp_path)["vpnha-one.conf"]
    assert list(secrets_of(text).items()) == [("ikenext-one", NEXT.encode()), ("ike-one", SECRET.encode())]
    for shown in (outcome.before, outcome.after, repr(wanted("one", psk_next=NEXT))):
        assert NEXT not in shown and NEXT.encode().hex() not in shown
    again = apply(charon, tmp_path, [wanted("one", psk_next=NEXT), wanted("two")])
    assert again == Outcome()


def test_a_next_key_that_is_taken_back_is_forgotten(charon: FakeCharon, tmp_path: Path) -> None:
    apply(charon, tmp_path, [wanted("one", psk_next=NEXT)])
    assert apply(charon, tmp_path, [wanted("one")]).changed == ["one"]
    assert charon.keys == {"ike-one": SECRET.encode()}
    assert secrets_of(content(tmp_path)["vpnha-one.conf"]) == charon.keys


def test_a_tunnel_that_was_changed_over_stays_so_before_and_after_the_description_follows(
    charon: FakeCharon, tmp_path: Path
) -> None:
    apply(charon, tmp_path, [wanted("one", psk=NEXT)])
    calls = charon.calls
    assert apply(charon, tmp_path, [wanted("one", psk_next=NEXT)]) == Outcome()
    assert apply(charon, tmp_path, [wanted("one", psk=NEXT)]) == Outcome()
    assert charon.calls == calls
    assert apply(charon, tmp_path, [wanted("one", "better", psk_next=NEXT)]).changed == ["one"]
    assert charon.keys == {"ike-one": NEXT.encode()}


@pytest.mark.parametrize("left", [{"ikenext-one"}, {"ike-one"}, set()])
def test_keys_that_somebody_left_otherwise_are_put_right(charon: FakeCharon, tmp_path: Path, left: set[str]) -> None:
    apply(charon, tmp_path, [wanted("one", psk_next=NEXT)])
    charon.keys = {name: key for name, key in charon.keys.items() if name in left}
    assert apply(charon, tmp_path, [wanted("one", psk_next=NEXT)]).changed == ["one"]
    assert list(charon.keys) == ["ikenext-one", "ike-one"]


def test_a_refused_tunnel_keeps_both_its_keys(charon: FakeCharon, tmp_path: Path) -> None:
    apply(charon, tmp_path, [wanted("one", psk_next=NEXT)])
    keys = dict(charon.keys)
    assert apply(charon, tmp_path, [wanted("one", "bad", "another-key-for-the-tunnel")]).failed
    assert list(charon.keys.items()) == list(keys.items())


@pytest.mark.parametrize("reachable", [True, False])
def test_check_mode_says_the_same_and_changes_nothing(charon: FakeCharon, tmp_path: Path, reachable: bool) -> None:
    both(charon, tmp_path)
    files, conns, keys = content(tmp_path), dict(charon.conns), dict(charon.keys)
    outcome = apply(charon if reachable else None, tmp_path, [wanted("two", "better"), wanted("new")], check=True)
    assert (outcome.changed, outcome.removed) == (["two", "new"], ["one"])
    assert (content(tmp_path), charon.conns, charon.keys) == (files, conns, keys)


@pytest.mark.parametrize("check", [True, False])
def test_what_is_closed_is_named(charon: FakeCharon, tmp_path: Path, check: bool) -> None:
    apply(charon, tmp_path, [wanted(name) for name in ("same", "cipher", "key", "gone", "dead")])
    charon.established = ["same", "cipher", "key", "gone", "not-ours"]
    outcome = apply(
        charon,
        tmp_path,
        [wanted("same"), wanted("cipher", "better"), wanted("key", psk="another"), wanted("dead", "better")],
        check=check,
    )
    assert outcome.changed == ["cipher", "key", "dead"]
    assert outcome.up == ["cipher", "gone", "key", "not-ours", "same"]
    assert outcome.resets == ["cipher", "gone"]


def test_what_is_refused_is_not_closed(charon: FakeCharon, tmp_path: Path) -> None:
    both(charon, tmp_path)
    charon.established = ["one", "two"]
    outcome = apply(charon, tmp_path, [wanted("one", "bad"), wanted("two")])
    assert outcome.up == ["one", "two"] and outcome.resets == []


def test_a_strongswan_that_does_not_answer_is_one_sentence(charon: FakeCharon, tmp_path: Path) -> None:
    charon.gone = True
    with pytest.raises(VpnhaError, match="Connection refused"):
        both(charon, tmp_path)


def test_a_directory_that_is_missing_is_one_sentence(charon: FakeCharon, tmp_path: Path) -> None:
    with pytest.raises(VpnhaError, match="missing"):
        both(charon, tmp_path / "missing")
