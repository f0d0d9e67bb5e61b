# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module route_swap as Ansible runs it, with a monitor beside it that says whose counters grow."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from tests.unit.module_process import run_module

from .conftest import REGION, A, World

Counts = Callable[[bool], dict[str, int]]  # packets of zone A by gateway, before and after the swap


def play(world: World, url: str, **options: Any) -> dict[str, Any]:
    """What the module answers for zone A to gw-b."""
    given = {"deployment": to_dict(world.deployment), "region": REGION, "endpoint_url": url, "zones": [A]}
    return run_module("route_swap", **given, gateway="gw-b", **options).result


@pytest.fixture
def monitor(world: World) -> Iterator[Callable[[Counts], str]]:
    """Starts what answers as a monitor does, from what EC2 says now and the given counters; returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(counts: Counts) -> str:
        class Status(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                routes = world.view().routes
                moved = any(route.gateway == "gw-b" for route in routes.values() if route.zone == A)
                counters = counts(moved)
                body = json.dumps({
                    "gateways": [{"name": name, "counters": {A: count}} for name, count in counters.items()],
                    "routes": [
                        {"table": key.table_id, "destination": key.destination, "zone": route.zone}
                        for key, route in routes.items()
                    ],
                }).encode()  # fmt: skip
                self.send_response(200 if self.path == "/status" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Status))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


SEEN: dict[bool | None, tuple[Counts, str]] = {
    True: (lambda moved: {"gw-a": 9, "gw-b": 8 if moved else 7}, f"gw-b carries packets of {A}."),
    False: (lambda moved: {"gw-a": 9 if moved else 8, "gw-b": 7}, "gw-b has seen no packet"),
    None: (lambda _: {"gw-a": 9, "gw-b": 7}, f"{A} has sent no packet"),
}


@pytest.mark.parametrize("carrying", SEEN)
def test_every_route_tells_whether_it_carries(
    world: World, url: str, monitor: Callable[[Counts], str], carrying: bool | None
) -> None:
    counts, said = SEEN[carrying]
    done = play(world, url, monitor_url=monitor(counts))
    assert done["changed"]
    assert {(row["accepted"], row["carrying"]) for row in done["routes"]} == {(True, carrying)}
    assert len(done["followed"]) == 1 and said in done["followed"][0]


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "no address"])
def test_a_monitor_that_does_not_answer_hinders_no_swap(world: World, url: str, address: str) -> None:
    done = play(world, url, monitor_url=address)
    assert done["changed"]
    assert {(row["accepted"], row["carrying"]) for row in done["routes"]} == {(True, None)}
    assert done["followed"] == []
    assert any(f"{address} gives no status" in str(warning) for warning in done["warnings"])


def test_in_check_mode_no_monitor_is_asked(world: World, url: str) -> None:
    done = play(world, url, monitor_url="http://127.0.0.1:1", _ansible_check_mode=True)
    assert done["changed"] and not done.get("warnings")
    assert {row["carrying"] for row in done["routes"]} == {None}
