# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation says of the code is what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import description
from ansible_collections.vpnha.aws.plugins.module_utils.announced import kind_of
from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from benchmarks.__main__ import PICTURES
from lab.matrix.faults import FAULTS, NOT_SHOWN
from tests.tools.diagnoses_page import page
from tests.tools.docs_site import head, playbooks_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("roles/*/README.md"))]


def test_the_page_of_diagnoses_is_the_engine_s_list() -> None:
    assert (ROOT / "docs" / "diagnoses.md").read_text() == page(), "run `make docs`"


@pytest.mark.parametrize("code", DIAGNOSES)
def test_the_page_of_diagnoses_says_of_what_people_are_told(code: str) -> None:
    then = next(line for line in page().splitlines() if line.startswith(f"| `{code}` |")).split(" | ")[2]
    if not then.startswith("routes move"):
        assert then == ("people are told" if kind_of(code) else "recorded")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


def anchors(path: Path) -> set[str]:
    """What links may name after ``#``: GitHub makes it of the headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_headings(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text()):
        assert anchor in anchors(path.parent / target if target else path), f"{path.name}: {target}#{anchor}"


def test_the_index_has_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_example_of_the_first_steps_is_a_deployment() -> None:
    text = (ROOT / "docs" / "first-steps-aws.md").read_text().split("`inventory/group_vars/all.yml`", 1)[1]
    given = yaml.safe_load(re.sub(r"{{ \w+ }}", "0123456789" * 4, text.split("```yaml\n")[1].split("```")[0]))
    parsed = description.parse({name: value for name, value in given.items() if name.startswith("vpnha_")})
    assert [gateway.name for gateway in parsed.gateways] == ["gw-a", "gw-b"]
    assert "accept-new" in given["ansible_ssh_common_args"], "Ansible asks nobody about a new host's key"
    assert {host["zone"] for host in given["vpnha_app_hosts"]} == {zone.name for zone in parsed.zones}  # for drills
    assert {"ansible_user", "ansible_ssh_private_key_file"} <= set(given)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("kind", ["playbooks", "plugins/modules"])
def test_what_the_readme_names_exists(kind: str) -> None:
    names = {path.stem for path in (ROOT / kind).iterdir()}
    section = {"playbooks": "| playbook | does |", "plugins/modules": "| module | does |"}[kind]
    table = (ROOT / "README.md").read_text().split(section)[1].split("\n\n")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.M))
    assert listed and listed <= names


def test_make_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for path in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", path.read_text()):
            assert target in targets, f"{path.name}: make {target}"


def test_the_kept_benchmarks_have_their_pictures_in_the_page() -> None:
    kept, page = ROOT / "docs" / "measured" / "bench", (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    drawn = {file.stem for file in kept.glob("*.json")} & PICTURES.keys()
    assert drawn
    for name in drawn:
        assert (kept / f"{name}.svg").is_file() and f"](measured/bench/{name}.svg)" in page, name


def test_the_readme_s_figures_are_those_that_were_measured() -> None:
    readme = (ROOT / "README.md").read_text()
    measured = json.loads((ROOT / "docs" / "measured" / "figures.json").read_text())["figures"]
    for one in measured:
        figures = f"{one['runs']} | {one['median_ms']:.0f} ms | {one['worst_ms']:.0f} ms"
        row = f"| {one['route_propagation_s']} s | {figures} | {one['failback_lost']} | {one['plaintext_packets']} |"
        assert re.search(rf"^\| `{one['scenario']}`.* {re.escape(row)}$", readme, flags=re.M), (one["scenario"], row)
        assert one["commit"][:7] in readme, "the README says at which commit"


def test_the_page_on_the_lab_has_as_many_faults_as_the_matrix() -> None:
    said = f"{len(FAULTS) - len(NOT_SHOWN)} of the {len(FAULTS)} faults"
    assert said in (ROOT / "docs" / "lab.md").read_text()


def test_the_reference_has_every_playbook_s_head() -> None:
    text = playbooks_page(ROOT / "playbooks")
    for path in (ROOT / "playbooks").glob("*.yml"):
        assert f"\nvpnha.aws.{path.stem}\n---" in text
        usage = next(line for line in head(path.read_text()) if line.lstrip().startswith("ansible-playbook"))
        assert f"vpnha.aws.{path.stem} " in usage
