# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make release` refuses, each in a sentence, and what its report says."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.tools import release
from tests.tools.release import ROOT, content_problems, state_problems
from tests.tools.release_use import called, policy_problem
from tests.unit.endpoint_process import endpoint


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is a release."""
    (tmp_path / "galaxy.yml").write_text("version: 1.2.3\n")
    fragments = tmp_path / "changelogs" / "fragments"
    fragments.mkdir(parents=True)
    (tmp_path / "changelogs" / "changelog.yaml").write_text("releases: {1.2.3: {}}\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(directory: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True)


def commit(directory: Path) -> None:
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "x")


def tarball(directory: Path, **files: str) -> Path:
    """One with a good manifest and these files; a slash in a name is written as two underscores."""
    told = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    content = {name.replace("__", "/"): text for name, text in files.items()}
    content["MANIFEST.json"] = json.dumps({"collection_info": {**told, **json.loads(content.pop("told", "{}"))}})
    path = directory / "x.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def test_a_release_is_one(checkout: Path) -> None:
    assert state_problems(checkout) == []
    git(checkout, "tag", "1.2.3")
    assert state_problems(checkout) == []


def test_what_is_not_committed(checkout: Path) -> None:
    (checkout / "new.txt").write_text("")
    assert state_problems(checkout) == ["What is here is not what is committed (new.txt): commit or remove it."]


def test_a_version_without_changelog(checkout: Path) -> None:
    (checkout / "galaxy.yml").write_text("version: 1.3\n")
    commit(checkout)
    assert state_problems(checkout) == [
        "galaxy.yml: the version '1.3' is not of the form 1.2.3.",
        "changelogs/changelog.yaml has no release 1.3: run `antsibull-changelog release`.",
    ]


def test_fragments_that_are_left_over(checkout: Path) -> None:
    (checkout / "changelogs" / "fragments" / "late.yml").write_text("")
    commit(checkout)
    assert state_problems(checkout) == ["changelogs/fragments has what 1.2.3 does not tell of: late.yml."]


def test_a_tag_of_another_commit(checkout: Path) -> None:
    git(checkout, "tag", "1.2.3")
    (checkout / "new.txt").write_text("")
    commit(checkout)
    assert state_problems(checkout) == ["1.2.3 is the tag of another commit: raise the version in galaxy.yml."]


def test_a_tarball_with_what_does_not_belong_there(tmp_path: Path) -> None:
    assert content_problems(tarball(tmp_path, plugins__a="", tests__config="")) == [
        "tests/config is of no use to who installs it: name it in galaxy.yml's build_ignore."
    ]
    key = "lab-" + "only-key"
    assert content_problems(tarball(tmp_path, docs__a=key)) == ["docs/a has what looks like a secret: lab-only-."]
    key = "-----BEGIN OPENSSH " + "PRIVATE KEY-----"
    assert content_problems(tarball(tmp_path, docs__a=key)) == [f"docs/a has what looks like a secret: {key}."]


def test_a_tarball_of_something_else(tmp_path: Path) -> None:
    (problem,) = content_problems(tarball(tmp_path, told='{"version": "9.9.9"}'))
    assert problem.startswith("The tarball's version is '9.9.9', and galaxy.yml's ")


def test_what_the_endpoint_recorded_is_compared_with_the_policy(tmp_path: Path) -> None:
    page = '```json\n{\n  "Statement": [{"Effect": "Allow", "Action": ["ec2:DescribeVpcs"], "Resource": "*"}]\n}\n```\n'
    with endpoint(tmp_path) as url:
        keys = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab", "region_name": "eu-central-1"}
        ec2: Any = boto3.client("ec2", endpoint_url=url, **keys)
        assert called(url) == set()
        ec2.describe_vpcs()
        assert policy_problem(called(url), page) == ""
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        ec2.delete_vpc(VpcId=vpc)
        lacking = policy_problem(called(url), page)
    assert lacking.endswith("the policy lacks what these playbooks called: ec2:CreateVpc, ec2:DeleteVpc.")


def test_nothing_recorded_proves_nothing() -> None:
    assert policy_problem(set(), "").startswith("The endpoint has recorded no call of EC2")


def test_the_report_names_the_commit_that_was_built(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = checkout / "artifacts"
    (checkout / ".git" / "info" / "exclude").write_text("artifacts\n")

    def commit_meanwhile(made: Path, directory: Path) -> dict[str, Any]:
        (checkout / "late.txt").write_text("")
        commit(checkout)
        return {"runs": []}

    def build(directory: Path) -> Path:
        directory.mkdir()
        return tarball(directory)

    for name, value in {"ROOT": checkout, "OUTPUT": output, "build": build, "use": commit_meanwhile}.items():
        monkeypatch.setattr(release, name, value)
    monkeypatch.setattr(release, "content_problems", lambda _: [])
    monkeypatch.setattr("sys.argv", ["release"])
    built = release.git(checkout, "rev-parse", "--short=12", "HEAD")
    assert release.main() == 0, capsys.readouterr().out
    report = json.loads((output / "report.json").read_text())
    assert (report["commit"], report["trial"], report["files"]) == (built, False, 1)
    assert built != release.git(checkout, "rev-parse", "--short=12", "HEAD")
