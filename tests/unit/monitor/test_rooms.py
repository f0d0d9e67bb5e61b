# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's rooms, each by itself."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from prometheus_client import CollectorRegistry

import vpnha_monitor
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Repair,
    RepairResult,
    RouteKey,
    Swap,
    SwapResult,
)
from vpnha_monitor import journal, web
from vpnha_monitor.actuator import Actuator
from vpnha_monitor.clock import Lateness, monotonic
from vpnha_monitor.daemon import Monitor
from vpnha_monitor.journal import Event, Journal, Trouble
from vpnha_monitor.metrics import Counters
from vpnha_monitor.reader import Reader, Reading
from vpnha_monitor.record import Recorder, moves_before
from vpnha_monitor.sd_notify import Notifier

ROUTE = RouteKey("rtb-1", "192.168.10.0/24")


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def event(number: int) -> Event:
    return Event(1000.0 + number, float(number), "failover", "gw-a", f"text {number}", {"number": number})


# --- the process ----------------------------------------------------------------------------------------------


def test_it_says_which_release_it_has_loaded_wherever_the_link_leads_now(tmp_path: Path) -> None:
    source, lib = Path(vpnha_monitor.__file__), tmp_path / "lib"
    for release in ("old", "new"):
        (tmp_path / release / "vpnha_monitor").mkdir(parents=True)
        (tmp_path / release / "vpnha_monitor" / "__init__.py").write_bytes(source.read_bytes())
    lib.symlink_to("old")
    said = "import os, vpnha_monitor as it; os.unlink('lib'); os.symlink('new', 'lib'); print(it.RELEASE)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(lib)!r}); {said}"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "old\n"


# --- record ---------------------------------------------------------------------------------------------------


def test_voluntary_moves_of_the_life_before_are_read_in_this_ones_time(tmp_path: Path) -> None:
    path, wall = tmp_path / "journal.sqlite", time.time()

    def swap(ago: float, voluntary: bool, key: RouteKey = ROUTE) -> Event:
        return Event(wall - ago, 5.0, "swap-accepted", str(key), "x", {"voluntary": voluntary})

    book = Journal(path, lambda trouble: None)
    book.start()
    other = RouteKey("rtb-2", "2001:db8::/32")
    for one in (
        swap(4000.0, True), swap(1200.0, True), swap(600.0, False), swap(300.0, True), swap(60.0, True, other),
        swap(-50.0, True, other), Event(wall, 5.0, "swap-accepted", str(ROUTE), "of an older release", {}),
    ):  # fmt: skip
        book.put(one)
    book.close()
    moved = moves_before(path, 10_000.0)
    assert moved == {ROUTE: (pytest.approx(8800.0, abs=60), pytest.approx(9700.0, abs=60)), other: moved[other]}
    assert moved[other] == (pytest.approx(9940.0, abs=60), 10_000.0), (
        "none in the time to come, if a clock was set back"
    )


