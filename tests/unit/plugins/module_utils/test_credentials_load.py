# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's certificate, key and CAs in swanctl's directories: ours, for root alone, read anew when they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.credentials_load import Credentials, apply
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

OWN = Credentials("certificate", "key", ("one", "two"))
FILES = {
    "x509/vpnha-gateway.pem": "certificate",
    "private/vpnha-gateway.pem": "key",
    "x509ca/vpnha-peers-1.pem": "one",
    "x509ca/vpnha-peers-2.pem": "two",
}


class Reloads:
    """How often strongSwan read everything anew."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def reloads() -> Reloads:
    return Reloads()


def there(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_they_are_written_for_root_alone_and_read_once(tmp_path: Path, reloads: Reloads) -> None:
    assert apply(tmp_path, OWN, reloads)
    assert there(tmp_path) == FILES
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.pem")} == {0o600}
    assert not apply(tmp_path, OWN, reloads)
    assert reloads.count == 1


def test_a_renewed_one_takes_the_place_of_the_old_one(tmp_path: Path, reloads: Reloads) -> None:
    apply(tmp_path, OWN, reloads)
    assert apply(tmp_path, Credentials("renewed", "key", ("two",)), reloads)
    assert there(tmp_path) == {
        "x509/vpnha-gateway.pem": "renewed", "private/vpnha-gateway.pem": "key", "x509ca/vpnha-peers-1.pem": "two",
    }  # fmt: skip
    assert reloads.count == 2


@pytest.mark.parametrize("before", [None, OWN])
def test_what_strongswan_does_not_read_leaves_the_former_ones(tmp_path: Path, before: Credentials | None) -> None:
    apply(tmp_path, before, lambda: None)
    seen: list[dict[str, str]] = []

    def reload() -> None:
        seen.append(there(tmp_path))
        raise VpnhaError("strongSwan does not read it")

    renewed = Credentials("renewed", "another", ("two", "three", "four"))
    for _ in range(2):
        with pytest.raises(VpnhaError, match="does not read it"):
            apply(tmp_path, renewed, reload)
        assert there(tmp_path) == (FILES if before else {})
    new, former = seen[:2]
    assert new["x509/vpnha-gateway.pem"] == "renewed" and former == (FILES if before else {})
    assert apply(tmp_path, renewed, lambda: None), "the next run has it to do again"


def test_what_others_can_read_is_written_anew(tmp_path: Path, reloads: Reloads) -> None:
    apply(tmp_path, OWN, reloads)
    (tmp_path / "private" / "vpnha-gateway.pem").chmod(0o644)
    assert apply(tmp_path, OWN, reloads)
    assert (tmp_path / "private" / "vpnha-gateway.pem").stat().st_mode & 0o077 == 0


def test_without_any_ours_go_and_others_stay(tmp_path: Path, reloads: Reloads) -> None:
    assert not apply(tmp_path, None, reloads)
    apply(tmp_path, OWN, reloads)
    (tmp_path / "x509ca" / "mine.pem").write_text("mine")
    assert apply(tmp_path, None, reloads)
    assert there(tmp_path) == {"x509ca/mine.pem": "mine"}


def test_check_mode_says_the_same_and_changes_nothing(tmp_path: Path, reloads: Reloads) -> None:
    assert apply(tmp_path, OWN, reloads, check=True)
    assert there(tmp_path) == {} and reloads.count == 0
    apply(tmp_path, OWN, reloads)
    assert not apply(tmp_path, OWN, reloads, check=True)
    assert apply(tmp_path, None, reloads, check=True)
    assert there(tmp_path) == FILES


def test_a_directory_that_is_missing_is_one_sentence(tmp_path: Path, reloads: Reloads) -> None:
    with pytest.raises(VpnhaError, match=r"certificate cannot be written \(.*missing"):
        apply(tmp_path / "missing" / "more", OWN, reloads)
    assert "key" not in repr(OWN).replace("private_key", "")
