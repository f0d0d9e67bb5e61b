# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in a description: what could not open a tunnel is told, a sentence each, and no key is ever shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import description
from ansible_collections.vpnha.aws.plugins.module_utils.description_certificates import (
    credentials,
    ending,
    split,
    with_certificates,
)
from ansible_collections.vpnha.aws.plugins.module_utils.description_fields import Problems, Section
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.model import CERTIFICATE, Gateway
from tests.unit.plugins.module_utils.certificates import NOW, Authority
from tests.unit.plugins.module_utils.test_description import good

Variables = dict[str, Any]


@pytest.fixture(scope="module")
def authority() -> Authority:
    """As seen at NOW."""
    return Authority()


@pytest.fixture
def variables(authority: Authority) -> Variables:
    """Every tunnel by certificate, and everything there for it."""
    given = by_certificate(authority)
    assert told(given) == []
    return given


def by_certificate(authority: Authority) -> Variables:
    given = good()
    given["vpnha_peer_ca"] = authority.pem
    for gateway in given["vpnha_gateways"]:
        gateway["certificate"], gateway["private_key"] = authority.issue(f"{gateway['name']}.lab")
    for tunnel in (tunnel for site in given["vpnha_sites"] for tunnel in site["tunnels"]):
        tunnel["auth"] = "certificate"
        del tunnel["psk"]
    return given


def looked_at(variables: Variables) -> tuple[list[str], tuple[Gateway, ...]]:
    """What is told at NOW, and the gateways; of tunnels only what the description's other checks need not know."""
    from ansible_collections.vpnha.aws.plugins.module_utils.description import _gateways, _tunnels

    problems = Problems()
    top = Section(problems, "", variables)
    tunnels = [tunnel for _where, tunnel in _tunnels(top)]
    gateways = with_certificates(top, _gateways(top), tunnels, NOW)
    return list(problems.sentences), gateways


def told(variables: Variables) -> list[str]:
    return looked_at(variables)[0]


def test_the_gateways_know_when_their_certificates_end(variables: Variables) -> None:
    _sentences, gateways = looked_at(variables)
    assert [round((gateway.certificate_ends or 0) - NOW.timestamp()) for gateway in gateways] == [365 * 86400] * 2


def test_a_whole_description_by_certificate_is_good_and_has_no_secret() -> None:
    given = by_certificate(Authority(datetime.now(UTC)))
    deployment = description.parse(given)
    assert {tunnel.auth for tunnel in deployment.tunnels} == {CERTIFICATE}
    assert description.from_dict(description.to_dict(deployment)) == deployment
    assert "PRIVATE" not in str(description.to_dict(deployment))
    assert description.remarks(deployment) == ()


def test_without_certificates_nothing_is_needed() -> None:
    assert told(good()) == []
    assert [gateway.certificate_ends for gateway in description.parse(good()).gateways] == [None, None]


def first(**changes: Any) -> Callable[[Variables, Authority], None]:
    return lambda variables, _authority: variables["vpnha_gateways"][0].update(changes)


def other_key(variables: Variables, authority: Authority) -> None:
    variables["vpnha_gateways"][0]["private_key"] = authority.issue("somebody")[1]


def a_chain(variables: Variables, authority: Authority) -> None:
    variables["vpnha_gateways"][0]["certificate"] += authority.pem


def issued(identity: str, **dates: int) -> Callable[[Variables, Authority], None]:
    def change(variables: Variables, authority: Authority) -> None:
        gateway = variables["vpnha_gateways"][0]
        gateway["certificate"], gateway["private_key"] = authority.issue(identity, **dates)

    return change


def no_authority(variables: Variables, _authority: Authority) -> None:
    del variables["vpnha_peer_ca"]


def a_leaf_for_an_authority(variables: Variables, authority: Authority) -> None:
    variables["vpnha_peer_ca"] = authority.issue("cgw.example")[0]


def an_old_authority(variables: Variables, _authority: Authority) -> None:
    variables["vpnha_peer_ca"] = Authority(datetime(2010, 1, 1, tzinfo=UTC)).pem


