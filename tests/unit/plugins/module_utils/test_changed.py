# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``changed`` does what ``dataclasses.replace`` does."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import state
from ansible_collections.vpnha.aws.plugins.module_utils.changed import changed
from ansible_collections.vpnha.aws.plugins.module_utils.state import Health, Repairs, Routes, State

from .scenario import deployment


def test_a_changed_copy_is_what_replace_makes() -> None:
    before = State(deployment(), 1000.0, healths={("gw-a", "hq"): Health(5.0)})
    after = changed(before, trusted_from=7.0, seed=3)
    assert after == replace(before, trusted_from=7.0, seed=3)
    assert (before.trusted_from, before.seed) == (0.0, 0)
    with pytest.raises(FrozenInstanceError):
        after.seed = 4  # type: ignore[misc]


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(TypeError, match="Health has no wellness"):
        changed(Health(), wellness=1.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [State, Routes, Repairs])
def test_what_is_changed_has_nothing_but_its_fields(kind: type) -> None:
    assert is_dataclass(kind)
    one = State(deployment(), 0.0) if kind is State else kind()
    assert vars(one).keys() == {field.name for field in fields(kind)}
    assert not hasattr(kind, "__post_init__")
    assert kind.__module__ == state.__name__
