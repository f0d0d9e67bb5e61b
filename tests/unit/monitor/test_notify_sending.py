# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages really sent: by Apprise to a webhook on loopback, by SNS to a queue of the lab's endpoint, or not at all."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from monitor_world import World, deployment

from ansible_collections.vpnha.aws.plugins.module_utils import tags
from ansible_collections.vpnha.aws.plugins.module_utils.announced import Announcing
from ansible_collections.vpnha.aws.plugins.module_utils.decision import start
from ansible_collections.vpnha.aws.plugins.module_utils.model import Evidence, Monitor, Note, StoreView
from tests.unit.endpoint_process import endpoint
from vpnha_monitor import journal
from vpnha_monitor.house import House
from vpnha_monitor.notify import child
from vpnha_monitor.notify.facts import Message
from vpnha_monitor.notify.outbox import Outbox
from vpnha_monitor.notify.room import Notifications, Settings
from vpnha_monitor.notify.sending import TIMED_OUT, Address, Try, addresses

REGION = "eu-central-1"
SECRET = "s3cr3t-t0ken"
MESSAGE = Message("id", 1_795_600_000.0, "failover", "warning", "[prod] Failover … done", "What happened.\nEvidence.")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes that send inherit."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-needed-here")


class Webhook:
    """An HTTP server that keeps what it gets, and answers with a code."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.code = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def titled(self, title: str) -> dict[str, Any] | None:
        """The message with this title; on a machine with much to do there may be others of the monitor's lateness."""
        return next((one for one in self.got if one["title"] == title), None)


@contextmanager
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


