# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release: ``python -m tests.tools.release`` builds the tarball, and proves that it works by itself.

It is installed where no other collection is but the one that it depends on, and used from there by a Python that has
ansible-core and the tarball's own requirements, and nothing else. ``--trial`` builds whatever is checked out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml

from tests.tools.release_use import ReleaseError, command, use

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "artifacts" / "release"
BYTES = 2_000_000
# What a user gets. Anything else was forgotten in build_ignore.
KEPT = {
    "FILES.json", "MANIFEST.json",
    "CHANGELOG.md", "LICENSE", "README.md", "bindep.txt", "execution-environment.yml", "requirements.txt",
    "changelogs", "docs", "extensions", "meta", "playbooks", "plugins", "roles",
}  # fmt: skip
KEPT_TESTS = {"tests/config.yml"}
SECRETS = re.compile(rb"lab-only-|-----BEGIN [A-Z ]*PRIVATE KEY-----")
T = TypeVar("T")


def state_problems(root: Path) -> list[str]:
    """Why this checkout is no release, a sentence each; empty if it is one."""
    version = str(yaml.safe_load((root / "galaxy.yml").read_text())["version"])
    problems = []
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", version):
        problems.append(f"galaxy.yml: the version {version!r} is not of the form 1.2.3.")
    log = root / "changelogs" / "changelog.yaml"
    releases = (yaml.safe_load(log.read_text()) or {}).get("releases") or {} if log.exists() else {}
    if version not in releases:
        problems.append(f"changelogs/changelog.yaml has no release {version}: run `antsibull-changelog release`.")
    left = sorted(each.name for each in (root / "changelogs" / "fragments").glob("*.y*ml"))
    if left and version in releases:
        problems.append(f"changelogs/fragments has what {version} does not tell of: {', '.join(left)}.")
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:3]) + (" and more" if len(changed) > 3 else "")
        problems.append(f"What is here is not what is committed ({names}): commit or remove it.")
    tagged = git(root, "tag", "--list", version)
    if tagged and git(root, "rev-list", "-n", "1", version) != git(root, "rev-parse", "HEAD"):
        problems.append(f"{version} is the tag of another commit: raise the version in galaxy.yml.")
    return problems


def git(root: Path, *arguments: str) -> str:
    """What git prints."""
    return command(["git", "-c", "safe.directory=*", *arguments], cwd=root).rstrip()


def build(output: Path) -> Path:
    """Makes the tarball."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    command([str(galaxy), "collection", "build", "--output-path", str(output)], cwd=ROOT)
    (made,) = output.glob("*.tar.gz")
    return made


def content_problems(tarball: Path) -> list[str]:
    """What is in the tarball that should not be, or is not what galaxy.yml says; a sentence each."""
    problems = []
    with tarfile.open(tarball) as tar:
        files = [member for member in tar.getmembers() if not member.isdir()]
        for member in files:
            top = PurePosixPath(member.name).parts[0]
            if top not in KEPT and member.name not in KEPT_TESTS:
                problems.append(f"{member.name} is of no use to who installs it: name it in galaxy.yml's build_ignore.")
            read = tar.extractfile(member)
            found = SECRETS.search(read.read()) if read is not None else None
            if found:
                problems.append(f"{member.name} has what looks like a secret: {found[0].decode()}.")
        manifest = tar.extractfile("MANIFEST.json")
        assert manifest is not None
        told = json.load(manifest)["collection_info"]
    wanted = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    for key in ("namespace", "name", "version", "dependencies"):
        if told[key] != wanted[key]:
            problems.append(f"The tarball's {key} is {told[key]!r}, and galaxy.yml's {wanted[key]!r}.")
    if tarball.stat().st_size > BYTES:
        problems.append(f"The tarball has {tarball.stat().st_size} bytes, more than {BYTES}.")
    return problems


def main() -> int:
    """Build, look, use; the exit code says whether it is fit to be published."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--trial", action="store_true", help="build what is checked out, released or not")
    trial = parser.parse_args().trial
    if not trial and (problems := state_problems(ROOT)):
        print("\n".join(problems), "This is no release; `make release-trial` tries what is here.", sep="\n")
        return 1
    # before it is built: what is committed meanwhile is not in it
    commit = git(ROOT, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*")
    seconds: dict[str, float] = {}
    try:
        tarball = _timed(seconds, "build", lambda: build(OUTPUT))
        if problems := content_problems(tarball):
            raise ReleaseError("\n".join(problems))
        with tempfile.TemporaryDirectory(prefix="vpnha-release-") as directory:
            used = _timed(seconds, "use", lambda: use(tarball, Path(directory)))
    except ReleaseError as error:
        print(error)
        return 1
    report = OUTPUT / "report.json"
    told = {**_contents(tarball), "commit": commit, "trial": trial, "seconds": seconds, **used}
    report.write_text(json.dumps(told, indent=2) + "\n")
    print(f"tarball: {tarball.relative_to(ROOT)}\nreport:  {report.relative_to(ROOT)}")
    return 0


def _timed(seconds: dict[str, float], name: str, step: Callable[[], T]) -> T:
    print(f"{name} …", flush=True)
    began = time.monotonic()
    result = step()
    seconds[name] = round(time.monotonic() - began, 1)
    return result


def _contents(tarball: Path) -> dict[str, Any]:
    with tarfile.open(tarball) as tar:
        files = sum(not member.isdir() for member in tar.getmembers())
    return {
        "tarball": str(tarball.relative_to(ROOT)),
        "sha256": hashlib.sha256(tarball.read_bytes()).hexdigest(),
        "bytes": tarball.stat().st_size,
        "files": files,
    }


if __name__ == "__main__":
    sys.exit(main())
