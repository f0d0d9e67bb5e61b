# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real actuator, its threads on a virtual clock, before an EC2 with the token buckets that it documents."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from virtual_time import VirtualTime

from ansible_collections.vpnha.aws.plugins.module_utils import failover_plan
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Action,
    Repair,
    RepairResult,
    Route,
    RouteKey,
    Site,
    Swap,
    SwapResult,
)
from ansible_collections.vpnha.aws.plugins.module_utils.pace import TokenBucket
from ansible_collections.vpnha.aws.plugins.module_utils.state import State
from lab.api.limits import Buckets
from tests.unit.plugins.module_utils.scenario import Play, deployment
from vpnha_monitor.actuator import Actuator, _Paid
from vpnha_monitor.mind import Mind
from vpnha_monitor.waiting import Waiting

LATENCY = 0.15
QUIET = 60.0  # s after the start, until every bucket is full


class Ec2:
    """Answers after 150 ms, and refuses what its buckets do not have."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.buckets = Buckets(clock=time)
        self.targets: dict[RouteKey, str] = {}
        self.begun: list[tuple[float, RouteKey]] = []
        self.calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.changed: Callable[[RouteKey, str], None] = lambda key, target: None
        self._lock = threading.Lock()

    def replace_route(self, *, RouteTableId: str, NetworkInterfaceId: str, DestinationCidrBlock: str) -> None:
        key = RouteKey(RouteTableId, DestinationCidrBlock)
        self.begun.append((self.time.now, key))
        self._answer("ReplaceRoute")
        with self._lock:
            self.targets[key] = NetworkInterfaceId
            self.changed(key, NetworkInterfaceId)

    def describe_route_tables(self, *, Filters: list[dict[str, Any]], MaxResults: int) -> dict[str, Any]:
        self._answer("DescribeRouteTables")
        [wanted] = [one["Values"] for one in Filters]
        assert len(wanted) <= MaxResults
        tables: dict[str, list[dict[str, str]]] = {table: [] for table in wanted}
        with self._lock:
            for key, target in self.targets.items():
                if key.table_id in tables:
                    tables[key.table_id].append({"DestinationCidrBlock": key.destination, "NetworkInterfaceId": target})
        return {"RouteTables": [{"RouteTableId": table, "Routes": routes} for table, routes in tables.items()]}

    def _answer(self, action: str) -> None:
        taken = self.buckets.take(action, True)
        self.calls[action] += 1
        self.time.sleep(LATENCY)
        if not taken:
            self.refused[action] += 1
            raise ClientError({"Error": {"Code": "RequestLimitExceeded", "Message": "no"}}, action)


class Bench:
    """An actuator that has run for a while."""

    def __init__(
        self, still: Callable[[Swap], str] = lambda swap: "", quiet: float = QUIET, now: float | None = None
    ) -> None:
        self.time = VirtualTime()
        if now is not None:
            self.time.now = now
        self.ec2 = Ec2(self.time)
        self.results: list[SwapResult] = []
        self.ended: dict[RouteKey, float] = {}
        self.actuator = self.start(still)
        self.time.sleep(quiet)

    def start(self, still: Callable[[Swap], str] = lambda swap: "") -> Actuator:
        return Actuator(
            lambda: self.ec2, self.deliver, lambda result: None, still,
            clock=self.time, sleep=self.time.sleep, threads=self.time.threads,
        )  # fmt: skip

    def deliver(self, results: Any) -> None:
        self.results += results
        self.ended |= {result.swap.key: self.time.now for result in results if result.accepted}

    def until(self, count: int, most: float = 600.0) -> float:
        """Let time pass until so many swaps have ended; the seconds that took."""
        began = self.time.now
        while len(self.results) < count:
            assert self.time.now - began < most
            self.time.sleep(0.05)
        return self.time.now - began


def swaps(tables: int, destinations: int = 5, *, first: int = 0, voluntary: bool = False, **more: Any) -> list[Swap]:
    return [
        Swap(RouteKey(f"rtb-{table:03d}", f"192.168.{n}.0/24"), "gw-b", "eni-b", "gateway-silent", voluntary, **more)
        for table in range(first, first + tables)
        for n in range(destinations)
    ]


def test_five_hundred_swaps_take_little_longer_than_ec2_s_own_limit() -> None:
    bench = Bench()
    bench.actuator.swap(swaps(100))
    spent = bench.until(500)
    assert all(result.accepted for result in bench.results)
    assert not bench.ec2.refused
    assert bench.ec2.calls["ReplaceRoute"] == 500
    assert spent <= 1.2 * ((500 - 50) / 5 + LATENCY)
    assert bench.ec2.calls["DescribeRouteTables"] <= 2 * (1 + 455 / 4 + 1)  # four at a time, each read back twice


def test_a_monitor_that_starts_again_does_not_burst() -> None:
    bench = Bench()
    bench.actuator.swap(swaps(9))
    bench.until(45)
    again = bench.start()
    again.swap(swaps(9, first=9))
    bench.until(90)
    assert not bench.ec2.refused
    assert all(result.accepted for result in bench.results)


def test_the_most_urgent_go_first() -> None:
    bench = Bench()
    bench.actuator.swap([*swaps(20), *swaps(1, first=20, priority=1), *swaps(1, first=21, priority=9)])
    bench.until(110)
    order = [key.table_id for _at, key in bench.ec2.begun]
    assert set(order[:5]) == {"rtb-020"}
    assert set(order[-5:]) == {"rtb-021"}


def test_an_emergency_does_not_wait_for_voluntary_moves() -> None:
    bench = Bench()
    bench.actuator.swap(swaps(40, voluntary=True))
    bench.time.sleep(10.0)
    began = bench.time.now
    bench.actuator.swap(swaps(4, first=50))
    bench.until(220)
    mine = [at - began for key, at in bench.ended.items() if key.table_id >= "rtb-050"]
    # 15 tokens are kept, five more take about a second
    assert len(mine) == 20 and max(mine) <= 15 / 4.8
    assert not bench.ec2.refused


def test_where_others_use_up_the_limit_the_calls_become_fewer_and_all_end_well() -> None:
    bench = Bench()
    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            while bench.ec2.buckets.take("ReplaceRoute", True):  # all that there is, every two seconds
                pass
            bench.time.sleep(2.0)

    thief = bench.time.threads(1, "others").submit(others)
    bench.actuator.swap(swaps(20))
    for _ in range(40):
        bench.time.sleep(10.0)
        failed = [result.swap for result in bench.results if not result.accepted]
        bench.results = [result for result in bench.results if result.accepted]
        if len(bench.results) == 100:
            break
        bench.actuator.swap(failed)
    stop.set()
    thief.result()
    assert len(bench.results) == 100
    assert bench.actuator.progress().slowed
    # at the full pace it would have been refused about as often as it was let through, and twice as often as here
    assert bench.ec2.refused["ReplaceRoute"] <= 100


def test_what_is_no_longer_wanted_is_not_begun() -> None:
    gone: set[str] = set()
    bench = Bench(lambda swap: "gw-b has died." if swap.key.table_id in gone else "")
    bench.actuator.swap(swaps(20))
    bench.time.sleep(2.0)
    gone.add("rtb-019")
    bench.until(100)
    [*late] = [result for result in bench.results if result.swap.key.table_id == "rtb-019"]
    assert {(result.accepted, result.error, result.detail) for result in late} == {
        (False, "withdrawn", "gw-b has died.")
    }
    assert "rtb-019" not in {key.table_id for _at, key in bench.ec2.begun}


def test_what_has_a_deadline_ends_by_then() -> None:
    bench = Bench()
    began = bench.time.now
    bench.actuator.swap(swaps(20), began + 3.0)
    bench.until(100)
    done = [result for result in bench.results if result.accepted]
    assert 50 <= len(done) <= 60
    assert {result.error for result in bench.results if not result.accepted} == {"deadline"}
    assert max(at for at, _key in bench.ec2.begun) <= began + 3.0


def test_a_batch_whose_thread_was_long_in_coming_begins_nothing_that_is_overdue_or_no_longer_wanted() -> None:
    """Its tokens were taken when it was handed out; since then all threads were busy."""
    bench = Bench(still=lambda swap: "its target is down" if swap.key.table_id == "rtb-001" else "")
    now = bench.time.now
    overdue, unwanted, good = swaps(3, 1)
    batch = [Waiting(overdue, now - 4, now - 1), Waiting(unwanted, now - 4, None), Waiting(good, now - 4, now + 9)]
    bench.actuator._round(batch)
    assert {one.swap.key: one.error for one in bench.results} == {
        overdue.key: "deadline", unwanted.key: "withdrawn", good.key: "",
    }  # fmt: skip
    assert {key for _at, key in bench.ec2.begun} == {good.key}


def test_a_call_that_is_paid_for_is_not_made_after_its_deadline() -> None:
    now = [10.0]
    paid = _Paid(TokenBucket(clock=lambda: now[0]), threading.Event(), lambda: now[0], paid=2)
    assert paid.acquire(11.0)
    now[0] = 11.1
    assert not paid.acquire(11.0) and paid.acquire(12.0)


def test_what_is_urgent_ends_the_pause_of_what_waits() -> None:
    actuator = Actuator(lambda: None, lambda results: None, lambda result: None)
    actuator._news.set()
    actuator._rest(3600.0)
    assert not actuator._news.is_set()
    waiting = threading.Thread(target=actuator._rest, args=(3600.0,))
    waiting.start()
    actuator.stop(1.0)
    waiting.join(30.0)
    assert not waiting.is_alive()


def test_how_far_it_is() -> None:
    bench = Bench()
    bench.actuator.swap(swaps(20))
    bench.time.sleep(1.0)
    how = bench.actuator.progress()
    assert (how.ordered, how.ended + how.waiting) == (100, pytest.approx(97, abs=4))
    assert how.sentence.startswith(f"{how.ended} of 100 swaps have ended and {how.waiting} wait for EC2's limit (4.8 a")
    assert how.seconds_left == pytest.approx(how.waiting / 4.8, abs=1.0)
    bench.until(100)
    assert bench.actuator.progress().waiting == 0
    bench.actuator.swap(swaps(1))
    assert bench.actuator.progress().ordered == 5


# --- the plan against the engine and the actuator together ---------------------------------------------------------


def crowded(tables: int, prefixes: int) -> Play:
    """Two zones with a gateway each; zone-a has so many tables, each with so many destinations."""
    plan = deployment()
    names = [f"192.168.{n}.0/24" for n in range(prefixes)]
    sites = (Site("hq", tuple(names[: (prefixes + 1) // 2]), ("192.168.0.10",), "bgp"),)
    if prefixes > 1:
        sites += (Site("plant", tuple(names[(prefixes + 1) // 2 :]), ("192.168.4.10",), "bgp"),)
    tunnels = tuple(tunnel for tunnel in plan.tunnels if tunnel.site in {site.name for site in sites})
    world = Play(replace(plan, sites=sites, tunnels=tunnels))
    keys = [RouteKey(f"rtb-{table:03d}", name) for table in range(tables) for name in names]
    own = {key: Route(key, "zone-a", "eni-a", "gw-a", "eni-a") for key in keys}
    others = {key: route for key, route in world.view.routes.items() if route.zone == "zone-b"}
    world.change_view(routes={**own, **others}, table_priorities={"rtb-000": 1})
    return world.run(1)


def fail_over(
    world: Play, patience: float | None = None, quiet: float = QUIET
) -> tuple[Bench, float, dict[str, float]]:
    """gw-a dies: seconds until all tables have left it, and until each has.

    ``patience``: seconds after which no swap is begun any more that the engine has ordered. ``quiet``: seconds since
    the start; EC2's buckets are full then, or empty if that was just now.
    """
    bench = Bench(quiet=quiet, now=world.now)
    shift = bench.time.now - world.now
    bench.ec2.buckets = Buckets(clock=bench.time)
    while not quiet and bench.ec2.buckets.take("ReplaceRoute", True):
        pass
    bench.ec2.targets = {key: route.target for key, route in world.view.routes.items()}

    def changed(key: RouteKey, target: str) -> None:
        route = replace(world.view.routes[key], eni_id=target, target=target, gateway="gw-b")
        world.view = replace(world.view, routes={**world.view.routes, key: route})

    bench.ec2.changed = changed
    world.answer = lambda swap: None
    mine = {key for key, route in world.view.routes.items() if route.gateway == "gw-a"}
    left: dict[str, float] = {}
    died = bench.time.now
    world.gateways["gw-a"].power_off()
    while not mine <= bench.ended.keys():
        assert bench.time.now - died < 300.0
        ordered = len(world.swaps)
        tick = 0.05 if bench.time.now - died < 3.0 else 1.0
        bench.time.sleep(tick)
        world.results += bench.results
        bench.results.clear()
        (world.run if tick < 1.0 else world.rest)(tick)
        assert world.now + shift == pytest.approx(bench.time.now)
        deadline = None if patience is None else bench.time.now + patience
        bench.actuator.swap([swap for _at, swap in world.swaps[ordered:]], deadline)
    for key, at in bench.ended.items():
        left[key.table_id] = max(at - died, left.get(key.table_id, 0.0))
    return bench, max(left.values()), left


@pytest.mark.parametrize(("tables", "prefixes"), [(1, 1), (9, 5), (20, 5), (100, 1), (100, 5)])
def test_the_plan_is_what_happens(tables: int, prefixes: int) -> None:
    world = crowded(tables, prefixes)
    planned = failover_plan.plan(world.view, world.plan, LATENCY)["gateways"][0]
    assert planned["calls"] == tables * prefixes
    bench, spent, left = fail_over(world)
    assert not bench.ec2.refused
    assert planned["seconds"] / 1.15 <= spent <= planned["seconds"]
    if planned["priorities"]:
        assert left["rtb-000"] <= planned["priorities"][0]["seconds"] + 1.0  # it is read back along with its batch
    assert spent <= 1.2 * (max(0, tables * prefixes - 50) / 5 + LATENCY) + planned["detect_seconds"] + 3 * LATENCY


@pytest.mark.parametrize(("tables", "prefixes"), [(9, 5), (20, 5), (100, 5)])
def test_so_is_it_just_after_a_start(tables: int, prefixes: int) -> None:
    world = crowded(tables, prefixes)
    planned = failover_plan.plan(world.view, world.plan, LATENCY)["gateways"][0]
    bench, spent, _left = fail_over(world, quiet=0.0)
    assert not bench.ec2.refused
    assert planned["seconds_after_another"] / 1.3 <= spent <= planned["seconds_after_another"]


def test_where_another_monitor_may_act_after_three_seconds_it_takes_no_longer() -> None:
    """What has not been begun by then is decided anew, and the limit's tokens are not lost meanwhile."""
    bench, spent, _left = fail_over(crowded(100, 5), patience=3.0)
    assert not bench.ec2.refused
    assert bench.ec2.calls["ReplaceRoute"] == 500
    assert spent <= 1.2 * ((500 - 50) / 5 + LATENCY)


