# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a drill's report: HTML, style and SVG as one Jinja2 template.

It stands in a Python file because Ansible carries no other files to where a module runs.
"""

from __future__ import annotations

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Failover drill of {{ report.deployment }}</title>
<style>
:root { --bg: #fff; --fg: #1d2733; --soft: #5d6b7a; --line: #dfe5ec; --card: #f7f9fb; --ok: #1a7f4b; --bad: #c62f2f;
  --pass: #bfe3cd; --out: #e8833a; --return: #8457c5; --lost: #c62f2f; --detect: #d9a521; --swap: #3b7dd8;
  --propagation: #4fa3a5; --shade: #f6ecec; }
@media (prefers-color-scheme: dark) { :root { --bg: #12171d; --fg: #e3e9ef; --soft: #97a5b3; --line: #2b3540;
  --card: #1a2129; --ok: #4cc38a; --bad: #ff7b72; --pass: #1f4a35; --shade: #2a2022; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); max-width: 1020px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; }
h3 { font-size: .95rem; margin: 1.3rem 0 .2rem; color: var(--soft); font-weight: 600; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.verdict { border-left: 5px solid var(--bad); background: var(--card); padding: .7rem 1rem; margin: 1rem 0; }
.verdict.passed { border-color: var(--ok); }
.yes { color: var(--ok); font-weight: 600; } .no { color: var(--bad); font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } svg { width: 100%; min-width: 700px; height: auto; display: block; }
svg text { font: 11px system-ui, sans-serif; fill: var(--fg); } svg .soft { fill: var(--soft); }
svg .axis { stroke: var(--line); } svg .pass { fill: var(--pass); } svg .shade { fill: var(--shade); }
svg .out { fill: var(--out); } svg .return { fill: var(--return); } svg .lost { fill: var(--lost); }
svg .detect { fill: var(--detect); } svg .swap { fill: var(--swap); } svg .propagation { fill: var(--propagation); }
svg .return-path { fill: var(--return); } svg .handover { fill: var(--propagation); }
svg .unexplained { fill: var(--soft); }
svg .inbar { fill: #fff; font-weight: 600; } svg .number { fill: #fff; font-size: 9px; font-weight: 600; }
svg .marker { stroke-width: 1; stroke-dasharray: 2 2; } svg .drill { fill: var(--fg); stroke: var(--fg); }
svg .monitor { fill: var(--swap); stroke: var(--swap); } svg .drill.dot + .number { fill: var(--bg); }
.dot { display: inline-block; min-width: 1.3em; border-radius: .7em; text-align: center; font-size: .75rem; color: #fff;
  background: var(--swap); } .dot.drill { background: var(--fg); color: var(--bg); }
.key span { display: inline-block; margin-right: 1.2em; white-space: nowrap; font-size: .85rem; color: var(--soft); }
.key i { display: inline-block; width: 1em; height: .7em; margin-right: .4em; }
</style>
</head>
<body>
<h1>Failover drill of {{ report.deployment }}</h1>
<p class="soft">{{ report.started | moment }} to {{ report.ended | moment }}, drill {{ report.drill }}</p>
<div class="verdict{{ ' passed' if report.passed }}">
  <strong class="{{ 'yes' if report.passed else 'no' }}">{{ 'Passed' if report.passed else 'Failed' }}.</strong>
  {{ verdict }}
</div>
{% if scenarios %}
<div class="wide"><table>
<tr><th>scenario</th><th>broken</th><th class="n">outage ms</th><th class="n">worst ms</th><th class="n">limit ms</th>
<th class="n">lost / sent</th><th class="n">lost at failback</th><th class="n">in clear</th><th>verdict</th></tr>
{% for one in scenarios %}
<tr><td><a href="#{{ one.name }}">{{ one.name }}</a></td><td>{{ one.gateway }}</td>
<td class="n">{{ one.outage_ms | number }}</td><td class="n">{{ one.worst_outage_ms | number }}</td>
<td class="n">{{ one.limit_ms | number }}</td><td class="n">{{ one.packets_lost }} / {{ one.packets_sent }}</td>
<td class="n">{{ one.failback_lost | number }}</td><td class="n">{{ one.plaintext_packets | number }}</td>
<td class="{{ 'yes' if one.passed else 'no' }}">{{ 'passed' if one.passed else 'failed' }}</td></tr>
{% endfor %}
</table></div>
<p class="soft">An outage is the longest run of packets without an answer, seen by an application host; it is counted
in sequence numbers. Packets are those of the stream that lost most. "In clear" counts packets of a site that left a
gateway unencrypted (- where nothing counted them).</p>
{% endif %}
{% for one in scenarios %}
<h2 id="{{ one.name }}">{{ one.name }}</h2>
{% for problem in one.problems %}
<p class="no">{{ problem }}</p>
{% endfor %}
{% for picture in one.pictures %}
<h3>{{ picture.title }}</h3>
<div class="wide">{{ drawing(picture) }}</div>
{% endfor %}
{% if one.pictures %}
<p class="key"><span><i style="background: var(--pass)"></i>answered</span>
<span><i style="background: var(--out)"></i>lost on the way out</span>
<span><i style="background: var(--return)"></i>answer lost on the way back</span>
<span><i style="background: var(--lost)"></i>lost, way not known</span>
<span><i style="background: var(--shade)"></i>failure in place</span></p>
{% endif %}
<h3>Phases</h3>
{% if one.swap_ms is none and one.outage_ms %}
<p class="soft">No route was moved: the gateways handed the traffic over by themselves.</p>
{% endif %}
<div class="wide"><table>
<tr><th>run</th><th class="n">outage ms</th><th class="n">detect ms</th><th class="n">swap ms</th>
<th class="n">propagation ms</th><th class="n">return path ms</th><th class="n">lost at failback</th>
<th>verdict</th></tr>
{% for run in one.runs %}
<tr><td>{{ loop.index }}</td><td class="n">{{ run.outage_ms | number }}</td>
<td class="n">{{ run.detect_ms | number }}</td>
<td class="n">{{ run.swap_ms | number }}</td><td class="n">{{ run.propagation_ms | number }}</td>
<td class="n">{{ run.return_path_ms | number }}</td><td class="n">{{ run.failback_lost | number }}</td>
<td class="{{ 'yes' if run.passed else 'no' }}">{{ 'passed' if run.passed else 'failed' }}</td></tr>
{% endfor %}
</table></div>
{% if one.runs | length > 1 %}
<p class="soft">The pictures and events are those of the run with the longest outage.</p>
{% endif %}
{% if one.moments %}
<h3>What happened</h3>
<div class="wide"><table>
<tr><th></th><th class="n">ms</th><th>who</th><th>what</th></tr>
{% for moment in one.moments %}
<tr><td><span class="dot {{ moment.kind }}">{{ moment.number }}</span></td><td class="n">{{ moment.ms | number }}</td>
<td>{{ 'drill' if moment.kind == 'drill' else (moment.monitor or 'monitor') }}</td>
<td>{% if moment.code %}<strong>{{ moment.code }}</strong> {{ moment.subject }}: {% endif %}{{ moment.text }}</td></tr>
{% endfor %}
</table></div>
{% endif %}
{% endfor %}
{% if report.environment %}
<h2>Where this was measured</h2>
<table>
{% for key, value in report.environment.items() %}
<tr><th>{{ key | replace('_', ' ') }}</th><td>{{ value }}</td></tr>
{% endfor %}
{% if report.deploy_seconds is not none %}
<tr><th>deploy seconds</th><td>{{ report.deploy_seconds }}</td></tr>
{% endif %}
</table>
{% endif %}
</body>
</html>
"""

