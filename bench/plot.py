"""Draws docs/sizes.svg: for each kind of request the median and the 99th percentile, in the small and in the large database."""

import html
import math

LEFT, RIGHT, ROW, TOP = 372, 876, 19, 74
LEAST, MOST = 0.1, 5_000.0
STYLE = """text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2933; }
    .name { font-weight: 600; }
    .small { font-size: 11.5px; fill: #52606d; }
    .grid { stroke: #dde3e9; }
    .few { fill: #ffffff; stroke: #5b93c4; stroke-width: 1.6; }
    .fewer { stroke: #5b93c4; stroke-width: 1.4; }
    .many { fill: #c4707f; stroke: #c4707f; stroke-width: 1.6; }
    .more { stroke: #c4707f; stroke-width: 1.4; }"""


def place(milliseconds):
    share = math.log(max(min(milliseconds, MOST), LEAST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (RIGHT - LEFT)


def draw(results, few, many):
    """The text of the file. `results` are those of kinds.py; `few` and `many` name the two databases."""
    height = TOP + ROW * len(results) + 18
    title = f"Milliseconds of each kind of request, with {few} and with {many}: median and 99th percentile"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" width="900" height="{height}" role="img" aria-labelledby="title">',
             f'  <title id="title">{html.escape(title)}</title>', f"  <style>\n    {STYLE}\n  </style>",
             f'  <rect width="900" height="{height}" rx="8" fill="#fbfcfd"/>']
    for way, dot, line, y, text in (("few", "few", "fewer", 22, few), ("many", "many", "more", 40, many)):
        parts.append(f'  <line class="{line}" x1="22" y1="{y - 4}" x2="52" y2="{y - 4}"/><circle class="{dot}" cx="22" cy="{y - 4}" r="4"/>')
        parts.append(f'  <text class="small" x="62" y="{y}">{html.escape(text)}: from the median to 99 %</text>')
    for power in (0.1, 1, 10, 100, 1000):
        x = place(power)
        parts.append(f'  <line class="grid" x1="{x:.1f}" y1="{TOP - 12}" x2="{x:.1f}" y2="{height - 14}"/>')
        parts.append(f'  <text class="small" x="{x:.1f}" y="{TOP - 18}" text-anchor="middle">{power:g} ms</text>')
    limit = place(2000)
    parts.append(f'  <line class="grid" x1="{limit:.1f}" y1="{TOP - 12}" x2="{limit:.1f}" y2="{height - 14}" stroke-dasharray="4 3"/>')
    parts.append(f'  <text class="small" x="{limit:.1f}" y="{TOP - 32}" text-anchor="middle">503 after 2 s</text>')
    for number, (name, databases) in enumerate(results.items()):
        y = TOP + ROW * number + 4
        parts.append(f'  <text class="small" x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{html.escape(name.replace("`", ""))}</text>')
        for figures, dot, line, shift in zip(databases, ("few", "many"), ("fewer", "more"), (-3, 3)):
            x, end = place(figures["median"]), place(figures["p99"])
            parts.append(f'  <line class="{line}" x1="{x:.1f}" y1="{y + shift}" x2="{end:.1f}" y2="{y + shift}"/>'
                         f'<circle class="{dot}" cx="{x:.1f}" cy="{y + shift}" r="3"/>')
    return "\n".join([*parts, "</svg>", ""])
