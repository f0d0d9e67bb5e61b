# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python's libraries without PyPI: from the controller's wheels or a mirror, by the role's own tasks and real pip."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Person, Told, book

NOWHERE = "http://127.0.0.1:9/simple"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the role gives what it brings to root")


def wheel(directory: Path, name: str, version: str) -> None:
    """A wheel with one module, which knows its version."""
    directory.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory beside the person's inventory."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def home(work: Path) -> Path:
    return work / "opt"


@pytest.fixture
def install(person: Person, home: Path, work: Path) -> Callable[..., Told]:
    """Runs the role's tasks on this machine, with another home than the hosts'. No index is to be reached."""
    (work / "book.yml").write_text(book("runtime/libraries"))
    person.environment |= {"PIP_INDEX_URL": NOWHERE, "XDG_CACHE_HOME": str(work / "cache"), "PIP_RETRIES": "0"}
    inner: dict[str, Any] = {"__vpnha_runtime_home": str(home), "__vpnha_runtime_python": sys.executable}
    home.mkdir()

    def run(*options: str, **variables: Any) -> Told:
        return person.play(str(work / "book.yml"), variables, "-e", json.dumps(inner), *options)

    return run


def installed(home: Path, name: str) -> str:
    """The version that a host's programs would import."""
    code = f"import {name}; print({name}.VERSION)"
    done = subprocess.run([home / "venv" / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


def test_pip_installs_from_the_controllers_wheels_and_asks_nobody(
    install: Callable[..., Told], home: Path, work: Path
) -> None:
    house = work / "wheels"
    wheel(house, "vpnha_one", "1.0")
    wheel(house, "vpnha_more", "1.0")
    given = {"vpnha_pip_wheelhouse": str(house), "vpnha_runtime_more_requirements": ["vpnha_more"]}
    assert install(**given, vpnha_runtime_requirements=["vpnha_one"]).code == 0
    assert (installed(home, "vpnha_one"), installed(home, "vpnha_more")) == ("1.0", "1.0")
    again = install(**given, vpnha_runtime_requirements=["vpnha_one"])
    assert (again.code, again.changed) == (0, 0)
    wheel(house, "vpnha_one", "2.0")
    assert install(**given, vpnha_runtime_requirements=["vpnha_one>=2"]).code == 0
    assert installed(home, "vpnha_one") == "2.0"
    [kept] = (home / "wheelhouse").iterdir()  # those of the former run are gone
    assert len(list((kept / "wheels").iterdir())) == 3


def test_an_environment_of_a_python_that_is_gone_is_made_anew(
    install: Callable[..., Told], home: Path, work: Path
) -> None:
    """As an upgrade of the distribution leaves it: the libraries are those of the former Python, pip among them."""
    wheel(work / "wheels", "vpnha_one", "1.0")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    (home / "venv" / "bin" / "pip").write_text("#!/nowhere/python3.9\n")
    given = {"vpnha_pip_wheelhouse": str(work / "wheels"), "vpnha_runtime_requirements": ["vpnha_one"]}
    check = install("--check", **given)
    assert check.code == 0 and check.changed > 0 and "No module named" in installed(home, "vpnha_one")
    assert install(**given).code == 0
    assert installed(home, "vpnha_one") == "1.0"


def test_a_wheel_that_is_missing_is_not_looked_for_elsewhere(
    install: Callable[..., Told], home: Path, work: Path
) -> None:
    wheel(work / "wheels", "vpnha_one", "1.0")
    told = install(vpnha_pip_wheelhouse=str(work / "wheels"), vpnha_runtime_requirements=["vpnha_two"])
    assert told.code != 0
    assert "No matching distribution found for vpnha_two" in told.output
    assert NOWHERE not in told.output
    assert "No module named" in installed(home, "vpnha_two")


@pytest.mark.skipif(Path("/opt/vpnha").exists(), reason="this is to be a host without anything of ours")
def test_a_check_goes_through_where_nothing_is_there_yet(install: Callable[..., Told], home: Path, work: Path) -> None:
    wheel(work / "wheels", "vpnha_one", "1.0")
    (work / "book.yml").write_text(book("runtime/libraries", "runtime/code"))
    given = {"vpnha_pip_wheelhouse": str(work / "wheels"), "vpnha_runtime_requirements": ["vpnha_one"]}
    told = install("--check", **given)
    assert told.code == 0 and told.changed > 0
    assert list(home.iterdir()) == [] and not Path("/opt/vpnha").exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_wheelhouse_without_wheels_is_refused(
    install: Callable[..., Told], home: Path, work: Path, there: bool
) -> None:
    house = work / "wheels"
    if there:
        house.mkdir()
        (house / "vpnha_one-1.0.tar.gz").write_bytes(b"")
    install(vpnha_pip_wheelhouse=str(house), vpnha_runtime_requirements=["vpnha_one"]).refused_with(
        f"vpnha_pip_wheelhouse: {house} on this controller has no wheel in it; name a directory with *.whl files"
    )
    assert list(home.iterdir()) == []


@pytest.fixture
def mirror(work: Path) -> Iterator[tuple[str, list[str]]]:
    """An index with one wheel, and what it has been asked for."""
    wheel(work / "mirror" / "simple" / "vpnha-one", "vpnha_one", "1.0")
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(work / "mirror"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:s3cret-of-the-mirror@127.0.0.1:{server.server_address[1]}/simple", asked
        server.shutdown()


def test_pip_asks_the_index_that_is_given_and_its_password_is_not_shown(
    person: Person, install: Callable[..., Told], home: Path, mirror: tuple[str, list[str]]
) -> None:
    url, asked = mirror
    del person.environment["PIP_INDEX_URL"]  # it would come before a file
    told = install("-vvv", vpnha_pip_index_url=url, vpnha_runtime_requirements=["vpnha_one"])
    assert told.code == 0
    assert installed(home, "vpnha_one") == "1.0"
    assert "/simple/vpnha-one/" in asked
    missing = install("-vvv", vpnha_pip_index_url=url, vpnha_runtime_requirements=["vpnha_two"])
    assert missing.code != 0 and "No matching distribution found for vpnha_two" in missing.output
    assert "s3cret-of-the-mirror" not in told.output + missing.output
    assert [path.name for path in home.iterdir()] == ["venv"]