DRAWING = """\
<svg viewBox="0 0 {{ width }} {{ picture.height }}" role="img" aria-label="{{ picture.title }}">
{% if picture.shade %}
<rect class="shade" x="{{ picture.shade.x }}" y="34" width="{{ picture.shade.width }}"
 height="{{ picture.axis_y - 34 }}"/>
{% endif %}
{% for x, label in picture.ticks %}
<line class="axis" x1="{{ x }}" x2="{{ x }}" y1="34" y2="{{ picture.axis_y }}"/>
<text class="soft" x="{{ x }}" y="{{ picture.axis_y + 14 }}" text-anchor="middle">{{ label }}</text>
{% endfor %}
{% for row in picture.rows %}
<text x="{{ left - 8 }}" y="{{ row.y + 11 }}" text-anchor="end">{{ row.label }}</text>
{% if row.strip %}
<rect class="pass" x="{{ left }}" y="{{ row.y }}" width="{{ right - left }}" height="{{ bar }}"/>
{% endif %}
{% for box in row.boxes %}
<rect class="{{ box.kind }}" x="{{ box.x }}" y="{{ row.y }}" width="{{ box.width }}" height="{{ bar }}"
><title>{{ box.title }}</title></rect>
{% if box.label %}
<text class="inbar" x="{{ box.x + box.width / 2 }}" y="{{ row.y + 11 }}" text-anchor="middle">{{ box.label }}</text>
{% endif %}
{% endfor %}
{% endfor %}
{% for marker in picture.markers %}
<line class="marker {{ marker.kind }}" x1="{{ marker.x }}" x2="{{ marker.x }}" y1="{{ marker.y }}"
 y2="{{ picture.axis_y }}"/>
<circle class="dot {{ marker.kind }}" cx="{{ marker.x }}" cy="{{ marker.y }}" r="7"/>
<text class="number" x="{{ marker.x }}" y="{{ marker.y + 3 }}" text-anchor="middle">{{ marker.number }}</text>
{% endfor %}
</svg>
"""
