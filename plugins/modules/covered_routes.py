#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: covered_routes
short_description: Removes routes that others have made needless
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - For a site that goes over from a route for each prefix to a route for its prefix list, or back. While both kinds are
    in a route table, EC2 follows the routes for the prefixes.
  - Where the site is routed by its prefix list, a route to a prefix is removed if the list has that prefix and the
    route to the list leads to the same target. So no packet goes another way.
  - Where it is routed by its prefixes, the route to its list is removed if each of the list's entries has a route. A
    list of the deployment to which no route is left, and that no site wants, is deleted.
  - A route to a gateway of the deployment for what is not described any more, but is a part of a prefix that is, is
    removed if the described route leads to the same target. So is the route to the list of a site that is not described
    any more, as where a site has got another name, if described routes to the same target are for all its entries. EC2
    follows such routes first, and no monitor moves them.
  - Removes nothing else. What must stay is returned with the reason.
  - Monitors must know the prefix list before, or nobody looks after the route that remains. The playbook deploy sees to
    that.
extends_documentation_fragment:
  - vpnha.aws.deployment
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.gateway_network
    description: Makes the routes and the prefix lists.
"""

EXAMPLES = r"""
- name: See which routes are needless
  vpnha.aws.covered_routes:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
  check_mode: true
"""

RETURN = r"""
routes:
  description: Every route that stands beside another one for the same packets, in the order in which they go.
  returned: success
  type: list
  elements: dict
  contains:
    route_table_id:
      description: Id of the route table.
      type: str
      returned: always
    destination:
      description: IPv4 CIDR, IPv6 CIDR or id of the prefix list.
      type: str
      returned: always
    site:
      description: Site that the destination belongs to, or did.
      type: str
      returned: always
    target:
      description: What it leads to.
      type: str
      returned: always
    action:
      description: What was done, or in check mode would be; V(remove) or V(keep).
      type: str
      returned: always
    reason:
      description: Why it stays; empty if it does not.
      type: str
      returned: always
changes:
  description: What was changed, or in check mode would be, one sentence each.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.covered_routes import clear
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.network_worker import as_result


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"deployment": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    try:
        client = ec2.of_module(module, patient=True)
        cleared = clear(client, from_dict(module.params["deployment"]), check=module.check_mode)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    module.exit_json(routes=cleared.routes, **as_result(cleared.changes))


if __name__ == "__main__":
    main()
