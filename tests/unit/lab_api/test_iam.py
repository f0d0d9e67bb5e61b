# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: policies by themselves, and at the endpoint for credentials of a role."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from lab.api.gate import Gate
from lab.api.iam import Context, Resource, allowed

TABLE = Resource("arn:aws:ec2:eu-central-1:123456789012:route-table/rtb-1", {"vpnha:deployment": "lab"})
OTHER = Resource("arn:aws:ec2:eu-central-1:123456789012:route-table/rtb-2", {"vpnha:deployment": "prod"})


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any = "ec2:ReplaceRoute", resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}


def may(*statements: dict[str, Any], resource: Resource = TABLE, context: Context | None = None) -> bool:
    return allowed([policy(*statements)], "ec2:ReplaceRoute", resource, context or {})


TAGGED = {"aws:ResourceTag/vpnha:deployment": "lab"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(), True),
        (allow(["ec2:describe*", "EC2:replaceroute"]), True),
        (allow("ec2:Describe*"), False),
        (allow(resource="arn:aws:ec2:*:*:route-table/*"), True),
        (allow(resource="arn:aws:ec2:*:*:instance/*"), False),
        (allow(StringEquals=TAGGED), True),
        (allow(StringEquals={"ec2:ResourceTag/vpnha:deployment": ["prod", "lab"]}), True),
        (allow(StringEquals={"aws:ResourceTag/vpnha:zone": "a"}), False),
        (allow(StringEqualsIfExists={"aws:ResourceTag/vpnha:zone": "a"}), True),
        (allow(StringNotEquals=TAGGED), False),
        (allow(StringLike={"aws:ResourceTag/vpnha:deployment": "l*"}), True),
        (allow(Null={"aws:ResourceTag/vpnha:zone": "true"}), True),
        (allow(**{"ForAllValues:StringEquals": {"aws:TagKeys": ["vpnha:pin"]}}), True),
        (allow(IpAddress={"aws:SourceIp": "10.0.0.0/8"}), False),  # an operator that is not known grants nothing
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, True),
    ],
)
def test_a_statement(statement: dict[str, Any], expected: bool) -> None:
    assert may(statement) is expected


def test_a_denial_wins() -> None:
    assert not may(allow(), {**allow(), "Effect": "Deny"})


def test_the_tag_is_that_of_the_resource() -> None:
    assert not may(allow(StringEquals=TAGGED), resource=OTHER)


def test_all_tag_keys_of_the_request_must_be_allowed() -> None:
    statement = allow(**{"ForAllValues:StringEquals": {"aws:TagKeys": ["vpnha:pin"]}})
    assert may(statement, context={"aws:tagkeys": ("vpnha:pin",)})
    assert not may(statement, context={"aws:tagkeys": ("vpnha:pin", "Name")})


# --- At the endpoint --------------------------------------------------------------------------------------


