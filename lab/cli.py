# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line. Every command finds its lab by VPNHA_LAB_DIR, VPNHA_LAB_NAME and VPNHA_LAB_PORT."""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import endpoint, preflight, registry
from lab.errors import LabError
from lab.hosts import Hosts
from lab.image import RELEASES, USUAL, Images
from lab.names import REPOSITORY, Names

app = typer.Typer(
    help="EC2 on your machine: an EC2 endpoint, real Debian hosts, and two sites around them. Needs root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
fault_app = typer.Typer(help="Bring faults into force, list them, take them back.", no_args_is_help=True)
capture_app = typer.Typer(help="Record packets on the wire.", no_args_is_help=True)
app.add_typer(fault_app, name="fault")
app.add_typer(capture_app, name="capture")

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> int:
    """Run the lab's command."""
    return run_app(app)


def run_app(commands: typer.Typer) -> int:
    """Run the command; what a person can mend is said in one sentence, with exit code 1."""
    sys.path.append(str(REPOSITORY / ".build" / "collections"))  # the engine, for those who did not come by make
    try:
        code = commands(standalone_mode=False)  # what typer.Exit was given, or None
    except LabError as error:
        errors.print(escape(str(error)), style="red")
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or Names.from_env().dir
        errors.print(f"The disk is full ({where}): make room, or set VPNHA_LAB_DIR to a larger one.", style="red")
        return 1
    except (typer.Abort, KeyboardInterrupt):
        errors.print("interrupted", style="red")
        return 130
    except Exception as error:
        show = getattr(error, "show", None)  # of click, whichever typer brings: a wrong command line
        if show is None:
            raise
        show()
        return int(getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show each step with the seconds that it took: on a terminal with a spinner, else a line each."""
    began = time.monotonic()
    current: list[tuple[str, float]] = []

    def finish(style: str) -> None:
        if current:
            what, since = current.pop()
            console.print(f"[{style}]{escape(what)}[/] [dim]{time.monotonic() - since:.1f} s[/]")

    with console.status("", spinner="dots") as status:

        def step(what: str) -> None:
            finish("green")
            current.append((what, time.monotonic()))
            status.update(escape(what))

        try:
            yield step
        except BaseException:
            finish("red")
            raise
        finish("green")
    console.print(f"[dim]{time.monotonic() - began:.1f} s in all[/]")


# --- The lab -----------------------------------------------------------------------------------------------


@app.command()
def up(
    sites_only: Annotated[bool, typer.Option("--sites-only", help="Only the sites, without the EC2 endpoint.")] = False,
    deployment: Annotated[
        Path | None,
        typer.Option(
            envvar="VPNHA_LAB_DEPLOYMENT",
            help="A file of variables that differ from the shipped ones; ansible-playbook needs it as well.",
        ),
    ] = None,
) -> None:
    """Build the images if needed, start EC2, boot the sites. What runs already stays as it is."""
    from lab import lifecycle

    names = Names.from_env()
    with steps() as step:
        lifecycle.up(names, step, sites_only=sites_only, deployment=deployment)
    if not sites_only:
        console.print(f'EC2 is at {endpoint.controller_url(names)}: [bold]eval "$(python -m lab env)"[/]')


@app.command()
def down() -> None:
    """Remove all that the lab made; images and logs stay."""
    from lab import lifecycle

    names = Names.from_env()
    with steps() as step:
        found = lifecycle.down(names, step)
    if not found:
        console.print(f"There is no lab called {names.name}: nothing to remove.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say what runs, which faults are in force, which captures run. Exit code 3 when the lab is not up."""
    preflight.root()
    from lab import capture, faults

    names = Names.from_env()
    hosts = Hosts(names)
    found: dict[str, Any] = {
        "name": names.name,
        "directory": str(names.dir),
        "up": endpoint.ready(names),
        "endpoint": endpoint.controller_url(names),
        "hosts": [
            {"id": host_id, "name": entry["name"], "kind": entry["kind"], "state": _state(hosts, host_id, entry)}
            for host_id, entry in registry.entries(names).items()
        ],
        "faults": [{"id": fault.id, "kind": fault.kind, "since": fault.since} for fault in faults.in_force(names)],
        "captures": capture.running(names),
        "images": {which: _image(names, which) for each in RELEASES.values() for which in (each.base, each.golden)},
    }
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        console.print(f"The lab {names.name} is {'up: EC2 is at ' + found['endpoint'] if found['up'] else 'not up'}.")
        _show(found["hosts"], "name", "kind", "state", "id")
        for fault in found["faults"]:
            console.print(f"fault {fault['id']} for {time.time() - fault['since']:.0f} s", style="yellow")
        for where in found["captures"]:
            console.print(f"capturing at {where}")
    if not found["up"]:
        raise typer.Exit(3)


def _state(hosts: Hosts, host_id: str, entry: registry.Entry) -> str:
    return "running" if entry["kind"] == "vpn" else hosts.state(host_id)


def _image(names: Names, which: str) -> str | None:
    try:
        return Images(names).layers(which)[0].parent.name
    except LabError:
        return None


def _show(rows: list[dict[str, Any]], *columns: str) -> None:
    if rows:
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(escape(str(row[column])) for column in columns))
        console.print(table)


@app.command()
def env() -> None:
    """Print what a shell needs to use the lab: eval "$(python -m lab env)"."""
    from lab.golden import collections_path

    names = Names.from_env()
    values = {
        **names.environment(),
        "AWS_ENDPOINT_URL": endpoint.controller_url(names),
        "AWS_REGION": endpoint.REGION,
        "AWS_DEFAULT_REGION": endpoint.REGION,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "not-needed-here",  # Ansible blanks it wherever it occurs, so no word that is in use
        "AWS_SESSION_TOKEN": "",
        # no way to a real account, whatever this person's files say
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
        "no_proxy": ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1"])),
        "ANSIBLE_COLLECTIONS_PATH": collections_path(),
    }
    print("unset AWS_PROFILE")
    for key, value in values.items():
        print(f"export {key}={shlex.quote(value)}")


@app.command()
def image(
    release: Annotated[str, typer.Option(help=f"Of Debian: {' or '.join(RELEASES)}.")] = USUAL.suite,
) -> None:
    """Build the hosts' images, unless they are up to date."""
    from lab import lifecycle

    if release not in RELEASES:
        raise LabError(f"--release is {release!r}: give one of {', '.join(RELEASES)}.")
    with steps() as step:
        lifecycle.build_images(Names.from_env(), step, RELEASES[release])


@app.command()
def deps() -> None:
    """Install the system packages that the lab needs."""
    preflight.root()
    installed = preflight.install()
    console.print(f"installed {', '.join(installed)}" if installed else "all the lab needs is installed")


# --- Hosts -------------------------------------------------------------------------------------------------


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def shell(
    host: Annotated[str, typer.Argument(help="Name or id, such as gw-a.")],
    command: Annotated[list[str] | None, typer.Argument(help="A command instead of a shell.")] = None,
) -> None:
    """A shell, or one command, as root on a host."""
    preflight.root()
    names = Names.from_env()
    host_id, _ = registry.find(names, host)
    argv = Hosts(names).enter(host_id, command or ["bash", "--login"])
    sys.stdout.flush()
    os.execvp(argv[0], argv)


@app.command()
def connect(name: Annotated[str, typer.Argument(metavar="NAME.lab.invalid")]) -> None:
    """Connect stdin and stdout to a host's sshd: the ProxyCommand of ssh."""
    from lab.connect import main as pump

    raise typer.Exit(pump(name))


@app.command("boot-site", hidden=True)
def boot_site(host: str) -> None:
    """Boot one host of a site: how it comes back from a reboot."""
    from lab import siteboot

    preflight.root()
    siteboot.boot(Names.from_env(), only=host)


# --- Faults ------------------------------------------------------------------------------------------------


@fault_app.command("add", context_settings={"ignore_unknown_options": True})
def fault_add(  # noqa: PLR0917 (typer makes options of them)
    kind: Annotated[str, typer.Argument(help="See `fault kinds`.")],
    args: Annotated[list[str] | None, typer.Argument()] = None,
    fault_id: Annotated[
        str | None, typer.Option("--id", help="Under which it is taken back; made up if missing.")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="both, in or out, as the host sees it.")] = None,
    peer: Annotated[str | None, typer.Option(help="Only packets from and to this host or address.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action of EC2, or as in dynamodb:Query.")] = None,
    side: Annotated[str | None, typer.Option(help="Only requests of the controller, or of the hosts.")] = None,
    times: Annotated[int | None, typer.Option(help="Only so many requests.")] = None,
    seconds: Annotated[float | None, typer.Option("--for", help="Take it back after so many seconds.")] = None,
) -> None:
    """Bring a fault into force and print its id."""
    from lab import faults

    preflight.root()
    names = Names.from_env()
    for what, value, allowed in (("--direction", direction, ("both", "in", "out")), ("--side", side, endpoint.SIDES)):
        if value is not None and value not in allowed:
            raise LabError(f"{what} is {value!r}: give one of {', '.join(allowed)}.")
    options = faults.Options(direction=direction, peer=peer, action=action, side=side, times=times)  # type: ignore[arg-type]
    fault = faults.add(names, kind, args or [], options, fault_id)
    print(fault.id, flush=True)
    if seconds is not None:
        try:
            time.sleep(seconds)
        finally:
            faults.clear(names, fault.id)