@pytest.mark.parametrize("content", [None, b"", b"no database at all, but longer than a header of one would be"])
def test_a_journal_that_cannot_be_read_tells_of_no_moves(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "journal.sqlite"
    if content is not None:
        path.write_bytes(content)
    assert moves_before(path, 10_000.0) == {}


def test_what_became_of_swaps_and_repairs_is_counted_and_remembered(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    recorder = Recorder(Journal(tmp_path / "journal.sqlite", lambda trouble: None), Counters(registry))
    recorder.swapped(SwapResult(Swap(ROUTE, "gw-b", "eni-1", "gateway-silent"), True, milliseconds=200.0))
    recorder.swapped(SwapResult(Swap(ROUTE, "gw-b", "eni-b", "gateway-silent"), None, "timeout", milliseconds=3000.04))
    repair = Repair("gw-a", "reboot", "gateway-silent", "i-1", "eni-a")
    recorder.repaired(RepairResult(repair, marked=True, accepted=False, error="UnauthorizedOperation"))
    first, second, third = recorder.actions
    assert (first["outcome"], second["outcome"], third["outcome"]) == ("accepted", "unknown", "refused")
    assert first["table"] == "rtb-1" and first["destination"] == "192.168.10.0/24" and first["gateway"] == "gw-b"
    assert (second["error"], second["milliseconds"]) == ("timeout", 3000.0)
    assert (third["gateway"], third["repair"], third["error"]) == ("gw-a", "reboot", "UnauthorizedOperation")
    unknown = {"result": "unknown", "reason": "gateway-silent"}
    assert registry.get_sample_value("vpnha_swaps_total", unknown) == 1.0
    assert registry.get_sample_value("vpnha_swap_seconds_count") == 1.0, "of those that were accepted"
    assert registry.get_sample_value("vpnha_repairs_total", {"result": "refused", "rung": "reboot"}) == 1.0


@pytest.mark.parametrize(
    ("accepted", "error", "outcome"),
    [
        (False, "RequestLimitExceeded", "refused"), (False, "deadline", "not begun"), (False, "withdrawn", "not begun"),
        (True, "deadline", "accepted"),
    ],
)  # fmt: skip
def test_a_swap_that_was_not_begun_was_not_refused(tmp_path: Path, accepted: bool, error: str, outcome: str) -> None:
    registry = CollectorRegistry()
    recorder = Recorder(Journal(tmp_path / "journal.sqlite", lambda trouble: None), Counters(registry))
    recorder.swapped(SwapResult(Swap(ROUTE, "gw-b", "eni-b", "gateway-silent"), accepted, error))
    assert recorder.actions[0]["outcome"] == outcome
    labels = {"result": outcome, "reason": "gateway-silent"}
    assert registry.get_sample_value("vpnha_swaps_total", labels) == 1.0


# --- journal --------------------------------------------------------------------------------------------------


def test_journal_keeps_and_reads(tmp_path: Path) -> None:
    """Events come back in order, from a moment on, or the newest so many."""
    path = tmp_path / "journal.sqlite"
    written = Journal(path, lambda trouble: None)
    written.start()
    for number in range(600):
        written.put(event(number))
    written.close()
    assert [one.mono for one in journal.read(path)] == [float(number) for number in range(600)]
    assert [one.mono for one in journal.read(path, 1598.0)] == [598.0, 599.0]
    (last,) = journal.read(path, limit=1)
    assert last.evidence == {"number": 599} and not last.resolved


def test_journal_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once; nobody waits; what was queued is written when there is room again."""
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.05)
    told: list[Trouble] = []
    path = tmp_path / "journal.sqlite"
    written = Journal(path, told.append, capacity=2000)
    written.start()
    written.put(event(0))
    until(lambda: path.exists() and len(journal.read(path)) == 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # no file of this process may grow beyond that
    try:
        for number in range(1, 1000):
            written.put(event(number))
        until(lambda: told)
        assert written.failing
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    until(lambda: not written.failing)
    written.close()
    assert [trouble.kind for trouble in told] == ["failed", "recovered"]
    assert len(journal.read(path)) == 1000 and written.dropped == 0


def test_journal_drops_what_does_not_fit(tmp_path: Path) -> None:
    """The queue is bounded, and the loss is counted."""
    written = Journal(tmp_path / "none" / "journal.sqlite", lambda trouble: None, capacity=10)
    for number in range(15):
        written.put(event(number))
    assert written.dropped == 5


def test_an_event_that_cannot_be_written_keeps_no_other_one_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written = Journal(path, lambda trouble: None)
    written.start()
    cyclic: dict[str, object] = {}
    cyclic["itself"] = cyclic
    written.put(Event(1.0, 1.0, "failover", "gw-\ud800", "half a pair: \udfff", {"text": "\ud800"}))
    written.put(Event(2.0, 2.0, "failover", "gw-a", "x", {("gw-a", "hq"): 1}))
    written.put(Event(3.0, 3.0, "failover", "gw-a", "x", cyclic))
    written.put(event(4))
    written.close()
    half, last = journal.read(path)
    assert (half.subject, half.text) == ("gw-?", "half a pair: ?") and last == event(4)
    assert written.dropped == 2 and not written.failing


def test_a_journal_tells_of_whatever_keeps_it_from_writing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.05)
    told: list[Trouble] = []
    written = Journal(tmp_path / "journal.sqlite", told.append)
    monkeypatch.setattr(journal, "insert", lambda *_given: (_ for _ in ()).throw(RuntimeError("a bug")))
    written.start()
    written.put(event(0))
    until(lambda: told)
    monkeypatch.undo()
    until(lambda: len(told) == 2)
    written.close()
    assert [trouble.kind for trouble in told] == ["failed", "recovered"]
    assert len(journal.read(tmp_path / "journal.sqlite")) == 1


def test_a_journal_that_was_corrupt_is_told_to_be_well_and_a_full_disk_after_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.05)
    told: list[Trouble] = []
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"no database at all" * 100)
    written = Journal(path, told.append)
    written.start()
    written.put(event(0))
    until(lambda: len(told) == 2)
    monkeypatch.setattr(journal, "insert", lambda *_given: (_ for _ in ()).throw(OSError("no space")))
    written.put(event(1))
    until(lambda: len(told) == 3)
    monkeypatch.undo()
    written.close()
    assert [trouble.kind for trouble in told][:3] == ["corrupt", "recovered", "failed"]


def test_a_monitor_that_starts_again_and_again_keeps_its_journal_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "KEEP", 50)
    for _ in range(3):
        written = Journal(tmp_path / "journal.sqlite", lambda trouble: None)
        for number in range(100):
            written.put(event(number))
        written.start()
        written.close()
    assert len(journal.read(tmp_path / "journal.sqlite")) == 50


# --- the loop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "steps"), [(0.1, True), (0.3, False)])
def test_3_news_makes_no_step_while_a_tick_is_overdue(late: float, steps: bool) -> None:
    """Only the tick says how late it is, and distrusts what was seen."""
    done: list[str] = []
    timing = SimpleNamespace(loop_lag=0.25)
    monitor = SimpleNamespace(
        _stopping=False, _due=monotonic() - late, _step=lambda _now: done.append("step"),
        observer=SimpleNamespace(receive=lambda _now: None),
        config=SimpleNamespace(deployment=SimpleNamespace(timing=timing)),
    )  # fmt: skip
    Monitor._step_now(cast(Monitor, monitor))
    assert bool(done) is steps


def test_cycles_that_fail_leave_the_watchdog_alone() -> None:
    errors: list[str] = []
    kept: list[float] = []

    def fail(*_given: object) -> None:
        raise RuntimeError("each time")

    monitor = SimpleNamespace(
        _stopping=False, lateness=SimpleNamespace(woke=lambda *_given: 0.0), _observe=fail, _step=fail, _tick=None,
        house=SimpleNamespace(keep=lambda now, _late: kept.append(now)),
        recorder=SimpleNamespace(error=lambda where, _error: errors.append(where)),
        _loop=SimpleNamespace(call_at=lambda *_given: None),
    )  # fmt: skip
    Monitor._tick(cast(Monitor, monitor), monotonic())
    assert errors == ["cycle"] and len(kept) == 1


def test_only_other_hosts_count() -> None:
    assert [web._counts((address, 1)) for address in ("127.0.0.1", "::1", "10.20.1.1")] == [False, False, True]


def test_whoever_sends_a_byte_now_and_then_has_an_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WHOLE_SECONDS", 0.2)
    monkeypatch.setattr(web._Handler, "timeout", None)
    server = web.Server("127.0.0.1", 0, lambda: None, CollectorRegistry())
    server.start()
    with socket.create_connection(("127.0.0.1", server._server.socket.getsockname()[1]), timeout=60.0) as client:
        client.sendall(b"G")
        assert client.recv(1) == b""
    server.stop()


def test_only_so_many_are_served_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who connect and say nothing keep nobody else from the monitor but from these pages."""
    monkeypatch.setattr(web, "CONNECTIONS", 3)
    monkeypatch.setattr(web, "_counts", lambda client: client[0] != "127.0.0.9")
    server = web.Server("127.0.0.1", 0, lambda: {"healthy": True, "reasons": [], "sentence": ""}, CollectorRegistry())
    server.start()
    port = server._server.socket.getsockname()[1]
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(web.CONNECTIONS)]
    try:
        until(lambda: server._server._free._value == 0)
        with socket.create_connection(("127.0.0.1", port), timeout=5.0) as more:
            assert more.recv(1) == b""
        with socket.create_connection(("127.0.0.1", port), 5.0, ("127.0.0.9", 0)) as own:
            own.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert own.recv(12) == b"HTTP/1.0 200"
    finally:
        for one in idle:
            one.close()
    until(lambda: server._server._free._value == web.CONNECTIONS)
    server.stop()


# --- clock ----------------------------------------------------------------------------------------------------


def test_lateness_by_either_clock() -> None:
    """A late loop, and a suspended machine whose monotonic clock stood still."""
    late = Lateness(mono=100.0, boot=200.0)
    assert late.woke(due=100.0, mono=100.01, boot=200.01) == pytest.approx(0.01)
    assert late.woke(due=100.5, mono=101.5, boot=201.5) == pytest.approx(1.0)
    assert late.woke(due=102.0, mono=102.0, boot=207.0) == pytest.approx(5.0)
    assert late.woke(due=103.0, mono=103.0, boot=208.0) == pytest.approx(0.0)
    assert late.take() == pytest.approx(5.0)
    assert late.take() == 0.0


# --- reader ---------------------------------------------------------------------------------------------------


def test_reader_goes_on_after_an_error_and_reads_on_demand() -> None:
    """A failing read is delivered as such, and the next one comes soon; a request does not wait for the interval."""
    readings: list[Reading] = []
    calls = 0

    def read() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("no network")

    reader = Reader(read, 60.0, readings.append)  # type: ignore[arg-type]
    reader.start()
    until(lambda: len(readings) == 2)
    assert isinstance(readings[0].error, OSError) and readings[1].error is None
    assert readings[0].began <= readings[0].ended <= readings[1].began
    reader.request()
    until(lambda: len(readings) == 3)
    reader.stop()


# --- service manager ------------------------------------------------------------------------------------------


def test_18_a_monitor_that_stops_ends_the_call_in_flight_and_begins_no_other() -> None:
    """EC2 throttles the call that is in flight when the monitor is told to stop: there is no second try."""
    begun, answer = threading.Event(), threading.Event()
    calls: list[str] = []
    results: list[SwapResult] = []

    class Client:
        def replace_route(self, **_given: str) -> None:
            calls.append("replace_route")
            begun.set()
            assert answer.wait(20)
            raise ClientError({"Error": {"Code": "RequestLimitExceeded", "Message": "no"}}, "ReplaceRoute")

        def describe_route_tables(self, **_given: Any) -> dict[str, Any]:
            return {"RouteTables": []}

    actuator = Actuator(Client, results.extend, lambda result: None)
    actuator.swap([Swap(ROUTE, "gw-b", "eni-b", "gateway-silent")])
    assert begun.wait(20)
    ended: list[bool] = []
    stopping = threading.Thread(target=lambda: ended.append(actuator.stop(20.0)))
    stopping.start()
    until(actuator._stopped.is_set)
    answer.set()
    stopping.join()
    assert ended == [True]
    assert [(result.accepted, result.error) for result in results] == [(False, "RequestLimitExceeded")]
    assert calls == ["replace_route"]


def test_notifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol's datagrams; and a service manager that has gone is no reason to fail."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    notifier = Notifier()
    assert notifier.watchdog_interval == 2.5
    notifier.status("All\nis well.")
    assert listening.recv(100) == b"STATUS=All is well."
    listening.close()
    notifier.send("WATCHDOG=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert Notifier().watchdog_interval is None
    Notifier().send("READY=1")


# --- actuator -------------------------------------------------------------------------------------------------


def test_no_swap_is_begun_after_its_deadline() -> None:
    """A monitor that stood still between its decision and its call has none left."""
    calls: list[dict[str, object]] = []
    done: list[SwapResult] = []

    class Client:
        def replace_route(self, **arguments: object) -> None:
            calls.append(arguments)

        def describe_route_tables(self, **_arguments: object) -> dict[str, list[object]]:
            return {"RouteTables": []}

    actuator = Actuator(Client, done.extend, lambda result: None)
    swap = Swap(ROUTE, "gw-b", "eni-b", "gateway-silent", by_lease=True)
    actuator.swap([swap], time.monotonic() - 0.001)
    until(lambda: done)
    assert calls == [] and (done[0].accepted, done[0].error) == (False, "deadline")
    actuator.swap([swap], time.monotonic() + 60)
    until(lambda: len(done) == 2)
    assert len(calls) == 1
    assert actuator.stop(5.0)
