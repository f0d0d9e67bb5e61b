# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an alarm to what is done about it: CloudWatch, SNS, SQS, our source, our rulebook, our playbooks."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.ec2.conftest import A, World
from tests.unit.ec2.test_managed_vpn_modules import Office

from .conftest import LONGEST, Rulebook, Site


def test_a_dead_connection_moves_routes_and_is_looked_into_once(
    rulebook: Rulebook, office: Office, world: World, queue: tuple[str, str, Any]
) -> None:
    """CloudWatch finds the connection dead by itself, and tells the queue through a topic."""
    name = world.deployment.name
    rulebook.sqs.send_message(QueueUrl=rulebook.queue, MessageBody="rubbish")
    office.measured(TunnelState=(0.0, 0.0))
    office.see_to_alarms(
        deployment=name, period=60, notify_tunnels=True, subscriptions=[{"protocol": "sqs", "endpoint": queue[1]}]
    )
    dead, one = f"{name}-{office.id}-connection", f"{name}-{office.id}-tunnel-{office.addresses[0]}"

    [report] = rulebook.until(lambda: rulebook.report(dead))
    assert (report["deployment"], report["connection"]) == (name, office.id)
    assert report["headline"].startswith(f"{name}: {office.id} ({office.name}) is down.")
    assert [each["name"] for each in report["standing"]["gateways"]] == ["gw-a", "gw-b"]
    assert {f"The health of {gateway} is not known" for gateway in ("gw-a", "gw-b")} == {
        gap.split(":")[0] for gap in report["missing"] if gap.startswith("The health of")
    }
    assert "mon-a does not answer; look at its service vpnha-monitor." in report["missing"]
    # the routes moved first: the report shows them where they are now
    assert {route["gateway"] for table in report["standing"]["route_tables"] for route in table["routes"]} == {"gw-b"}
    view = world.view()
    assert {route.gateway for route in view.routes.values()} == {"gw-b"}
    assert list(view.table_pins) == [world.table(A)]  # only the table whose routes led to the dead one

    rulebook.until(lambda: rulebook.report(one))
    refused = f"No other tunnel of {office.id} is up"
    rulebook.until(lambda: " ".join(rulebook.said().split()).count(refused) >= 2)  # once for each tunnel
    assert not any(each["Key"] == "vpnha:tunnel-replaced" for each in tags_of(office))

    rulebook.send(AlarmName=dead, NewStateValue="ALARM")  # once more, which is too often
    rulebook.send(AlarmName=f"other-{office.id}-connection", NewStateValue="ALARM")  # of another deployment
    rulebook.send(AlarmName=f"{name}-{office.id}-silence", NewStateValue="ALARM", NewStateReason="{{ 1 + 1 }}")
    rulebook.send(AlarmName=f"{name}-{office.id}-silence", NewStateValue="ALARM")
    rulebook.send(AlarmName=dead, NewStateValue="OK", StateChangeTime="2026-01-01T00:00:00.000+0000")
    [silence] = rulebook.until(lambda: rulebook.report(f"{name}-{office.id}-silence"))
    assert silence["connection"] == office.id
    rulebook.until(lambda: f"{dead} is OK since 2026-01-01T00:00:00.000+0000." in rulebook.said())
    assert len(rulebook.report(dead)) == 1
    assert rulebook.report(f"other-{office.id}-connection") == []
    assert "is left: it is no CloudWatch alarm (1 so far)" in rulebook.said()
    assert "is left: it has a Jinja template in it (2 so far)" in rulebook.said()

    heard = rulebook.sqs.receive_message(QueueUrl=rulebook.told, MaxNumberOfMessages=10)["Messages"]
    told = [json.loads(each["Body"]) for each in heard]
    because = f"because of the alarm {dead}.\n"
    [message] = [each for each in told if because in each["Message"]]
    assert message["Subject"].startswith(f"{name}: {office.id} ({office.name}) is down.")
    assert str(rulebook.reports) in message["Message"]

    left = rulebook.sqs.get_queue_attributes(QueueUrl=rulebook.queue, AttributeNames=["All"])["Attributes"]
    assert int(left["ApproximateNumberOfMessages"]) + int(left["ApproximateNumberOfMessagesNotVisible"]) == 2
    assert "Traceback" not in rulebook.said()


def tags_of(office: Office) -> list[dict[str, str]]:
    """A connection's tags."""
    shown = office.client.describe_vpn_connections(VpnConnectionIds=[office.id])["VpnConnections"][0]
    return list(shown.get("Tags", []))


def test_a_queue_that_is_not_there_is_one_sentence(site: Site) -> None:
    log = site.directory / "log"
    process = site.start({"vpnha_queue": "nowhere"}, log)
    try:
        assert process.wait(LONGEST) != 0
    finally:
        process.kill()
    said = log.read_text()
    assert "There is no SQS queue nowhere in this region and account: create it, or mend 'queue'." in said, said
