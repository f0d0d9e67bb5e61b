# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard and the alert rules ask for what two real monitors really have, and lead to pages that there are."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitor_world import World
from promql import Reader, Scraped, Wrong

from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from ansible_collections.vpnha.aws.plugins.module_utils.model import Verdict
from vpnha_monitor import metrics

DOCS = Path(__file__).resolve().parents[3] / "docs"
ALERTS = DOCS / "observability" / "alerts.yml"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DOCS / "observability" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PLACE = "https://github.com/vpnha/vpnha.aws/blob/main/docs/"
CLOSED = {
    "verdict": [verdict.value for verdict in Verdict],
    "code": list(DIAGNOSES),
    "result": ["accepted", "refused", "not begun", "unknown", "ok", "failed"],
    "resolved": ["true", "false"],
    "state": ["flows", "broken", "unknown"],
}


def plain(expression: str) -> str:
    """An expression of the dashboard with its variables filled in, as Grafana does."""
    for name, value in {"$deployment": "lab", "$__rate_interval": "5m", "$__range": "1h"}.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def asked() -> Iterator[tuple[str, str, set[str]]]:
    """Where each expression stands, the expression, and the labels that are shown of its result."""
    for rule in RULES:
        texts = " ".join(rule["annotations"].values())
        yield rule["alert"], rule["expr"], set(re.findall(r"\$labels\.(\w+)", texts))
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], plain(target["expr"]), set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    for one in DASHBOARD["annotations"]["list"]:
        yield one["name"], plain(one["expr"]), set(re.findall(r"{{(\w+)}}", one["textFormat"]))
    for one in DASHBOARD["templating"]["list"]:
        if one["type"] == "query":
            asks = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"]["query"])
            assert asks is not None
            yield one["name"], asks[1], {asks[2]}


def heard(world: World, port: int) -> bool:
    """Whether a monitor has heard the other say that it can act."""
    return all(
        each["able_age"] is not None for each in (world.status(port) or {}).get("monitors", [{"able_age": None}])
    )


def _whole(pages: dict[int, tuple[int, str]], world: World, port: int) -> bool:
    """Whether a monitor's page has its gauges, which are left out when its loop does not answer in time; else anew."""
    if "vpnha_loop_alive 1.0" not in pages[port][1]:
        pages[port] = world.get("/metrics", port) or (0, "")
    return "vpnha_loop_alive 1.0" in pages[port][1]


def test_all_that_is_asked_for_is_there(world: World) -> None:
    """Two monitors that have heard each other and may repair; one has swapped. So nothing is missing by chance."""
    world.deployment = replace(world.deployment, repair="restart")
    world.several()
    world.configure(notify={"apprise": ["json://127.0.0.1:9"]})  # nobody listens there: only that it is configured
    world.start()
    world.start_second()
    world.until(lambda: heard(world, 9784) and heard(world, 9785), 120.0)
    world.agents["gw-a"].die()
    world.until(lambda: world.events("swap-accepted") or world.events("swap-accepted", second=True), 120.0)
    pages = {port: world.get("/metrics", port) or (0, "") for port in (9784, 9785)}
    world.until(lambda: all(_whole(pages, world, port) for port in pages), 120.0)
    scraped = Scraped()
    for _code, page in pages.values():
        scraped.add(page)
    reader = Reader(scraped, CLOSED)
    wrong = []
    for where, expression, shown in asked():
        try:
            labels = reader.labels(expression)
        except Wrong as error:
            wrong.append(f"{where}: {error}")
            continue
        if shown - labels:
            wrong.append(f"{where}: shows {', '.join(sorted(shown - labels))}, but its result has {sorted(labels)}")
    assert not wrong, "\n".join(wrong)
    for label, possible in CLOSED.items():
        seen = {value for labels in scraped.values.values() for value in labels.get(label, ())}
        assert seen and seen <= set(possible), label