@contextmanager
def black_hole() -> Iterator[tuple[int, list[socket.socket]]]:
    """A TCP server that takes connections and never says a word: its port, and the connections."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:

        def serve() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], taken
        server.shutdown(socket.SHUT_RDWR)
    for one in taken:
        one.close()


def apprise(url: str) -> Address:
    (found,) = addresses(Announcing(apprise=(url,)), REGION, "")
    return found


def until(ask: Callable[[], Any]) -> Any:
    limit = time.monotonic() + 120
    while (found := ask()) is None:
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


def sent(address: Address) -> str:
    """What came of one try that has all the time it needs."""
    one = Try(address, MESSAGE, 1.0)
    return until(lambda: one.outcome(0.0))


# --- one try --------------------------------------------------------------------------------------------------


def test_apprise_delivers_to_a_webhook() -> None:
    with webhook() as hook:
        assert sent(apprise(f"json://127.0.0.1:{hook.port}/{SECRET}")) == ""
    (got,) = hook.got
    assert (got["title"], got["message"], got["type"]) == (MESSAGE.title, MESSAGE.body, "warning")


def test_a_target_s_refusal_is_told_by_its_number_only() -> None:
    with webhook() as hook:
        hook.code = 503
        said = sent(apprise(f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}"))
    assert said == "the target did not take it (HTTP 503)"


@pytest.mark.parametrize("url", [f"nosuchscheme://{SECRET}", f"slack://{SECRET}"])
def test_an_address_that_apprise_does_not_know_is_told_without_it(url: str) -> None:
    assert sent(apprise(url)) == child.UNKNOWN


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert sent(apprise(f"json://127.0.0.1:{port}/{SECRET}")) == "the target did not take it"


def test_apprise_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apprise.py").write_text("raise ImportError('none')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert sent(apprise("json://127.0.0.1/")) == child.MISSING


def test_a_process_that_ends_without_a_word_is_a_failure() -> None:
    one = Try(apprise("json://127.0.0.1/"), MESSAGE, 1.0, ["false"])
    assert until(lambda: one.outcome(0.0)) == "the process that sends ended without a word"


def test_a_target_that_hangs_is_left_at_the_deadline_and_nothing_of_it_stays() -> None:
    with black_hole() as (port, taken):
        one = Try(apprise(f"json://127.0.0.1:{port}/?rto=600"), MESSAGE, 100.0)
        until(lambda: taken or None)
        assert one.outcome(99.9) is None
        assert until(lambda: one.outcome(100.0)) == TIMED_OUT  # a killed process may need a moment
        assert not Path(f"/proc/{one.pid}").exists()
        while taken[0].recv(65536):  # the connection has ended with it, else this would not
            pass


def test_no_secret_is_in_a_process_s_arguments_or_environment() -> None:
    with black_hole() as (port, taken):
        one = Try(apprise(f"json://127.0.0.1:{port}/{SECRET}"), MESSAGE, 1.0)
        until(lambda: taken or None)
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{one.pid}/{name}").read_bytes()
        assert Path(f"/proc/{one.pid}/oom_score_adj").read_text().strip() == "500"
        assert os.getpriority(os.PRIO_PROCESS, one.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
        assert until(lambda: one.outcome(1.0)) == TIMED_OUT  # a killed process may need a moment


# --- SNS ------------------------------------------------------------------------------------------------------


def test_sns_delivers_to_a_queue_of_the_lab_s_endpoint(tmp_path: Path) -> None:
    with endpoint(tmp_path) as url:
        sns, sqs = (boto3.client(service, region_name=REGION, endpoint_url=url) for service in ("sns", "sqs"))
        topic = sns.create_topic(Name="vpn")["TopicArn"]
        queue = sqs.create_queue(QueueName="people")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        (address,) = addresses(Announcing(sns_topic=topic), "us-east-1", url)
        assert sent(address) == ""
        (got,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        body = json.loads(got["Body"])
        assert (body["Subject"], body["Message"]) == (
            "[prod] Failover ? done",
            f"{MESSAGE.title}\n\n{MESSAGE.body}",
        )
        assert body["MessageAttributes"]["severity"]["Value"] == "warning"

        (nowhere,) = addresses(Announcing(sns_topic=f"{topic}-gone"), REGION, url)
        assert sent(nowhere).startswith("SNS does not take it (NotFound")


# --- the room with real processes -----------------------------------------------------------------------------


def test_a_hanging_target_does_not_keep_a_message_from_the_others(tmp_path: Path) -> None:
    """The thread is stepped by hand; as it gives no time to the hanging one, nothing but order is seen here."""
    path = tmp_path / "journal.sqlite"
    journal._open(path).close()
    told: list[Note] = []
    with black_hole() as (port, taken), webhook() as hook:
        urls = (f"json://127.0.0.1:{port}/?rto=600", f"json://127.0.0.1:{hook.port}/")
        settings = Settings("mon-a", deployment(), Announcing(apprise=urls))
        room = Notifications(settings, Outbox(path, lambda: True), told.append)
        for number in range(5):
            room.put(Note("site-down", f"s{number}", "It is down."))
        room.step(0.0, time.time())
        until(lambda: (room.step(10.0, time.time()) and len(hook.got) == 5) or None)
        until(lambda: (room.step(10.0, time.time()) and room.status()["targets"][1]["sent"] == 5) or None)
        until(lambda: taken or None)
        assert [one["queued"] for one in room.status()["targets"]] == [5, 0]
        assert len(taken) == 1
        room.step(100.0, time.time())
        assert room.status()["targets"][0]["error"] == TIMED_OUT


def test_an_end_leaves_no_process_and_no_thread_and_keeps_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal._open(path).close()
    begun: list[Try] = []

    def begin(address: Address, message: Message, deadline: float) -> Try:
        begun.append(Try(address, message, deadline))
        return begun[-1]

    with black_hole() as (port, taken):
        settings = Settings("mon-a", deployment(), Announcing(apprise=(f"json://127.0.0.1:{port}/?rto=600",)))
        room = Notifications(settings, Outbox(path, lambda: True), lambda _note: None, begin)
        room.start()
        room.put(Note("site-down", "hq", "It is down."))
        until(lambda: taken or None)
        room.stop()
        assert not room._thread.is_alive()
        assert [Path(f"/proc/{one.pid}").exists() for one in begun] == [False]
    kept = Outbox(path, lambda: True).read()
    assert kept is not None and [message.title for _name, message, _tries in kept.queue] == ["[test] hq: Site is down"]


def test_the_daemon_tells_a_failover_and_no_target_holds_it(world: World) -> None:
    """A webhook gets it; a target that hangs and one that fails delay no swap, and no secret is seen anywhere."""
    with black_hole() as (hole, taken), webhook() as hook:
        world.configure(
            notify={
                "apprise": [
                    f"json://127.0.0.1:{hole}/{SECRET}?rto=600",
                    f"json://127.0.0.1:1/{SECRET}",
                    f"json://127.0.0.1:{hook.port}/{SECRET}",
                ]
            }
        )
        world.start()
        time.sleep(1.0)  # the window in which it only observes
        _before, after = world.agents["gw-a"].die()
        world.until(lambda: world.target(world.zone_a) == "gw-b")
        world.until(lambda: world.events("swap-issued"))
        assert world.events("swap-issued")[0].mono < after + 0.5 + 0.15 + world.status()["loop_lag"]
        title = "[test] Failover: 1 route from gw-a to gw-b"
        world.until(lambda: hook.titled(title))
        assert "gateway-silent" in hook.titled(title)["message"]
        assert "told by monitor mon-a" in hook.titled(title)["message"]

        # while one try hangs, another failover is as fast, and is told
        world.until(lambda: taken)
        world.agents["gw-a"].start()
        world.until(lambda: any("Failback" in one["title"] for one in hook.got))
        _before, after = world.agents["gw-a"].die()
        world.until(lambda: len(world.events("swap-issued")) == 3)
        assert world.events("swap-issued")[2].mono < after + 0.5 + 0.15 + world.status()["loop_lag"]

        targets = world.status()["notify"]["targets"]
        assert [one["name"] for one in targets] == [f"apprise-{number}-json" for number in (1, 2, 3)]
        assert (
            targets[0]["queued"] and targets[1]["error"] == "the target did not take it" and not targets[2]["failing"]
        )
        metrics = world.get("/metrics")[1]
        assert 'vpnha_notify_sent_total{target="apprise-3-json"}' in metrics
        shown = world.vpnha("status").stdout
        assert "Messages do not reach apprise-2-json (the target did not take it);" in shown
        everything = [metrics, shown, json.dumps(world.status()), world.log.read_text()]
        everything += [str(event) for event in world.events()]
        assert not any(SECRET in text for text in everything)
        assert SECRET.encode() not in world.journal.read_bytes()


def test_what_a_killed_monitor_could_not_send_is_sent_by_the_next_one(world: World) -> None:
    with webhook() as hook:
        hook.code = 503
        world.configure(notify={"apprise": [f"json://127.0.0.1:{hook.port}/"]})
        world.start()
        time.sleep(1.0)  # the window in which it only observes
        world.agents["gw-a"].die()
        title = "[test] Failover: 1 route from gw-a to gw-b"
        world.until(lambda: hook.titled(title))
        world.until(lambda: world.status()["notify"]["targets"][0]["error"])
        world.kill()
        hook.code = 200
        hook.got.clear()
        world.start(wait=False)
        world.until(lambda: hook.titled(title))


def test_what_fails_over_in_a_drill_is_marked_as_the_drill_s(world: World) -> None:
    table = world.ec2.describe_route_tables(RouteTableIds=[world.tables[world.zone_a]])["RouteTables"][0]
    running = tags.format_drill(tags.Drill("d7", time.time() + 600))
    world.ec2.create_tags(Resources=[table["VpcId"]], Tags=[{"Key": tags.drill_of("test"), "Value": running}])
    with webhook() as hook:
        world.configure(notify={"apprise": [f"json://127.0.0.1:{hook.port}/"]})
        world.start()
        world.until(lambda: hook.titled("[test] d7: A drill is running"))
        world.agents["gw-a"].die()
        world.until(lambda: hook.titled("[test] Drill d7: Failover: 1 route from gw-a to gw-b"))
        world.ec2.delete_tags(Resources=[table["VpcId"]], Tags=[{"Key": tags.drill_of("test")}])
        world.until(lambda: hook.titled("[test] Over: d7: A drill is running"))


@pytest.mark.parametrize(
    ("monitors", "store", "leads"),
    [
        (1, StoreView(), True),
        (2, StoreView(age=0.5, lease_age=0.5, holder="mon-a"), True),
        (2, StoreView(age=0.5, holder="mon-b", words={"mon-b": 0.5}), False),
        (2, StoreView(age=0.5, holder="mon-b"), True),  # who has the lease does not say that it can act
        (2, StoreView(age=0.5, holder="mon-b", words={"mon-b": 60.0}), True),
        (2, StoreView(age=60.0, holder="mon-b"), True),  # nobody can know who has the lease: told twice, not never
        (2, StoreView(), True),
    ],
)
def test_the_monitor_with_the_lease_tells_what_all_see(monitors: int, store: StoreView, leads: bool) -> None:
    of = deployment()
    both = (*of.monitors, Monitor("mon-b", of.zones[0].name, "10.20.0.21"))
    of = replace(of, monitors=both[:monitors])
    mind = SimpleNamespace(deployment=of, state=start(of, 0.0, 0, "mon-a"), evidence=Evidence(gateways={}, store=store))
    assert House(SimpleNamespace(mind=mind), SimpleNamespace())._leads(100.0) is leads


def test_a_person_tests_the_targets_and_a_drill_s_result_is_told(world: World) -> None:
    with webhook() as hook:
        assert "Nobody is told: set vpnha_notify_sns_topic" in world.vpnha("notify-test").stderr
        world.configure(notify={"apprise": [f"json://127.0.0.1:{hook.port}/", f"json://127.0.0.1:1/{SECRET}"]})
        said = world.vpnha("notify-test")
        assert (said.returncode, said.stdout) == (
            1, "apprise-1-json: ok\napprise-2-json: the target did not take it\n",
        )  # fmt: skip
        assert hook.got[0]["title"] == "[test] Test of the notification"
        refused = world.vpnha("drill-result", "d1", "It passed.", "--passed")
        assert refused.returncode == 1 and "cannot be written" in refused.stderr
        world.start()
        done = world.vpnha(
            "drill-result", "d1", "Every scenario passed.", "--passed",
            '--details={"by": "jane@box", "outages_ms": {"planned": 0.0}, "report": "/tmp/d1/report.html"}',
        )  # fmt: skip
        assert done.returncode == 0, done
        world.until(lambda: hook.titled("[test] Drill d1 passed"))
        assert hook.titled("[test] Drill d1 passed")["type"] == "success"
        assert [event.text for event in world.events("drill-result")] == ["Every scenario passed."]
        refused = world.vpnha("drill-result", "d2", "It passed.", "--passed", "--details=[]")
        assert (refused.returncode, refused.stderr) == (1, "--details is no JSON object: []\n")
        world.vpnha("drill-result", "d2", "Too slow.", "--failed", "--no-tell")
        world.vpnha("drill-result", "d 3", "Well.", "--passed")
        world.until(lambda: any("Drill d-3" in str(one) for one in hook.got))
        assert not any("d2" in str(one) for one in hook.got)
        first, second, third = json.loads(world.vpnha("drills", "--json").stdout)
        assert first.pop("wall") <= second.pop("wall")
        assert first.pop("ended") <= second.pop("ended")
        assert first == {
            "drill": "d1", "state": "passed", "verdict": "Every scenario passed.", "by": "jane@box",
            "outages_ms": {"planned": 0.0}, "report": "/tmp/d1/report.html",
        }  # fmt: skip
        assert (second["drill"], second["state"], second["by"]) == ("d2", "failed", "")
        assert third["drill"] == "d-3"  # as its mark would have it
        shown = world.vpnha("drills").stdout
        assert "d1 by jane@box passed\n  planned: 0 ms of outage\n  report: /tmp/d1/report.html\n" in shown
        assert "d2 did not pass\n  Too slow.\n" in shown


def test_the_check_of_a_configuration_asks_apprise_and_shows_no_address(world: World) -> None:
    world.configure(notify={"apprise": [f"slack://{SECRET}", "json://127.0.0.1/"], "rate": 0})
    said = world.vpnha("check-config", str(world.config))
    assert "notify.rate: '0' is no number of messages an hour" in said.stderr
    world.configure(notify={"apprise": [f"slack://{SECRET}", "json://127.0.0.1/"]})
    said = world.vpnha("check-config", "--no-way", str(world.config))
    assert said.returncode == 1 and said.stderr.count("\n") == 1
    assert f"notify.apprise[0]: {child.UNKNOWN}" in said.stderr and SECRET not in said.stdout + said.stderr


def test_without_apprise_targets_the_monitor_does_not_import_it(world: World, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "apprise.py").write_text("raise SystemExit('apprise was imported')")
    sys.path.insert(0, str(broken))
    try:
        assert world.vpnha("check-config", "--no-way", str(world.config)).returncode == 0
        world.start()
    finally:
        sys.path.remove(str(broken))
    assert world.status()["notify"]["targets"] == []
