# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree that the metadata service serves, and its listings."""

from __future__ import annotations

import pytest

from lab.api.imds import Tree, find

TREE: Tree = {
    "latest": {"meta-data": {"instance-id": "i-1", "iam": {"security-credentials": {"role": lambda: "made now"}}}}
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/latest/meta-data/instance-id", "i-1"),
        ("/latest/meta-data/", "instance-id\niam/"),
        ("/latest/meta-data/iam/security-credentials/", "role"),
        ("/latest/meta-data/iam/security-credentials/role", "made now"),
        ("/latest/meta-data/public-ipv4", None),
        ("/latest/meta-data/instance-id/more", None),
    ],
)
def test_a_path_leads_to_a_value_or_a_listing(path: str, expected: str | None) -> None:
    assert find(TREE, path) == expected
