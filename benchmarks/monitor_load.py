# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.monitor_load``: CPU and memory of the real monitor with 100 gateways and 1,000 route tables.

The monitor is the daemon as it is installed, a process with its configuration file. EC2 is the lab's endpoint without
kernel and hosts, which the monitor reads each 5 s as always. The agents are one process that answers for all gateways
with authenticated heartbeats, each with a report on two tunnels and all other gateways; pings are answered by the
kernel. All of it is in a network namespace of its own, which needs root. Counted is what the kernel charges the
monitor's process, all its threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

from ansible_collections.vpnha.aws.plugins.module_utils.description import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import HeartbeatAnswerer, KeyRing, pack_report
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Gateway, Monitor, Site, Tunnel, Zone
from benchmarks.decision import report_of
from lab import reports
from lab.steps import commit
from tests.unit.endpoint_process import endpoint

REPORT = Path("artifacts/bench/monitor_load.json")
REGION = "eu-central-1"
KEY = "a key for this benchmark only, 40 characters"
PORT, WEB = 7784, 9784
VARIANTS = 8  # reports of each agent, in turn: packing them anew is the agents' work and not measured
PUBLISH_SECONDS = 0.05
SETTLE_SECONDS = 15.0  # after the start, before anything is measured
SITES = (("hq", "192.168.10.0/24"), ("plant", "192.168.20.0/24"))
ENOUGH = 0.95  # of the heartbeats must be answered, else the monitor had less to do than it should
HALF_A_CORE, MEGABYTES = 0.5, 200.0  # what is promised


def plan_of(gateways: int) -> Deployment:
    """A zone with a gateway for each number, and two sites with a tunnel to each."""
    zones = tuple(Zone(f"zone-{n:03d}", f"10.20.{n}.0/25", (f"10.20.{n}.128/25",)) for n in range(gateways))
    homes = tuple(Gateway(f"gw-{n:03d}", zone.name, f"10.20.{n}.10", (zone.name,)) for n, zone in enumerate(zones))
    tunnels = []
    for number, (site, _prefix) in enumerate(SITES):
        for n, gateway in enumerate(homes):
            net, low = f"169.254.{16 + 4 * number + n // 64}", 4 * (n % 64)
            tunnels.append(
                Tunnel(
                    f"{site}-{gateway.name}", site, gateway.name, f"198.51.{100 + number}.{n + 1}",
                    f"cgw-{site}-{n}", f"{gateway.name}.test", f"{net}.{low + 1}", f"{net}.{low + 2}",
                    f"{net}.{low}/30", 65010 + number, if_id=640 + 200 * number + n,
                )
            )  # fmt: skip
    sites = tuple(Site(name, (prefix,), (prefix.replace("0/24", "10"),), "bgp") for name, prefix in SITES)
    monitors = (Monitor("mon-a", zones[0].name, "10.20.0.20"),)
    return Deployment("load", REGION, ("10.20.0.0/16",), 64512, zones, homes, sites, tuple(tunnels), monitors)


# --- the agents -----------------------------------------------------------------------------------------------------


def answer_for_all(plan: Deployment) -> None:
    """Answer for every gateway until the standard input ends; to each line there, say how many answers that were."""
    keys = KeyRing([KEY])
    sockets: dict[int, tuple[socket.socket, HeartbeatAnswerer, list[bytes]]] = {}
    poll = select.poll()
    poll.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    for gateway in plan.gateways:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((gateway.address, PORT))
        sock.setblocking(False)
        bodies = [pack_report(report_of(plan, gateway.name, 0.37 * n)) for n in range(VARIANTS)]
        sockets[sock.fileno()] = sock, HeartbeatAnswerer(keys, gateway.name), bodies
        poll.register(sock.fileno(), select.POLLIN)
    print("ready", flush=True)
    published, turn, answered = 0.0, 0, 0
    while True:
        for descriptor, _event in poll.poll(100):
            if descriptor == sys.stdin.fileno():
                if not os.read(descriptor, 100):
                    return
                print(answered, flush=True)
                continue
            now = time.monotonic()
            if now - published >= PUBLISH_SECONDS:
                published, turn = now, turn + 1
                for _sock, answerer, bodies in sockets.values():
                    answerer._body, answerer._made_at = bodies[turn % VARIANTS], now
            sock, answerer, _bodies = sockets[descriptor]
            packet, address = sock.recvfrom(65535)
            answer = answerer.on_packet(packet, now)
            if answer is not None:
                sock.sendto(answer, address)
                answered += 1


# --- EC2 ------------------------------------------------------------------------------------------------------------


def build(plan: Deployment, tables: int, url: str) -> None:
    """The deployment's interfaces, instances and route tables at the endpoint."""
    ec2 = boto3.client(
        "ec2", region_name=REGION, endpoint_url=url, aws_access_key_id="lab", aws_secret_access_key="lab",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=8, read_timeout=300),
    )  # fmt: skip
    vpc = ec2.create_vpc(CidrBlock=plan.vpc_cidrs[0])["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=plan.vpc_cidrs[0], AvailabilityZone=f"{REGION}a")["Subnet"]
    enis = {}
    for gateway in plan.gateways:
        given = _tags("network-interface", deployment=plan.name, gateway=gateway.name)
        made = ec2.create_network_interface(
            SubnetId=subnet["SubnetId"], PrivateIpAddress=gateway.address, TagSpecifications=given
        )
        eni = enis[gateway.zone] = made["NetworkInterface"]["NetworkInterfaceId"]
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
        ec2.run_instances(
            ImageId="ami-vpnha0golden", MinCount=1, MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
            TagSpecifications=_tags("instance", deployment=plan.name, gateway=gateway.name, role="gateway"),
        )  # fmt: skip

    def table(number: int) -> None:
        zone = plan.zones[number % len(plan.zones)].name
        given = _tags("route-table", deployment=plan.name, table="app", zone=zone)
        made = ec2.create_route_table(VpcId=vpc, TagSpecifications=given)["RouteTable"]["RouteTableId"]
        for site in plan.sites:
            ec2.create_route(RouteTableId=made, DestinationCidrBlock=site.prefixes[0], NetworkInterfaceId=enis[zone])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(table, range(tables)))


