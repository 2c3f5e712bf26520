#!/usr/bin/env python3
"""Draws what a program printed as a terminal in SVG: picture.py TITLE < output > picture.svg

Lines are cut at 118 columns. Lines that are not indented are headings of the demo and are drawn brighter.
"""
import html
import sys

COLUMNS, SIZE, LEADING, MARGIN, BAR = 118, 13, 18, 16, 30


def main() -> None:
    title = sys.argv[1]
    lines = [line.rstrip("\n").expandtabs(4)[:COLUMNS] for line in sys.stdin]
    width = MARGIN * 2 + int(COLUMNS * SIZE * 0.602)
    height = BAR + MARGIN * 2 + LEADING * len(lines)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">')
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#0f1720"/>')
    for i, colour in enumerate(("#f0616d", "#f3bf56", "#58c878")):
        print(f'<circle cx="{20 + 18 * i}" cy="16" r="5" fill="{colour}"/>')
    style = f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="{SIZE}"'
    print(f'<text x="{width // 2}" y="20" text-anchor="middle" fill="#8fa3b5" {style}>{html.escape(title)}</text>')
    print(f'<g {style} xml:space="preserve">')
    for i, line in enumerate(lines):
        heading = line[:1] not in ("", " ")
        colour, weight = ("#ffffff", ' font-weight="600"') if heading else ("#b9c7d3", "")
        y = BAR + MARGIN + LEADING * (i + 1) - 5
        print(f'<text x="{MARGIN}" y="{y}" fill="{colour}"{weight}>{html.escape(line)}</text>')
    print("</g></svg>")


main()
