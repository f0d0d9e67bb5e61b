# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab.vm``: virtual machines with a stock kernel; see ``python -m lab.vm --help``.

They are a lab of their own, called ``vpnhavm`` unless VPNHA_LAB_NAME says otherwise; images, key and logs are shared.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.markup import escape

from lab import lifecycle, preflight
from lab.cli import console, run_app, steps
from lab.errors import LabError
from lab.names import REPOSITORY, Names

OUTPUT = REPOSITORY / "artifacts" / "vm"
app = typer.Typer(
    help="Gateways and a customer gateway as virtual machines under QEMU, with Debian's own kernel. Needs root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def deps() -> None:
    """Install the system packages that are missing, with apt."""
    from lab.vm import machine

    preflight.root()
    if installed := preflight.install(machine.programs()):
        console.print(f"installed {', '.join(installed)}")


@app.command()
def image() -> None:
    """Build the image of the machines, and the lab's images below it, unless they are up to date."""
    from lab.vm import image as images

    names = _names()
    with steps() as step, lifecycle.borrowed(names, step):
        images.build(names, step)


@app.command()
def smoke(
    keep: Annotated[bool, typer.Option(help="Leave the machines running until `down`.")] = False,
    output: Annotated[Path, typer.Option(help="Directory of the report and the logs.")] = OUTPUT / "smoke",
) -> None:
    """Show one tunnel through the kernel's own ESP, configured by the role; exit code 1 if anything is amiss."""
    from lab.vm import smoke as looks

    _report("One tunnel on a stock kernel", looks.run, output, keep)


@app.command()
def mesh(
    keep: Annotated[bool, typer.Option(help="Leave the machines running until `down`.")] = False,
    output: Annotated[Path, typer.Option(help="Directory of the report and the logs.")] = OUTPUT / "mesh",
) -> None:
    """Show two gateways with two tunnels each through their kernels' ESP; exit code 1 if anything is amiss."""
    from lab.vm import mesh as looks

    _report("Two gateways on a stock kernel", looks.run, output, keep)


def _report(title: str, run: Callable[..., None], output: Path, keep: bool) -> None:
    from lab.vm.report import Report

    names, report = _names(), Report()
    report.remove(output)
    try:
        with report.timed("in all"), steps() as step, lifecycle.borrowed(names, step, keep=keep):
            run(names, step, report, output.absolute(), stay=keep)
    except BaseException as error:
        report.error = str(error) or type(error).__name__
        raise
    finally:
        file = report.write(output.absolute(), title)
        for check in report.checks:
            mark = "[green]passed[/]" if check.passed else "[red]failed[/]"
            part = f"{check.part}: " if check.part else ""
            console.print(f"{mark} {escape(part + check.name)} [dim]{escape(str(check.observed))}[/]")
        console.print(f"report: {file}\n        {file.with_suffix('.html')}", soft_wrap=True)
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def shell(
    name: Annotated[str, typer.Argument(help="gw-a, gw-b or cgw-hq.")],
    command: Annotated[list[str] | None, typer.Argument(help="A command instead of a shell.")] = None,
) -> None:
    """A shell, or one command, as root on a machine that `smoke --keep` or `mesh --keep` has left running."""
    from lab.vm.machines import MESH, Machines

    preflight.root()
    machines = Machines(Names.from_env(), MESH).all
    if name not in machines:
        raise LabError(f"There is no machine called {name}: they are {', '.join(machines)}.")
    argv = machines[name].ssh() + ([shlex.join(command)] if command else [])
    sys.stdout.flush()
    os.execvp(argv[0], argv)


@app.command()
def down() -> None:
    """Switch the machines off and remove all that belongs to them; images and logs stay."""
    names = Names.from_env()
    with steps() as step:
        found = lifecycle.down(names, step)
    if not found:
        console.print(f"There is no lab called {names.name}: nothing to remove.")


def _names() -> Names:
    from lab.vm import machine

    preflight.root()
    if missing := preflight.missing_packages(machine.programs()):
        raise LabError(f"This machine lacks {', '.join(missing)}: run `python -m lab.vm deps` to install them.")
    return Names.from_env()


def _stop_on_signal(_number: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM into what Ctrl-C raises, so that the machines are removed in both cases."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.environ.setdefault("VPNHA_LAB_NAME", "vpnhavm")
    signal.signal(signal.SIGTERM, _stop_on_signal)
    sys.exit(run_app(app))
