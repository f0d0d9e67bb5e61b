# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``vpnha``, for people on the monitor's host: what is the matter, and what a person may decide.

It asks the running monitor over loopback. What a person decides is written to EC2 by the same engine code that the
playbooks use, so it works while no monitor runs, and every monitor obeys it.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ansible_collections.vpnha.aws.plugins.module_utils import followed
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError, VpnhaError

from . import cli_output, config, journal, orders, way
from . import drills as known_drills
from .cli_time import since as parse_since
from .notify import orders as notify_orders

app = typer.Typer(
    name="vpnha",
    help="Look at a vpnha.aws deployment from its monitor, and tell it what to do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_YEAR = 525_600  # minutes
_EVENTS = 50  # that are shown where nobody says which
_READING_SECONDS = 3.0
_UNPROVEN = 3  # exit code; 2 is a command line that is wrong

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
ConfigPath = Annotated[Path, typer.Option("--config", help="The monitor's configuration.")]
GatewayOption = Annotated[str, typer.Option("--gateway", help="This gateway only.")]
TableOption = Annotated[str, typer.Option("--table", help="This route table only, by its id.")]
DeploymentOption = Annotated[bool, typer.Option("--deployment", help="The whole deployment; the default.")]
Zones = Annotated[list[str] | None, typer.Option("--zone", help="Only this zone's routes; may be repeated.")]
Tables = Annotated[list[str] | None, typer.Option("--table", help="Only this table's routes; may be repeated.")]
Sites = Annotated[list[str] | None, typer.Option("--site", help="Only this site's routes; may be repeated.")]
Force = Annotated[bool, typer.Option("--force", help="Also to a gateway that the monitor does not call healthy.")]
Seconds = Annotated[int, typer.Option(help="No call to EC2 is begun after so many seconds.", min=1)]


@app.command()
def status(as_json: Json = False, path: ConfigPath = config.DEFAULT_PATH) -> None:
    """Say whether traffic flows, who carries what, and what the monitor did and why."""
    found = ask(config.load(path))
    if as_json:
        _print_json(found)
    else:
        cli_output.status(found)


@app.command()
def events(
    as_json: Json = False,
    since: Annotated[
        str, typer.Option(help="From then on: 30m, 2h, 7d ago, 2026-01-31T12:00, seconds since 1970.")
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option(help="The newest so many; 0: all. Without it 50, and all with --since or --json.", min=0),
    ] = None,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """Show the journal: what the monitor saw, decided and did."""
    if limit is None and not (as_json or since):
        limit = _EVENTS
    found = _journal(path, since, limit or None)
    if as_json:
        _print_json([event.to_dict() for event in found])
    else:
        cli_output.events(found)


@app.command()
def drills(
    as_json: Json = False,
    since: Annotated[str, typer.Option(help="From then on, as `vpnha events` takes it.")] = "",
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """List the drills that this monitor knows of: when, who, what came of them, and where the report is."""
    found = known_drills.rows(_journal(path, since, None), time.time())
    if as_json:
        _print_json(found)
    else:
        cli_output.drills(found)


def _journal(path: Path, since: str, limit: int | None) -> list[journal.Event]:
    """Events of the monitor's journal. Raises VpnhaError."""
    where = config.load(path).journal
    try:
        return journal.read(where, parse_since(since, time.time()), limit)
    except OSError as error:
        raise VpnhaError(f"The journal {where} cannot be read: {error}; has the monitor ever run here?") from error
    except (sqlite3.Error, ValueError) as error:
        raise VpnhaError(
            f"The journal {where} is broken ({error}); a running monitor puts it aside and begins a new one."
        ) from error


@app.command()
def plan(
    as_json: Json = False,
    latency: Annotated[
        float, typer.Option("--latency", help="Milliseconds that EC2 takes for a call.", min=1.0)
    ] = 150.0,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """Say how long a failover of each gateway takes at worst, and what would make it shorter."""
    found = orders.plan(config.load(path), latency / 1000)
    if as_json:
        _print_json(found)
    else:
        cli_output.plan(found)


@app.command()
def pause(
    *,
    gateway: GatewayOption = "",
    table: TableOption = "",
    deployment: DeploymentOption = False,
    minutes: Annotated[int, typer.Option(help="How long.", min=1, max=_YEAR)] = 60,
    as_json: Json = False,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """Let the monitors observe but not act, for a while."""
    _done(orders.pause(config.load(path), _scope(gateway, table, deployment), minutes), as_json)


@app.command()
def resume(
    *,
    gateway: GatewayOption = "",
    table: TableOption = "",
    deployment: DeploymentOption = False,
    as_json: Json = False,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """End a pause."""
    _done(orders.resume(config.load(path), _scope(gateway, table, deployment)), as_json)


@app.command()
def freeze(
    *,
    minutes: Annotated[int, typer.Option(help="How long.", min=1, max=_YEAR)] = 1440,
    reason: Annotated[str, typer.Option(help="Why, for those who meet the freeze.")] = "",
    as_json: Json = False,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """Let no drill begin for a while; the monitors go on acting."""
    _done(orders.freeze(config.load(path), minutes, reason), as_json)


@app.command()
def unfreeze(as_json: Json = False, path: ConfigPath = config.DEFAULT_PATH) -> None:
    """Let drills begin again."""
    _done(orders.unfreeze(config.load(path)), as_json)


@app.command()
def failover(
    *,
    to: Annotated[str, typer.Option("--to", help="The gateway to move routes to.")],
    zone: Zones = None,
    table: Tables = None,
    site: Sites = None,
    minutes: Annotated[int, typer.Option(help="How long the routes stay pinned there.", min=1, max=_YEAR)] = 240,
    seconds: Seconds = 900,
    force: Force = False,
    as_json: Json = False,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """Move routes to a gateway, and pin them there."""
    loaded = config.load(path)
    which = orders.Which(zone, table, site)
    before = _verdicts(loaded)
    with cli_output.progress(silent=as_json) as how:
        done = orders.failover(
            loaded, before, which, to=to, minutes=minutes, seconds=seconds, force=force, progress=how
        )
    _done(_followed(loaded, before, done), as_json)


@app.command()
def failback(
    *,
    zone: Zones = None,
    table: Tables = None,
    site: Sites = None,
    take_over: Annotated[bool, typer.Option(help="Also routes that a person pointed elsewhere.")] = False,
    seconds: Seconds = 900,
    force: Force = False,
    as_json: Json = False,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """Move routes back to their home gateways, and clear their pins."""
    loaded = config.load(path)
    which = orders.Which(zone, table, site)
    before = _verdicts(loaded)
    with cli_output.progress(silent=as_json) as how:
        done = orders.failback(loaded, before, which, take_over=take_over, seconds=seconds, force=force, progress=how)
    _done(_followed(loaded, before, done), as_json)


@app.command(hidden=True)
def follow(path: ConfigPath = config.DEFAULT_PATH) -> None:
    """For the playbooks: say of routes that were swapped elsewhere whether the zones' packets follow.

    Standard input is JSON: ``before``, what `vpnha status --json` printed then, and ``routes`` of route_swap.
    """
    loaded = config.load(path)
    try:
        given = json.load(sys.stdin)
        found = followed.follow(given["before"], given["routes"], lambda: ask(loaded))
    except (ValueError, KeyError, TypeError) as error:
        raise VpnhaError(f"Standard input is no status from before with the routes of a swap: {error}.") from error
    _print_json([asdict(one) for one in found])


@app.command("check-config")
def check_config(
    file: Annotated[Path, typer.Argument(help="The configuration to check.")] = config.DEFAULT_PATH,
    look: Annotated[
        bool, typer.Option("--way/--no-way", help="Also whether EC2 answers, and not through a gateway.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a configuration, and with this host's way to EC2, one sentence for each problem.

    Exit code 1: something is wrong. 3: nothing is as far as can be told, but the way could not be proven. Warnings are
    of the ways to the other services that the monitor needs, and do not count.
    """
    proof = way.Proof()
    try:
        loaded = config.load(file)
        problems = (*config.elsewhere(loaded, str(file)), *notify_orders.problems(loaded, str(file)))
        proof = way.prove(loaded) if look else proof
        problems += (proof.text,) if proof.bad else ()
    except DescriptionError as error:
        problems = error.sentences
    if as_json:
        found = {"problems": list(problems), "way": proof.text, "unproven": proof.unproven}
        _print_json({"file": str(file), **found, "warnings": list(proof.warnings)})
    else:
        good = () if problems else (f"{file} is good.", "" if proof.unproven else proof.text)
        for sentence in filter(None, good):
            print(sentence)
        for sentence in filter(None, (*problems, proof.unproven, *(f"Warning: {one}" for one in proof.warnings))):
            print(sentence, file=sys.stderr)
    if problems or proof.unproven:
        raise typer.Exit(1 if problems else _UNPROVEN)


@app.command("notify-test")
def notify_test(as_json: Json = False, path: ConfigPath = config.DEFAULT_PATH) -> None:
    """Send a test message to each target of the notification, and say which have taken it."""
    found = notify_orders.test(config.load(path))
    if as_json:
        _print_json([asdict(one) for one in found])
    else:
        cli_output.tested(found)
    if any(one.error for one in found):
        raise typer.Exit(1)


@app.command("drill-result", hidden=True)
def drill_result(
    drill: Annotated[str, typer.Argument(help="The drill's id.")],
    text: Annotated[str, typer.Argument(help="The verdict, a sentence.")],
    *,
    passed: Annotated[bool, typer.Option("--passed/--failed", help="Whether it passed.")],
    details: Annotated[str, typer.Option(help="More for the journal, a JSON object.")] = "{}",
    tell: Annotated[bool, typer.Option("--tell/--no-tell", help="Whether to tell people.")] = True,
    path: ConfigPath = config.DEFAULT_PATH,
) -> None:
    """For the role drill: write what came of a drill into the journal, and have the monitor tell it."""
    try:
        more = json.loads(details)
    except ValueError:
        more = None
    if not isinstance(more, dict):
        raise VpnhaError(f"--details is no JSON object: {details}")
    notify_orders.drill_result(config.load(path), drill, text, passed=passed, details=more, tell=tell)


def ask(loaded: config.MonitorConfig) -> dict[str, Any]:
    """The running monitor's status. Raises VpnhaError when there is none."""
    try:
        # no proxy of the environment's: it is this host that is asked
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{loaded.url}/status", timeout=_READING_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise VpnhaError(
            "The monitor runs but its loop does not answer; see `journalctl -u vpnha-monitor` on this host."
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise VpnhaError(
            f"No monitor answers at {loaded.url}; see `systemctl status vpnha-monitor`, "
            "and start it with `systemctl start vpnha-monitor`."
        ) from error


def _verdicts(loaded: config.MonitorConfig) -> dict[str, Any] | None:
    """The running monitor's status, None if there is none: a person must be able to act without it."""
    try:
        return ask(loaded)
    except VpnhaError:
        return None


def _followed(loaded: config.MonitorConfig, before: dict[str, Any] | None, done: orders.Done) -> orders.Done:
    """The same with what the monitor says of each moved zone's packets; without a monitor nothing is known of them."""
    if before is None:
        return done
    try:
        found = followed.follow(before, done.details["routes"], lambda: ask(loaded))
    except VpnhaError:
        return done
    rows = followed.with_carrying(done.details["routes"], found)
    text = " ".join([done.text, *(one.text for one in found)])
    return replace(done, text=text, details={**done.details, "routes": rows})


def _scope(gateway: str, table: str, deployment: bool) -> str:
    if sum((bool(gateway), bool(table), deployment)) > 1:
        raise VpnhaError("Give one of --gateway, --table and --deployment.")
    return gateway or table


def _done(done: orders.Done, as_json: bool) -> None:
    if as_json:
        _print_json({"changed": done.changed, "text": done.text, "failed": done.failed} | dict(done.details))
    else:
        cli_output.done(done)
    if done.failed:
        raise typer.Exit(1)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def main() -> NoReturn:
    """Run; every expected error is one sentence on standard error, or as JSON where that was asked for."""
    try:
        app()
        sys.exit(0)
    except VpnhaError as error:
        sentences = error.sentences if isinstance(error, DescriptionError) else (str(error),)
        if "--json" in sys.argv:
            _print_json({"error": " ".join(sentences)})
        else:
            print("\n".join(sentences), file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