def test_a_swap_that_waited_is_begun_only_while_it_keeps_the_promises() -> None:
    world = crowded(20, 5)
    world.answer = lambda swap: None
    world.gateways["gw-a"].power_off()
    world.run(0.7)
    mind = Mind(world.plan, "mon-a", 0.0)

    def why() -> str:
        mind.state, mind.evidence = world.state, world.evidence()
        return mind.still(world.swaps[-1][1], world.now)

    assert len(world.swaps) == 100
    assert why() == ""
    world.gateways["gw-b"].power_off()
    world.run(0.7)
    assert why().startswith("There is no reason any more: invariant")
    world.run(200)
    assert why() == "It is not waited for any longer."


def test_a_mind_that_begins_afresh_keeps_the_hours_voluntary_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of the state that is given up, not only those of the life before."""
    world = crowded(1, 1)
    mind = Mind(world.plan, "mon-a", 0.0)
    key = next(iter(world.view.routes))
    mind.state = replace(mind.state, routes=replace(mind.state.routes, moves={key: (5.0, 6.0)}))

    def fails(*_given: object) -> None:
        raise RuntimeError("a fault of the engine's")

    monkeypatch.setattr("vpnha_monitor.mind.step", fails)
    given_up = mind.state
    for turn in range(40):
        assert mind.state is given_up, turn
        with pytest.raises(RuntimeError):
            mind.step({}, 0.0, 7.0 + turn)
    assert mind.state is not given_up
    assert mind.state.routes.moves == {key: (5.0, 6.0)}


def test_results_outlive_a_step_that_fails_but_not_the_state_that_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a failure of one step leaves flights that nothing ends; and a result that is its reason must not stay."""
    mind = Mind(crowded(1, 1).plan, "mon-a", 0.0)
    swap = SwapResult(swaps(1, 1)[0], True)
    repair = RepairResult(Repair("gw-a", "reboot", "gateway-silent", "i-1", "eni-a"), True, True)
    failing = True

    def may_fail(state: State, *_given: object) -> tuple[State, list[Action]]:
        if failing:
            raise RuntimeError("a fault of the engine's")
        return state, []

    def step(now: float) -> tuple[Sequence[SwapResult], Sequence[RepairResult]]:
        """What the step was given."""
        with contextlib.suppress(RuntimeError):
            mind.step({}, 0.0, now)
        return mind.evidence.results, mind.evidence.repair_results

    monkeypatch.setattr("vpnha_monitor.mind.step", may_fail)
    mind.results.append(swap)
    mind.repair_results.append(repair)
    assert step(1.0) == step(2.0) == ((swap,), (repair,))
    failing = False
    assert step(3.0) == ((swap,), (repair,))
    assert step(4.0) == ((), ())
    failing = True
    mind.results.append(swap)
    mind.repair_results.append(repair)
    for turn in range(40):
        assert step(5.0 + turn) == ((swap,), (repair,))
    assert step(50.0) == ((), ())