def _tags(kind: str, **values: str) -> list[dict[str, Any]]:
    tags = [{"Key": f"vpnha:{name}", "Value": value} for name, value in values.items()]
    return [{"ResourceType": kind, "Tags": tags}]


# --- the measurement ------------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, in user and kernel mode, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process now and at most, in megabytes of 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {name: int(lines[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM")}


def status() -> dict[str, Any]:
    """What the monitor says of itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{WEB}/status", timeout=30) as answer:
        return dict(json.load(answer))


def wait_until_all_is_well(gateways: int, routes: int, process: subprocess.Popen[bytes]) -> None:
    """Until the monitor hears every gateway and knows every route."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit and process.poll() is None:
        try:
            now = status()
        except OSError:
            now = {}
        up = [one for one in now.get("gateways", ()) if one["verdict"] == "up"]
        if len(up) == gateways and len(now.get("routes", ())) == routes:
            return
        time.sleep(0.5)
    raise SystemExit("The monitor did not come to hear every gateway and to know every route.")


@contextmanager
def agents(arguments: list[str]) -> Iterator[Callable[[], int]]:
    """The process that answers for all gateways; gives how many answers it has sent so far."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.monitor_load", "--agents", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        to, of = process.stdin, process.stdout
        of.readline()

        def answered() -> int:
            to.write(b"\n")
            to.flush()
            return int(of.readline())

        yield answered
        to.close()


def measure(gateways: int, tables: int, seconds: float, directory: Path) -> dict[str, Any]:
    """Start all of it, and watch the monitor's process."""
    plan = plan_of(gateways)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for gateway in plan.gateways:
        subprocess.run(["ip", "address", "add", f"{gateway.address}/32", "dev", "lo"], check=True)
    with endpoint(directory) as url, agents(["--gateways", str(gateways)]) as answered:
        print(f"building {tables} route tables at the lab's endpoint", flush=True)
        build(plan, tables, url)
        config = {
            "monitor": "mon-a", "deployment": to_dict(plan), "keys": [KEY], "endpoint_url": url,
            "journal": str(directory / "journal.sqlite"), "listen": f"127.0.0.1:{WEB}",
        }  # fmt: skip
        (directory / "monitor.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        credentials = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "vpnha_monitor", "--config", str(directory / "monitor.yml")],
                env={**os.environ, **credentials}, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            wait_until_all_is_well(gateways, tables * len(plan.sites), process)
            time.sleep(SETTLE_SECONDS)
            print(f"measuring for {seconds:g} s", flush=True)
            began, before, answers = time.monotonic(), cpu_seconds(process.pid), answered()
            time.sleep(seconds)
            lasted = time.monotonic() - began
            share, answers = (cpu_seconds(process.pid) - before) / lasted, answered() - answers
            wait_until_all_is_well(gateways, tables * len(plan.sites), process)
            used, said = memory(process.pid), status()
        finally:
            process.terminate()
            process.wait()
    return {
        "gateways": gateways,
        "route_tables": tables,
        "routes": tables * len(plan.sites),
        "seconds": seconds,
        "share_of_a_core": round(share, 3),
        "resident_mb": round(used["VmRSS"], 1),
        "most_resident_mb": round(used["VmHWM"], 1),
        "heartbeats_per_second": round(answers / lasted),
        "heartbeats_per_second_due": round(gateways / plan.timing.heartbeat_interval),
        "loop_lag_s": said["loop_lag"],
        "refused_packets": sum(said["refused"].values()),
        "routes_away": len(said["away"]),
    }


def main() -> int:
    """Measure and write it as JSON; exit code 1 if it is more than was promised, 2 if the machine was too busy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor_load", description=__doc__)
    parser.add_argument("--gateways", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--tables", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="to measure for (default: %(default)s)")
    parser.add_argument("--agents", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.agents:
        answer_for_all(plan_of(chosen.gateways))
        return 0
    if not chosen.inside:
        if os.geteuid() != 0:
            raise SystemExit("This needs root: it has a network namespace of its own, and sends pings.")
        os.execvp(
            "unshare", ["unshare", "--net", sys.executable, "-m", "benchmarks.monitor_load", "--inside", *sys.argv[1:]]
        )
    gateways, tables = chosen.gateways, chosen.tables
    with tempfile.TemporaryDirectory(prefix="vpnha-load-") as directory:
        result = measure(gateways, tables, chosen.seconds, Path(directory))
    kept = {**result, "python": platform.python_version(), "commit": commit()}
    reports.write(REPORT, kept)
    print(
        f"{gateways} gateways, {tables} route tables: {result['share_of_a_core']:.2f} of a core, "
        f"{result['resident_mb']:.0f} MB resident (at most {result['most_resident_mb']:.0f} MB); report: {REPORT}"
    )
    if result["heartbeats_per_second"] < ENOUGH * result["heartbeats_per_second_due"]:
        print(
            f"Only {result['heartbeats_per_second']} of {result['heartbeats_per_second_due']} heartbeats a second were "
            "answered: this machine is too busy for the figure to count; measure again when it is quiet."
        )
        return 2
    return int(result["share_of_a_core"] > HALF_A_CORE or result["most_resident_mb"] > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