PAGE = """\
# TYPE vpnha_a gauge
vpnha_a{gateway="gw-a",verdict="up"} 1
# TYPE vpnha_b gauge
vpnha_b{site="hq"} 1
"""


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("vpnha_a and", "invalid promql query"),
        ("vpnha_c", "the monitors have no vpnha_c"),
        ('vpnha_a{site="hq"}', "vpnha_a has no label site"),
        ('vpnha_a{verdict=~"up|well"}', "verdict is never well"),
        ('vpnha_a{gateway="gw-b"}', "gateway is never gw-b"),
        ("sum by (site) (vpnha_a)", "there is no label site"),
        ("vpnha_a / on (site) vpnha_b", "there is no label site"),
        ("vpnha_a > vpnha_b", "never match"),
        ("sum without (gateway) (vpnha_a)", "say by which labels"),
        ("vpnha_a[5m:1m]", "no test knows a SubqueryExpr"),
    ],
)
def test_what_is_not_there_is_found(expression: str, said: str) -> None:
    scraped = Scraped()
    scraped.add(PAGE)
    with pytest.raises(Wrong, match=re.escape(said)):
        Reader(scraped, {"verdict": ["up", "down"]}).labels(expression)


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ('sum by (gateway) (rate(vpnha_a{verdict="down"}[5m])) > 0', {"gateway"}),
        ("2 * max(vpnha_a) + max(vpnha_b)", set()),
        ("vpnha_a unless on (instance) vpnha_b", {"gateway", "verdict", "job", "instance", "deployment"}),
    ],
)
def test_the_labels_of_a_result(expression: str, labels: set[str]) -> None:
    scraped = Scraped()
    scraped.add(PAGE)
    assert Reader(scraped, {"verdict": ["up", "down"]}).labels(expression) == labels


def test_errors_are_counted_from_0_in_every_room() -> None:
    """A counter that begins at 1 has not grown for Prometheus: no alert would tell of the first error."""
    sources = "".join(path.read_text() for path in Path(metrics.__file__).parent.rglob("*.py"))
    used = re.findall(r"(?:recorder\.error\(|errors\.labels\()\"(\w+)\"", sources)
    assert set(used) == set(metrics.ROOMS)


# --- the rules ------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    return {anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), flags=re.M)}


def anchor_of(heading: str) -> str:
    """One heading's anchor."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_all_that_a_person_needs(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    for text in (rule["annotations"]["summary"], rule["annotations"]["description"]):
        assert re.fullmatch(r"\S.*\.", text), text
    page, _hash, anchor = rule["annotations"]["runbook_url"].removeprefix(PLACE).partition("#")
    assert anchor in anchors(DOCS / page)
    for section in re.split(r"^#+ ", (DOCS / page).read_text(), flags=re.M):
        if anchor_of(section.split("\n", 1)[0]) == anchor:
            assert f"`{rule['alert']}`" in section


def test_every_alert_is_listed_and_none_that_there_is_not() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    page = (DOCS / "observability.md").read_text()
    assert set(re.findall(r"`(Vpnha\w+)`", page + (DOCS / "runbook.md").read_text())) == set(names)
    assert set(re.findall(r"`(Vpnha\w+)`", page)) == set(names)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (of Prometheus) is not on the PATH")
def test_the_rules_fire_when_they_should_and_not_before() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", str(Path(__file__).with_name("alerts_test.yml"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- the dashboard --------------------------------------------------------------------------------------------


def test_the_dashboard_can_be_imported() -> None:
    """Ids and references are unique, each panel has its place, and all ask the source that the person chose."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        for cell in itertools.product(columns, lines):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
    for panel in PANELS:
        assert panel["title"] and panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            selectors = re.findall(r"\bvpnha_\w+({[^}]*})?", target["expr"])
            assert selectors and all('deployment=~"$deployment"' in each for each in selectors), panel["title"]
    assert {one["name"] for one in DASHBOARD["templating"]["list"]} == {"datasource", "deployment"}


def test_the_dashboard_shows_what_it_is_for() -> None:
    shown = " ".join(plain(target["expr"]) for panel in PANELS for target in panel["targets"])
    for metric in (
        "vpnha_traffic", "vpnha_gateway_verdict", "vpnha_path_verdict", "vpnha_routes_away_from_home",
        "vpnha_swaps_total", "vpnha_loop_lag_seconds", "vpnha_ec2_reads_total", "vpnha_repair_steps_allowed",
        "vpnha_tunnel_loss_ratio", "vpnha_tunnel_rtt_seconds", "vpnha_gateway_loss_ratio",
        "vpnha_gateway_rtt_seconds", "vpnha_monitor_able",
    ):  # fmt: skip
        assert re.search(rf"\b{metric}\b", shown), metric