@fault_app.command("list")
def fault_list(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the faults in force."""
    from lab import faults

    found: list[dict[str, Any]] = [
        {"id": each.id, "kind": each.kind, "args": each.args, "options": each.options, "since": each.since}
        for each in faults.in_force(Names.from_env())
    ]
    if as_json:
        print(json.dumps(found, indent=2))
    elif found:
        rows = [
            {**each, "args": " ".join(each["args"]), "for": f"{time.time() - each['since']:.0f} s"} for each in found
        ]
        _show(rows, "id", "kind", "args", "for")
    else:
        console.print("no fault is in force")


@fault_app.command("clear")
def fault_clear(
    ids: Annotated[list[str] | None, typer.Argument(help="Which; --all takes back every one.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are in force.")] = False,
) -> None:
    """Take faults back."""
    from lab import faults

    preflight.root()
    names = Names.from_env()
    if not ids and not every:
        raise LabError("Say which fault to clear, or --all.")
    for fault_id in [fault.id for fault in faults.in_force(names)] if every else ids or []:
        faults.clear(names, fault_id)
        console.print(f"cleared {fault_id}")


@fault_app.command("kinds")
def fault_kinds() -> None:
    """List what faults there are."""
    from lab import faults

    rows = [
        {"kind": f"{kind} {each.usage}", "what": each.says, "options": " ".join(f"--{name}" for name in each.options)}
        for kind, each in faults.KINDS.items()
    ]
    _show(rows, "kind", "what", "options")


# --- Captures ----------------------------------------------------------------------------------------------


@capture_app.command("start")
def capture_start(
    where: Annotated[str, typer.Argument(help="internet, or a host such as gw-a.")],
    file: Annotated[Path | None, typer.Option(help="Where the pcap file goes.")] = None,
) -> None:
    """Record packets until `capture stop`; prints the file."""
    from lab import capture

    preflight.root()
    print(capture.start(Names.from_env(), where, file))


@capture_app.command("stop")
def capture_stop(
    where: Annotated[str, typer.Argument(help="internet, or a host such as gw-a.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """End a capture and count its packets, and those of a site that were not encrypted."""
    from lab import capture

    preflight.root()
    found = capture.stop(Names.from_env(), where)
    if as_json:
        print(json.dumps(found))
    else:
        console.print(
            f"{found['file']}: {found['packets']} packets, {found['plaintext']} of a site in clear, "
            f"{found['dropped']} missed by the kernel"
        )
