# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoint's process: ``python -m lab.api.server``.

It listens on 127.0.0.1:<api port> of the machine, and on the same address and port inside the internet's namespace,
where the hosts' requests arrive; a proxy stands before each. On the machine's side only it also answers

- ``GET /_lab/ready``: 200 (it only listens once the slow first calls have been made),
- ``GET /_lab/settings`` and ``PATCH /_lab/settings``: see ``limits.Settings``, as JSON,
- ``GET /_lab/calls?since=1767225600.5``: the calls of EC2 answered from then on, see ``calls.Call``, as JSON,
- ``GET /_lab/instances``: id, name, state, namespace, ENIs and addresses of every instance, as JSON.

State is in memory: when the process ends, the lab's EC2 is gone, and ``lab down`` removes what is left of it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from lab import setns
from lab.errors import LabError
from lab.hosts import Hosts
from lab.names import REPOSITORY, Names
from lab.net import underlay

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # hundreds, none of which could boot here
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

_LOG = logging.getLogger(__name__)
_THREADS = 20
_IDLE = 3600  # seconds: a kept connection that the server closes first fails a call of whoever just reuses it


class Control:
    """WSGI: the lab's own URLs, before everything else."""

    def __init__(self, lab: Any, app: Callable[..., Iterable[bytes]]) -> None:
        self._lab, self._app = lab, app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "GET")
        if not path.startswith("/_lab/"):
            return self._app(environ, start_response)
        try:
            status, answer = self._serve(path.removeprefix("/_lab/"), method, environ)
        except ValueError as error:
            status, answer = "400 Bad Request", {"error": str(error)}
        body = json.dumps(answer).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _serve(self, what: str, method: str, environ: dict[str, Any]) -> tuple[str, Any]:
        if what == "ready":
            return "200 OK", {"ready": True}
        if what == "instances":
            return "200 OK", [_instance(self._lab, each) for each in self._lab.backend.all_instances()]
        if what == "calls":
            return "200 OK", self._lab.calls.since(_since(environ.get("QUERY_STRING", "")))
        if what != "settings":
            there = "ready, settings, instances, calls"
            return "404 Not Found", {"error": f"The lab has nothing called {what!r}: see {there}."}
        if method == "PATCH":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            changes = json.loads(body or b"{}")
            if not isinstance(changes, dict):
                raise ValueError("Send the settings to change as one JSON object.")
            self._lab.configure(changes)
        return "200 OK", self._lab.settings.to_dict()


def _since(query: str) -> float:
    text = parse_qs(query).get("since", ["0"])[0]
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"since is {text!r}: give seconds since the epoch.") from None


def _instance(lab: Any, instance: Any) -> dict[str, Any]:
    return {
        "id": instance.id,
        "name": lab.backend.tags.get(instance.id, {}).get("Name"),
        "state": instance.state,
        "netns": lab.names.netns(instance.id),
        "interfaces": [nic.id for nic in instance.nics.values()],
        "addresses": [nic.private_ip_address for nic in instance.nics.values()],
        "public": [nic.public_ip for nic in instance.nics.values() if nic.public_ip],
    }


def application(lab: Any) -> Callable[..., Iterable[bytes]]:
    """moto with EC2 and CloudWatch replaced by the lab's, behind the gate."""
    from moto.cloudwatch import urls as cloudwatch_urls
    from moto.ec2 import urls
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from lab.api.cloudwatch import LabCloudWatch
    from lab.api.gate import Gate
    from lab.api.hook import LabEC2

    LabEC2.lab = lab
    urls.url_paths["{0}/"] = LabEC2.dispatch
    LabCloudWatch.alarms = lab.alarms
    cloudwatch_urls.url_paths["{0}/$"] = LabCloudWatch.dispatch
    return Gate(DomainDispatcherApplication(create_backend_app))


def listener(address: tuple[str, int], app: Any) -> Any:
    """A server that lets many connect at once, as AWS does, and keeps their connections. It is not begun."""
    from cheroot import wsgi

    # who finds the queue full is silent for a second, until TCP tries again
    server = wsgi.Server(address, app, numthreads=_THREADS, request_queue_size=128, timeout=_IDLE)
    server.keep_alive_conn_limit = 1000
    return server


def serve(lab: Any) -> None:
    """Start a lab and its two servers, which run in threads. Raises LabError when the port is taken."""
    address = ("127.0.0.1", lab.names.api_port)
    app = application(lab)
    outside, inside = (listener(address, each) for each in (Control(lab, app), app))
    try:
        outside.prepare()  # before anything is touched: it might be another lab's
    except OSError:
        name = "VPNHA_LAB_PORT"
        raise LabError(f"Port {address[1]} is in use: end what listens there, or set {name} to another.") from None
    lab.start()
    setns.inside(underlay.name(lab.names), inside.prepare)
    warm(app)
    for server in (outside, inside):
        threading.Thread(target=server.serve, name="http", daemon=True).start()


def warm(app: Any) -> None:
    """Make the first call of each service, which imports and builds a lot, before anybody measures one."""
    from werkzeug.test import Client

    from lab.api.lab import REGION

    calls = {"ec2": ("DescribeRouteTables", "2016-11-15"), "iam": ("ListRoles", "2010-05-08")}
    calls["sts"] = ("GetCallerIdentity", "2011-06-15")
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for service, (action, version) in calls.items():
        scope = f"AWS4-HMAC-SHA256 Credential=lab/{now[:8]}/{REGION}/{service}/aws4_request"
        headers = {"Authorization": scope, "X-Amz-Date": now}
        answer = Client(app).post("/", data={"Action": action, "Version": version}, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"the endpoint answers {action} with {answer.status_code}: {answer.text}")
    targets = {"dynamodb": "DynamoDB_20120810.ListTables", "monitoring": "GraniteServiceVersion20100801.ListMetrics"}
    for service, target in targets.items():
        scope = f"AWS4-HMAC-SHA256 Credential=lab/{now[:8]}/{REGION}/{service}/aws4_request"
        headers = {"Authorization": scope, "X-Amz-Date": now, "X-Amz-Target": target}
        Client(app).post("/", data="{}", content_type="application/x-amz-json-1.0", headers=headers)


def main() -> None:
    """Run until told to end by SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from lab.api.lab import Lab

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sys.path.append(str(REPOSITORY / ".build" / "collections"))  # the engine, which describes the sites
    from lab.managed import ManagedVpn

    names = Names.from_env()
    try:
        hosts = Hosts(names)
        serve(Lab(names, hosts, managed=ManagedVpn(names, hosts)))
        _LOG.info("the endpoint listens on 127.0.0.1:%d", names.api_port)
        ended.wait()
    except LabError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    except Exception:
        _LOG.exception("the endpoint does not start")
        os._exit(1)
    os._exit(0)  # there is nothing to save, and a call in flight must not keep the process


if __name__ == "__main__":
    main()