AT = "vpnha_gateways[0]."
BAD = {
    "no certificate": (first(certificate=""), AT + "certificate: this is missing; a gateway with certificates needs"),
    "no key": (first(private_key=None), AT + "private_key: this is missing; a gateway with certificates needs"),
    "no PEM": (
        first(certificate="MIIB"),
        AT + "certificate: this is no certificate in PEM, which begins with -----BEGIN",
    ),
    "a chain": (a_chain, AT + "certificate: this has the certificates of CAs as well, which are not sent to peers;"),
    "no key in PEM": (
        first(private_key="secret"),
        AT + "private_key: this is no private key in PEM without a passphrase.",
    ),
    "another's key": (
        other_key,
        AT + "private_key: this is not the key of the certificate; give the two that were made",
    ),
    "expired": (issued("gw-a.lab", days=-3), AT + "certificate: the certificate ended on 2026-05-29; give one that is"),
    "not yet": (
        issued("gw-a.lab", begins=5),
        AT + "certificate: the certificate begins on 2026-06-06; give one that is",
    ),
    "another's": (
        issued("gw-b.lab"),
        AT
        + "certificate: the certificate is not for gw-a.lab, as which the gateway comes in the tunnel hq-gw-a; have it",
    ),
    "no CA": (no_authority, "vpnha_peer_ca: this is missing; give the certificate, in PEM, of the CA that the peers'"),
    "a CA that is none": (
        a_leaf_for_an_authority,
        "vpnha_peer_ca: the certificate of CN=cgw.example is not a CA's; give",
    ),
    "an old CA": (
        an_old_authority,
        "vpnha_peer_ca: the certificate of CN=test CA ended on 2019-12-30; give one that is",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), BAD.values(), ids=BAD)
def test_what_could_not_open_a_tunnel_is_told(
    variables: Variables, authority: Authority, change: Callable[[Variables, Authority], None], sentence: str
) -> None:
    change(variables, authority)
    key = str(variables["vpnha_gateways"][0]["private_key"] or "no key")
    found = told(variables)
    assert any(one.startswith(sentence) for one in found), found
    assert {one.split(":")[0] for one in found} == {sentence.split(":", maxsplit=1)[0]}
    assert all(line not in one for one in found for line in key.splitlines() if len(line) > 8)


@pytest.mark.parametrize(
    ("local_id", "fits"),
    [("198.51.100.7", True), ("vpn@example.com", True), ("CN=gw-a,O=x", True), ("198.51.100.8", False)],
)
def test_identities_of_every_kind_are_looked_for(
    variables: Variables, authority: Authority, local_id: str, fits: bool
) -> None:
    gateway = variables["vpnha_gateways"][0]
    for tunnel in (tunnel for site in variables["vpnha_sites"] for tunnel in site["tunnels"]):
        if tunnel["gateway"] == "gw-a":
            tunnel["local_id"] = local_id
    identity = "198.51.100.7" if local_id.startswith("198") else local_id
    gateway["certificate"], gateway["private_key"] = authority.issue(identity if "=" not in identity else "any.example")
    assert bool(told(variables)) is not fits


def test_an_unknown_way_to_authenticate_is_told(variables: Variables) -> None:
    variables["vpnha_sites"][0]["tunnels"][0]["auth"] = "eap"
    with pytest.raises(DescriptionError) as caught:
        description.parse(variables)
    assert "vpnha_sites[0].tunnels[0].auth: 'eap' is unknown; write psk or certificate." in caught.value.sentences


@pytest.mark.parametrize(
    ("days", "words"),
    [(31, ""), (29, "ends on 2026-06-30, in 29 days: deploy a renewed one."), (-1, "ended on 2026-05-31: no tunnel")],
)
def test_an_end_that_comes_near_is_remarked(days: int, words: str) -> None:
    now = NOW.timestamp()
    said = ending(Gateway("gw-a", "z", "10.0.0.1", (), certificate_ends=now + days * 86400), now)
    assert words in said and bool(said) is bool(words)


def test_a_gateway_gets_its_own_credentials_and_every_authority(variables: Variables) -> None:
    variables["vpnha_peer_ca"] = f"# first\n{Authority().pem}\n{Authority().pem}"
    own = variables["vpnha_gateways"][1]
    found = credentials(variables, "gw-b")
    assert found is not None
    assert (found["certificate"], found["private_key"]) == (own["certificate"], own["private_key"])
    assert len(found["authorities"]) == 2 and split("".join(found["authorities"])) == found["authorities"]
    assert credentials(good(), "gw-a") is None
