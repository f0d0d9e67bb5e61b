# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: one per content, whole or not there, kept while a host uses it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lab import golden, image
from lab.errors import LabError
from lab.image import Images
from lab.names import Names


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    monkeypatch.setattr(image, "_ROOM", 0)
    return Images(Names("t1", tmp_path, 4700))


def make(images: Images, digest: str, below: list[str] | None = None) -> None:
    with images.locked(print), images.building(digest) as new:
        (new / "rootfs").mkdir()
        (new / "lower.json").write_text(json.dumps(below or []))


def test_a_missing_image_says_how_to_make_it(images: Images) -> None:
    with pytest.raises(LabError, match=r"no image 'golden'.*python -m lab image"):
        images.layers("golden")


def test_a_missing_image_of_another_release_names_the_release(images: Images) -> None:
    with pytest.raises(LabError, match=r"no image 'golden-bookworm'.*python -m lab image --release bookworm"):
        images.layers("golden-bookworm")


def test_releases_have_images_of_their_own_that_live_side_by_side(images: Images) -> None:
    digests = {release.base: images.base_digest(release) for release in image.RELEASES.values()}
    assert len(set(digests.values())) == len(image.RELEASES) == 2
    for which, wanted in digests.items():
        make(images, wanted)
        images.publish_existing(which, wanted)
    assert {which: images.layers(which) for which in digests} == {
        which: [images.dir / wanted / "rootfs"] for which, wanted in digests.items()
    }


def test_layers_are_uppermost_first(images: Images) -> None:
    make(images, "b1")
    assert images.publish_existing("base", "b1")
    make(images, "g1", ["b1"])
    assert images.publish_existing("golden", "g1")
    assert images.layers("golden") == [images.dir / "g1" / "rootfs", images.dir / "b1" / "rootfs"]


def test_a_build_that_fails_leaves_nothing_and_keeps_the_old_image(images: Images) -> None:
    make(images, "b1")
    images.publish_existing("base", "b1")
    with pytest.raises(KeyboardInterrupt), images.locked(print), images.building("b2") as new:
        (new / "half").touch()
        raise KeyboardInterrupt
    assert not images.publish_existing("base", "b2")
    assert sorted(path.name for path in images.dir.iterdir()) == [".lock", "b1", "base"]
    assert images.layers("base") == [images.dir / "b1" / "rootfs"]


def test_what_a_killed_builder_left_is_removed_unless_somebody_builds(images: Images) -> None:
    (images.dir / "b9.new" / "rootfs").mkdir(parents=True)
    with images.locked(print):
        images.drop_unfinished()
        assert (images.dir / "b9.new").exists()
    images.drop_unfinished()
    assert not (images.dir / "b9.new").exists()


def test_an_old_image_goes_when_no_host_needs_it_any_more(images: Images) -> None:
    make(images, "b1")
    images.publish_existing("base", "b1")
    machine = images.names.machines / "i-1"
    machine.mkdir(parents=True)
    (machine / "lowers.json").write_text(json.dumps([str(images.dir / "b1" / "rootfs")]))
    make(images, "b2")
    images.publish_existing("base", "b2")
    assert (images.dir / "b1").exists()
    (machine / "lowers.json").unlink()
    images.publish_existing("base", "b2")
    assert not (images.dir / "b1").exists()


def test_too_little_room_is_one_sentence_with_figures(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_ROOM", 10**18)
    with pytest.raises(LabError, match=r"needs 1000000000.0 GB.*VPNHA_LAB_DIR"):
        make(images, "b1")
    assert [path.name for path in images.dir.iterdir()] == [".lock"]


def test_a_disk_that_fills_up_in_a_step_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        script = "echo tar: write error: No space left on device; exit 2"
        image.run_logged(["sh", "-c", script], tmp_path / "log", "Unpacking")
    assert caught.value.errno == errno.ENOSPC


def test_a_failed_step_is_told_by_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"Unpacking failed \(.*log has all of it\): E: no such suite"):
        image.run_logged(["sh", "-c", "echo E: no such suite; echo bye; exit 2"], tmp_path / "log", "Unpacking")


def role_tree(root: Path) -> None:
    for role in golden.ROLES:
        (root / "roles" / role / "tasks").mkdir(parents=True)
        (root / "roles" / role / "tasks" / "install.yml").write_text("- name: Install\n")
        (root / "roles" / role / "tasks" / "main.yml").write_text("- name: Configure\n")


def test_the_golden_image_follows_what_the_roles_install_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role_tree(tmp_path)
    playbook = tmp_path / "golden.yml"
    playbook.write_text("---\n")
    monkeypatch.setattr(golden, "REPOSITORY", tmp_path)
    monkeypatch.setattr(golden, "_PLAYBOOK", playbook)
    monkeypatch.setattr(golden, "texts", lambda paths: {str(path): path.read_text() for path in paths})
    before = golden.golden_digest("b1")
    (tmp_path / "roles" / "gateway" / "tasks" / "main.yml").write_text("- name: Configure otherwise\n")
    assert golden.golden_digest("b1") == before
    assert golden.golden_digest("b2") != before
    (tmp_path / "roles" / "gateway" / "tasks" / "install.yml").write_text("- name: Install more\n")
    assert golden.golden_digest("b1") != before


def test_a_role_without_install_tasks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    role_tree(tmp_path)
    (tmp_path / "roles" / "monitor" / "tasks" / "install.yml").unlink()
    monkeypatch.setattr(golden, "REPOSITORY", tmp_path)
    with pytest.raises(LabError, match=r"cannot be baked: .*monitor/tasks/install.yml does not exist"):
        golden.golden_digest("b1")


def test_a_golden_image_keeps_whiteouts_and_forgets_the_host(tmp_path: Path) -> None:
    for name in ("etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys2", "etc/machine-id", "usr/bin/swanctl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    golden._forget_host(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"etc/machine-id", "usr/bin/swanctl"}
    assert (tmp_path / "etc/machine-id").read_text() == ""
