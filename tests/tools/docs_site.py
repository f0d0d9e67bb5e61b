# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference as a site: ``python -m tests.tools.docs_site`` writes modules, filters, roles and playbooks.

antsibull-docs reads what the plugins and roles say of themselves; of a playbook it is the comment at its head.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build" / "docs-site"
OUTPUT = ROOT / "artifacts" / "docs"
COLLECTION = "vpnha.aws"
_INDEX = """\
vpnha.aws
=========

.. toctree::
   :maxdepth: 2

   playbooks
   collections/index
"""


def playbooks_page(directory: Path) -> str:
    """A page in reStructuredText with the heads of all playbooks."""
    parts = ["Playbooks", "=" * len("Playbooks"), ""]
    for path in sorted(directory.glob("*.yml")):
        name = f"{COLLECTION}.{path.stem}"
        parts += [name, "-" * len(name), "", "::", "", *(f"    {line}".rstrip() for line in head(path.read_text())), ""]
    return "\n".join(parts)


def head(playbook: str) -> list[str]:
    """The lines of the comment at a playbook's head, without copyright and licence."""
    comment = playbook.split("\n#\n", 1)[1].split("\n\n", 1)[0]
    return [re.sub(r"^# ?", "", line) for line in comment.split("\n")]


def main() -> int:
    """Writes the site, and prints where it lies."""
    programs = Path(sys.executable).parent
    docs = str(programs / "antsibull-docs")
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(mode=0o700, parents=True)  # antsibull-docs wants its folders to itself
    (BUILD / "rst").mkdir(mode=0o700)
    theme = ["--lenient", "--sphinx-theme", "alabaster"]
    _run(docs, "sphinx-init", "--use-current", *theme, "--dest-dir", str(BUILD), "--project", COLLECTION, COLLECTION)
    with (BUILD / "conf.py").open("a") as conf:
        conf.write("\nintersphinx_mapping = {}  # nothing is fetched\n")
    config = ["--config-file", str(BUILD / "antsibull-docs.cfg")]
    _run(docs, *config, "collection", "--use-current", "--dest-dir", str(BUILD / "rst"), COLLECTION)
    (BUILD / "rst" / "index.rst").write_text(_INDEX)
    (BUILD / "rst" / "playbooks.rst").write_text(playbooks_page(ROOT / "playbooks"))
    shutil.rmtree(OUTPUT, ignore_errors=True)
    _run(str(programs / "sphinx-build"), "-q", "-b", "html", "-c", str(BUILD), str(BUILD / "rst"), str(OUTPUT))
    print(f"reference: {(OUTPUT / 'index.html').relative_to(ROOT)}")
    return 0


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
