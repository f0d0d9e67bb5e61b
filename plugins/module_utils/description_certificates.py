# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates of a description: the gateways' own with their keys, and those of the CAs that the peers' are of.

They are looked at where the description is checked, before anything is changed, since a gateway would find out only
when a tunnel does not come up. No private key is ever in a sentence.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .description_fields import Problems, Section
from .model import CERTIFICATE, Gateway, Tunnel

if TYPE_CHECKING:
    from cryptography import x509

SOON_DAYS = 30
AUTHORITIES = "vpnha_peer_ca"
_BEGIN = "-----BEGIN CERTIFICATE-----"


def with_certificates(
    top: Section, gateways: Sequence[Gateway], tunnels: Sequence[Tunnel], now: datetime | None = None
) -> tuple[Gateway, ...]:
    """The gateways with the ends of their certificates; what is wrong with any certificate is noted."""
    now = now or datetime.now(UTC)
    using = {tunnel.gateway for tunnel in tunnels if tunnel.auth == CERTIFICATE}
    if using or top.given(AUTHORITIES):
        _authorities(top, now)
    quiet = Section(Problems(), "", top.value)  # the gateways' other fields were checked with the gateways
    found = []
    for gateway, silent in zip(gateways, quiet.sections("vpnha_gateways", ()), strict=False):
        section = Section(top.problems, silent.where, silent.value)
        certificate = None
        if gateway.name in using or section.given("certificate") or section.given("private_key"):
            identities: dict[str, str] = {}
            for tunnel in tunnels:
                if tunnel.gateway == gateway.name and tunnel.auth == CERTIFICATE:
                    identities.setdefault(tunnel.local_id, tunnel.name)
            certificate = _own(section, identities, now)
        ends = certificate.not_valid_after_utc.timestamp() if certificate else None
        found.append(replace(gateway, certificate_ends=ends))
    return tuple(found)


def ending(gateway: Gateway, now: float) -> str:
    """That a gateway's certificate ends soon, in a sentence; empty while there is time."""
    ends = gateway.certificate_ends
    if ends is None or ends - now >= SOON_DAYS * 86400:
        return ""
    day = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    if ends <= now:
        return f"The certificate of {gateway.name} ended on {day}: no tunnel that needs it can be opened any more."
    return f"The certificate of {gateway.name} ends on {day}, in {(ends - now) / 86400:.0f} days: deploy a renewed one."


def split(pem: str) -> list[str]:
    """The single certificates in a text of PEM."""
    return [f"{_BEGIN}{part.partition('-----END')[0]}-----END CERTIFICATE-----\n" for part in pem.split(_BEGIN)[1:]]


def credentials(variables: Mapping[str, Any], gateway: str) -> dict[str, Any] | None:
    """What a gateway's strongSwan gets: ``certificate``, ``private_key`` and ``authorities``; None without any."""
    own: Mapping[str, Any] = next((each for each in variables["vpnha_gateways"] if each["name"] == gateway), {})
    if not own.get("certificate"):
        return None
    return {
        "certificate": split(str(own["certificate"]))[0],
        "private_key": str(own["private_key"]).strip() + "\n",
        "authorities": split(str(variables.get(AUTHORITIES) or "")),
    }


def _authorities(top: Section, now: datetime) -> None:
    from cryptography import x509

    if not top.given(AUTHORITIES):
        top.problem(
            AUTHORITIES, "this is missing; give the certificate, in PEM, of the CA that the peers' certificates are of."
        )
        return
    for certificate in _certificates(top, AUTHORITIES):
        name = certificate.subject.rfc4514_string()
        try:
            may_issue = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            may_issue = False
        if not may_issue:
            top.problem(AUTHORITIES, f"the certificate of {name} is not a CA's; give the one of the CA that issued it.")
        _times(top, AUTHORITIES, f"the certificate of {name}", certificate, now)


def _own(section: Section, identities: Mapping[str, str], now: datetime) -> x509.Certificate | None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    for key, what in (("certificate", "certificate"), ("private_key", "private key that belongs to its certificate")):
        if not section.given(key):
            section.problem(key, f"this is missing; a gateway with certificates needs its {what}, in PEM.")
    certificates = _certificates(section, "certificate") if section.given("certificate") else []
    if not certificates:
        return None
    certificate = certificates[0]
    if len(certificates) > 1:
        section.problem(
            "certificate",
            "this has the certificates of CAs as well, which are not sent to peers; give the gateway's own alone, and "
            "have its peers trust the CA that issued it.",
        )
    _times(section, "certificate", "the certificate", certificate, now)
    for identity, tunnel in identities.items():
        if not _is_for(certificate, identity):
            section.problem(
                "certificate",
                f"the certificate is not for {identity}, as which the gateway comes in the tunnel {tunnel}; have it "
                "issued with that as subject alternative name, or set the tunnel's local_id.",
            )
    if section.given("private_key"):
        try:
            private = load_pem_private_key(str(section.value["private_key"]).encode(), None)
        except (ValueError, TypeError):  # the library's words may have parts of it
            section.problem("private_key", "this is no private key in PEM without a passphrase.")
            return certificate
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
            section.problem(
                "private_key", "this is not the key of the certificate; give the two that were made together."
            )
    return certificate


def _certificates(section: Section, key: str) -> list[x509.Certificate]:
    from cryptography import x509

    value = section.value[key]
    try:
        return x509.load_pem_x509_certificates(value.encode())
    except (ValueError, AttributeError):
        section.problem(key, f"this is no certificate in PEM, which begins with {_BEGIN}.")
        return []


def _times(section: Section, key: str, what: str, certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        section.problem(key, f"{what} ended on {certificate.not_valid_after_utc:%Y-%m-%d}; give one that is valid.")
    elif certificate.not_valid_before_utc > now:
        section.problem(key, f"{what} begins on {certificate.not_valid_before_utc:%Y-%m-%d}; give one that is valid.")


def _is_for(certificate: x509.Certificate, identity: str) -> bool:
    """Whether strongSwan finds the identity in the certificate; one that is a distinguished name is not looked at."""
    from cryptography import x509

    if "=" in identity:
        return True
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(identity) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        kind = x509.RFC822Name if "@" in identity else x509.DNSName
        return identity in names.get_values_for_type(kind)
