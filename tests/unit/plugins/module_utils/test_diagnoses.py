# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of diagnoses is closed: what the engine names is in it, with what a person needs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import diagnoses
from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES

ENGINE = Path(diagnoses.__file__).resolve().parent
NAMING = {"Judgement": 1, "Remark": 0, "Note": 0, "Leave": 0, "Stuck": 2}  # position of the code among the arguments


def named(path: Path) -> set[str]:
    """The codes that a file of the engine names as literals."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMING:
            code = node.args[NAMING[node.func.id]] if len(node.args) > NAMING[node.func.id] else None
            if isinstance(code, ast.Constant):
                found.add(code.value)
        if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            subject = node.value.elts[0]
            if isinstance(subject, ast.Tuple) and isinstance(subject.elts[0], ast.Constant):
                found.add(subject.elts[0].value)
    return found


@pytest.mark.parametrize(
    "name", ["judge", "judge_gateway", "judge_managed", "judge_paths", "moves", "repair", "told", "decision"]
)
def test_every_code_that_the_engine_names_is_a_diagnosis(name: str) -> None:
    codes = named(ENGINE / f"{name}.py")
    assert codes <= set(DIAGNOSES)
    assert codes or name in ("judge", "decision")


@pytest.mark.parametrize("code", DIAGNOSES)
def test_every_diagnosis_says_what_it_means_and_what_is_done(code: str) -> None:
    diagnosis = DIAGNOSES[code]
    assert diagnosis.code == code
    assert diagnosis.action in ("swap", "move", "told", "none")
    assert diagnosis.title
    assert diagnosis.text.endswith(".")
    assert not diagnosis.what_to_do or diagnosis.what_to_do.endswith(".")
    if diagnosis.action == "told" and code not in ("swap-unknown",):
        assert diagnosis.what_to_do, "a person who is told must know what to do"
