# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a tunnel over, against a charon and a peer that authenticate as the real ones do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_load import Wanted, apply, secrets_of
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_rotation import Rotation
from tests.unit.fake_clock import Clock
from tests.unit.plugins.module_utils.test_tunnel_load import NEXT, SECRET, FakeCharon, Refused, wanted

OLD, NEW = SECRET.encode(), NEXT.encode()
ONE = wanted("one", psk_next=NEXT)


class Peer:
    """Has keys, of which the last one signs."""

    def __init__(self, *keys: bytes) -> None:
        self.keys = list(keys)


class RotatingFake(FakeCharon):
    """One IKE SA for each connection that a peer agreed to; each end accepts all that it has."""

    def __init__(self, peer: Peer, make_before_break: bool = True) -> None:
        super().__init__()
        self.peer, self.make_before_break = peer, make_before_break
        self.sas: dict[str, tuple[str, str, bytes]] = {}  # unique id -> connection, state, our key
        self.loads_before_death: int | None = None
        self._number = 0

    def load_shared(self, secret: Mapping[str, Any]) -> None:
        if self.loads_before_death is not None:
            self.loads_before_death -= 1
            if self.loads_before_death < 0:
                raise KeyboardInterrupt
        super().load_shared(secret)

    def _new(self, name: str) -> None:
        mine = [key for secret, key in self.keys.items() if secret in (f"ike-{name}", f"ikenext-{name}")]
        self._number += 1
        if mine and self.peer.keys and mine[-1] in self.peer.keys and self.peer.keys[-1] in mine:
            self.sas[str(self._number)] = (name, "ESTABLISHED", mine[-1])

    def initiate(self, request: Mapping[str, Any]) -> Iterator[Any]:
        self._new(request["ike"])
        yield {}

    def rekey(self, request: Mapping[str, Any]) -> None:
        assert request["reauth"] == "yes", "the same IKE SA rekeyed proves no key"
        old = [number for number, sa in self.sas.items() if sa[0] == request["ike"]]
        if not old:
            raise Refused("no such SA")
        if not self.make_before_break:
            self.sas.clear()
        self._new(request["ike"])
        if len(self.sas) > len(old):
            for number in old:
                self.sas.pop(number, None)

    def terminate(self, request: Mapping[str, Any]) -> Iterator[Any]:
        self.sas.pop(request.get("ike-id", ""), None)
        yield {}

    def list_sas(self, filters: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        assert "noblock" not in (filters or {}), "a busy one that is left out looks gone"
        for number, (name, state, _key) in self.sas.items():
            if not filters or name == filters["ike"]:
                child = {"name": name, "uniqueid": number, "state": "INSTALLED"}
                yield {name: {"uniqueid": number, "state": state, "child-sas": {f"{name}-{number}": child}}}


class CertificateFake(RotatingFake):
    """The peer takes the gateway's certificate, or does not; IKE SAs have an age."""

    def __init__(self, taken: bool = True) -> None:
        super().__init__(Peer())
        self.taken, self.age = taken, 0

    def load_conn(self, connection: Mapping[str, Any]) -> None:
        self.conns.update(connection)

    def _new(self, name: str) -> None:
        self._number += 1
        if self.taken:
            self.sas[str(self._number)] = (name, "ESTABLISHED", b"")

    def list_sas(self, filters: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        for message in super().list_sas(filters):
            ((name, body),) = message.items()
            yield {name: {**body, "established": str(self.age)}}


def rotation(charon: RotatingFake, directory: Path) -> Rotation:
    clock = Clock()
    return Rotation(charon, directory, clock=clock, sleep=clock.sleep)


def up(charon: RotatingFake, directory: Path, tunnel: Wanted = ONE) -> Rotation:
    """The tunnel loaded and established."""
    apply(charon, directory, [tunnel])
    list(charon.initiate({"ike": tunnel.name}))
    return rotation(charon, directory)


def on_disk(directory: Path) -> dict[str, bytes]:
    return secrets_of((directory / "vpnha-one.conf").read_text(encoding="utf-8"))


def our_keys(charon: RotatingFake) -> list[bytes]:
    """With which key each IKE SA was signed."""
    return [key for _name, _state, key in charon.sas.values()]


@pytest.mark.parametrize("make_before_break", [True, False])
@pytest.mark.parametrize("peers", [(OLD, NEW), (NEW,)], ids=["beside", "instead"])
def test_a_peer_that_uses_the_next_key_is_changed_over(
    tmp_path: Path, peers: tuple[bytes, ...], make_before_break: bool
) -> None:
    charon = RotatingFake(Peer(OLD), make_before_break)
    rotating = up(charon, tmp_path)
    charon.peer.keys = list(peers)
    assert rotating.due(ONE)
    assert rotating.change_over(ONE)
    assert our_keys(charon) == [NEW]
    assert charon.keys == on_disk(tmp_path) == {"ike-one": NEW}
    assert (tmp_path / "vpnha-one.conf").stat().st_mode & 0o777 == 0o600
    assert not rotating.due(ONE)


@pytest.mark.parametrize("make_before_break", [True, False])
@pytest.mark.parametrize("peers", [(OLD,), (NEW, OLD)], ids=["does not know it", "knows it and signs with the old one"])
def test_a_peer_that_does_not_use_it_leaves_all_as_it_was(
    tmp_path: Path, peers: tuple[bytes, ...], make_before_break: bool
) -> None:
    charon = RotatingFake(Peer(OLD), make_before_break)
    rotating = up(charon, tmp_path)
    charon.peer.keys = list(peers)
    before = (tmp_path / "vpnha-one.conf").read_text()
    assert not rotating.change_over(ONE)
    assert our_keys(charon) == [OLD]
    assert list(charon.keys) == ["ikenext-one", "ike-one"]
    assert (tmp_path / "vpnha-one.conf").read_text() == before
    assert rotating.due(ONE)


def test_a_tunnel_that_is_down_because_the_peer_has_only_the_next_key_comes_up(tmp_path: Path) -> None:
    charon = RotatingFake(Peer(NEW))
    rotating = up(charon, tmp_path)
    assert not charon.sas
    assert rotating.change_over(ONE)
    assert our_keys(charon) == [NEW]


def test_without_a_next_key_nothing_is_due(tmp_path: Path) -> None:
    charon = RotatingFake(Peer(OLD))
    assert not up(charon, tmp_path, wanted("one")).due(wanted("one"))


def test_what_was_not_loaded_before_is_refused(tmp_path: Path) -> None:
    rotating = up(RotatingFake(Peer(OLD)), tmp_path, wanted("one"))
    with pytest.raises(VpnhaError, match=r"one is not loaded as it is described.*vpnha.aws.deploy first"):
        rotating.due(ONE)


@pytest.mark.parametrize("loads", range(3))
def test_who_dies_in_the_middle_runs_it_again(tmp_path: Path, loads: int) -> None:
    charon = RotatingFake(Peer(OLD))
    rotating = up(charon, tmp_path)
    charon.peer.keys = [OLD, NEW]
    charon.loads_before_death = loads  # from then on: nothing puts anything right
    try:
        rotating.change_over(ONE)
    except KeyboardInterrupt:
        assert loads < 2
    charon.loads_before_death = None
    assert charon.sas  # no step leaves the tunnel down
    apply(charon, tmp_path, [ONE])
    if rotating.due(ONE):
        assert rotating.change_over(ONE)
    assert our_keys(charon)[-1] == NEW
    assert charon.keys == on_disk(tmp_path) == {"ike-one": NEW}


def certified(charon: CertificateFake, directory: Path, written: float) -> Rotation:
    """A tunnel by certificate, at 1000 s, whose certificate was written at that time."""
    conf = directory / "conf.d"
    conf.mkdir()
    (directory / "x509").mkdir()
    certificate = directory / "x509" / "vpnha-gateway.pem"
    certificate.touch()
    os.utime(certificate, (written, written))
    apply(charon, conf, [BY_CERTIFICATE])
    list(charon.initiate({"ike": "one"}))
    clock = Clock()
    return Rotation(charon, conf, clock=clock, sleep=clock.sleep, wall=lambda: 1000.0)


BY_CERTIFICATE = wanted("one", psk="")


def test_a_tunnel_by_certificate_has_no_key(tmp_path: Path) -> None:
    charon = CertificateFake()
    certified(charon, tmp_path, 0.0)
    assert charon.keys == {}
    assert "secrets" not in (tmp_path / "conf.d" / "vpnha-one.conf").read_text()


@pytest.mark.parametrize(("age", "due"), [(101, True), (99, False)])
def test_a_tunnel_is_due_that_was_opened_before_its_certificate_was_written(
    tmp_path: Path, age: int, due: bool
) -> None:
    charon = CertificateFake()
    rotating = certified(charon, tmp_path, 900.0)
    charon.age = age
    assert rotating.due(BY_CERTIFICATE) is due


def test_a_renewed_certificate_is_proved_by_a_new_authentication(tmp_path: Path) -> None:
    charon = CertificateFake()
    rotating = certified(charon, tmp_path, 900.0)
    before = set(charon.sas)
    assert rotating.change_over(BY_CERTIFICATE)
    assert charon.sas and not before & set(charon.sas)


def test_a_certificate_that_the_peer_refuses_leaves_the_tunnel(tmp_path: Path) -> None:
    charon = CertificateFake()
    rotating = certified(charon, tmp_path, 900.0)
    before = set(charon.sas)
    charon.taken = False
    assert not rotating.change_over(BY_CERTIFICATE)
    assert set(charon.sas) == before
