#!/bin/sh
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Says as JSON what this host is, whether its kernel has ESP and XFRM interfaces, whether it is a gateway already, whether
# its agent may run with other code than was brought, whether its filter is in force, which of its units run and start at
# boot, and which packages it has. Changes nothing that stays.
set -u

. /etc/os-release
case " $ID ${ID_LIKE:-} " in
  *" debian "*) family=debian ;;
  *" rhel "* | *" fedora "*) family=redhat ;;
  *) family=unknown ;;
esac

packages=
case $family in
  debian) packages=$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' 2>/dev/null | sed -n 's/^[hi]i //p' | tr '\n' ' ') ;;
  redhat) packages=$(rpm -qa --qf '%{NAME} ' 2>/dev/null) ;;
esac

data_plane=libipsec
state="src 127.0.0.1 dst 127.0.0.1 proto esp spi 0x7784ffff"
if ip link add vpnhaprobe type xfrm if_id 2147483647 2>/dev/null; then
  ip link del vpnhaprobe
  # shellcheck disable=SC2086
  if ip xfrm state add $state mode tunnel aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128 2>/dev/null; then
    ip xfrm state del $state
    data_plane=xfrm
  fi
fi

configured=false
[ -e /etc/vpnha/agent.json ] && [ -x /opt/vpnha/venv/bin/python ] && configured=true
handed_over=false
[ -e /run/vpnha/handover ] && handed_over=true
code_unapplied=false
grep -qx /opt/vpnha/lib /run/vpnha/unapplied 2>/dev/null && code_unapplied=true

# another filter's "flush ruleset" takes ours away, and the unit that has loaded it stays active
filtered=false
nft list table inet vpnha >/dev/null 2>&1 && filtered=true

# systemd names a unit first, then its state, then whether it starts at boot
running=
replaceable=false
for line in $(systemctl show --property=Id,ActiveState,UnitFileState vpnha-dataplane.service frr.service \
  strongswan.service vpnha-agent.service vpnha-self-configure.service 2>/dev/null); do
  case $line in
    Id=*) unit=${line#*=} ;;
    ActiveState=*) state=${line#*=} ;;
    UnitFileState=enabled)
      [ "$state" = active ] && running="$running${running:+, }\"$unit\""
      [ "$unit" = vpnha-self-configure.service ] && replaceable=true
      ;;
  esac
done

printf '{"family": "%s", "id": "%s", "version": "%s", "data_plane": "%s", "configured": %s, "handed_over": %s, "code_unapplied": %s, "filtered": %s, ' \
  "$family" "$ID" "${VERSION_ID:-}" "$data_plane" "$configured" "$handed_over" "$code_unapplied" "$filtered"
printf '"running": [%s], "replaceable": %s, "packages": "%s"}\n' "$running" "$replaceable" "$packages"