@pytest.fixture
def role(client: Any, vpc: Any) -> dict[str, Any]:
    """Credentials of a role that may read, and swap routes of tables with this VPC's tag."""
    iam, name = client("iam"), f"role-{vpc.id}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy({"Effect": "Allow", "Action": "sts:AssumeRole"}))
    statements = (
        allow("ec2:Describe*"),
        allow(["ec2:ReplaceRoute", "ec2:CreateTags"], StringEquals={"aws:ResourceTag/of": vpc.id}),
    )
    iam.put_role_policy(RoleName=name, PolicyName="swap", PolicyDocument=policy(*statements))
    arn = iam.get_role(RoleName=name)["Role"]["Arn"]
    return dict(client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"])


def test_a_role_does_what_it_may_and_nothing_else(client: Any, vpc: Any, role: Any, refused: Any) -> None:
    ec2 = client("ec2", role)
    old, new = vpc.eni(), vpc.eni()
    route = {"RouteTableId": vpc.table, "DestinationCidrBlock": "192.168.10.0/24"}
    vpc.ec2.create_route(NetworkInterfaceId=old, **route)
    assert ec2.describe_route_tables(RouteTableIds=[vpc.table])["RouteTables"]
    assert refused(ec2.replace_route, NetworkInterfaceId=new, **route) == "UnauthorizedOperation"
    assert refused(ec2.replace_route, NetworkInterfaceId=new, DryRun=True, **route) == "UnauthorizedOperation"
    assert vpc.routes()["192.168.10.0/24"]["NetworkInterfaceId"] == old
    vpc.ec2.create_tags(Resources=[vpc.table], Tags=[{"Key": "of", "Value": vpc.id}])
    ec2.replace_route(NetworkInterfaceId=new, **route)
    assert vpc.routes()["192.168.10.0/24"]["NetworkInterfaceId"] == new
    pin = [{"Key": "vpnha:pin", "Value": "x"}]
    ec2.create_tags(Resources=[vpc.table], Tags=pin)
    assert refused(ec2.create_tags, Resources=[vpc.table, vpc.id], Tags=pin) == "UnauthorizedOperation"
    assert refused(ec2.delete_route, **route) == "UnauthorizedOperation"


def test_other_services_ask_for_permission_too(client: Any, role: Any, refused: Any) -> None:
    assert refused(client("iam", role).list_roles) == "AccessDenied"
    assert "assumed-role" in client("sts", role).get_caller_identity()["Arn"]


def test_a_role_reaches_the_tables_of_dynamodb_that_it_may(client: Any, role: Any, vpc: Any, refused: Any) -> None:
    keys = {"KeySchema": [{"AttributeName": "item", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}
    keys["AttributeDefinitions"] = [{"AttributeName": "item", "AttributeType": "S"}]
    names = [f"{vpc.id}-{suffix}" for suffix in ("monitors", "others")]
    for name in names:
        client("dynamodb").create_table(TableName=name, **keys)
    statement = allow("dynamodb:PutItem", f"arn:aws:dynamodb:eu-central-1:*:table/{names[0]}")
    client("iam").put_role_policy(RoleName=f"role-{vpc.id}", PolicyName="put", PolicyDocument=policy(statement))
    dynamodb, item = client("dynamodb", role), {"item": {"S": "x"}}
    dynamodb.put_item(TableName=names[0], Item=item)
    assert refused(dynamodb.put_item, TableName=names[1], Item=item) == "AccessDenied"
    assert refused(dynamodb.delete_table, TableName=names[0]) == "AccessDenied"
    assert refused(dynamodb.list_tables) == "AccessDenied"


def test_a_role_publishes_to_the_topic_that_it_may(client: Any, role: Any, vpc: Any, refused: Any) -> None:
    owner = client("sns")
    mine, other = (owner.create_topic(Name=name)["TopicArn"] for name in ("mine", "other"))
    statement = allow("sns:Publish", mine)
    client("iam").put_role_policy(RoleName=f"role-{vpc.id}", PolicyName="topic", PolicyDocument=policy(statement))
    sns = client("sns", role)
    sns.publish(TopicArn=mine, Message="x")
    assert refused(sns.publish, TopicArn=other, Message="x") == "AccessDenied"


@pytest.fixture
def may_put(client: Any, role: Any, vpc: Any) -> dict[str, Any]:
    """Credentials of a role that may write metrics of the namespace ``lab``, too."""
    statement = allow("cloudwatch:PutMetricData", StringEquals={"cloudwatch:namespace": "lab"})
    client("iam").put_role_policy(RoleName=f"role-{vpc.id}", PolicyName="put", PolicyDocument=policy(statement))
    return dict(role)


def test_a_role_writes_metrics_of_the_namespace_that_it_may(
    client: Any, may_put: dict[str, Any], vpc: Any, refused: Any
) -> None:
    cloudwatch, data = client("cloudwatch", may_put), [{"MetricName": vpc.id, "Value": 1.0}]
    cloudwatch.put_metric_data(Namespace="lab", MetricData=data)
    assert refused(cloudwatch.put_metric_data, Namespace="other", MetricData=data) == "AccessDenied"
    assert refused(cloudwatch.list_metrics, Namespace="lab") == "AccessDenied"
    found = [metric["Namespace"] for metric in client("cloudwatch").list_metrics(MetricName=vpc.id)["Metrics"]]
    assert found == ["lab"]


@pytest.mark.parametrize(("namespace", "status"), [("lab", 200), ("other", 403), ("", 403)])
def test_the_older_form_of_a_request_says_its_namespace_too(
    may_put: dict[str, Any], url: str, namespace: str, status: int
) -> None:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"Credential={may_put['AccessKeyId']}/{now[:8]}/eu-central-1/monitoring/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}", "X-Amz-Date": now}
    headers |= {"X-Amz-Security-Token": may_put["SessionToken"], "Host": "monitoring.eu-central-1.amazonaws.com"}
    form = {"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": namespace}
    form |= {"MetricData.member.1.MetricName": "able", "MetricData.member.1.Value": "1"}
    try:
        answered = urlopen(Request(url, urlencode(form).encode(), headers)).status
    except HTTPError as error:
        answered = error.code
    assert answered == status


@pytest.mark.parametrize("change", [{"AccessKeyId": "AKIA0123456789ABCDEF"}, {"SessionToken": "wrong"}])
def test_unknown_credentials_are_refused(client: Any, role: Any, refused: Any, change: dict[str, str]) -> None:
    assert refused(client("ec2", {**role, **change}).describe_vpcs) == "AuthFailure"


@pytest.mark.parametrize(("off", "status"), [(0, "200"), (290, "200"), (310, "400"), (-310, "400")])
def test_a_clock_may_be_five_minutes_off(off: int, status: str) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    answers: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    environ = {
        "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=lab/20260101/eu-central-1/ec2/aws4_request, Signature=0",
        "HTTP_X_AMZ_DATE": (now + timedelta(seconds=off)).strftime("%Y%m%dT%H%M%SZ"),
    }
    body = b"".join(Gate(app, lambda: now)(environ, lambda said, headers: answers.append(said)))
    assert answers[0][:3] == status
    assert (b"RequestExpired" in body) == (status == "400")
