"""A picture of what a terminal shows, as SVG: text stays text, and a page of colours is some kilobytes.

    tmux capture-pane -e -p | python3 tests/page/terminal.py [COLUMNS] >docs/demo.svg

Reads lines with colours as ECMA-48 has them (SGR), of which it knows bold, faint and the eight colours, which is what this program
writes.
"""

import html
import re
import sys

WIDTH, HEIGHT, EDGE = 8.43, 19, 16
COLOURS = {30: "#3b4252", 31: "#e06c75", 32: "#98c379", 33: "#e5c07b", 34: "#61afef", 35: "#c678dd", 36: "#56b6c2", 37: "#d8dee9"}
CODE = re.compile(r"\x1b\[([\d;]*)([A-Za-z])")


def runs(line, style):
    """Pieces of a line, each with the style that holds; and the style that holds behind it."""
    found, at = [], 0
    for code in CODE.finditer(line):
        if code.start() > at:
            found.append((line[at:code.start()], dict(style)))
        at = code.end()
        if code[2] != "m":
            continue
        # One of the first eight colours by its number says what its own code says.
        for number in [int(part or 0) for part in re.sub(r"38;5;([0-7])(?!\d)", r"3\1", code[1]).split(";")]:
            if number == 0:
                style = {}
            elif number == 1:
                style = {**style, "font-weight": "bold"}
            elif number == 2:
                style = {**style, "opacity": "0.6"}
            elif number == 22:
                style = {name: value for name, value in style.items() if name not in ("font-weight", "opacity")}
            elif number == 39:
                style = {name: value for name, value in style.items() if name != "fill"}
            elif number in COLOURS:
                style = {**style, "fill": COLOURS[number]}
    if at < len(line):
        found.append((line[at:], dict(style)))
    return found, style


def picture(lines, columns):
    """The whole of it."""
    rows, style = [], {}
    for number, line in enumerate(lines):
        pieces, style = runs(line, style)
        column, spans = 0, []
        for text, of_it in pieces:
            if text.strip():
                named = "".join(f' {name}="{value}"' for name, value in sorted(of_it.items()))
                spans.append(f'<tspan x="{EDGE + column * WIDTH:.1f}" textLength="{len(text) * WIDTH:.1f}"{named}>{html.escape(text)}</tspan>')
            column += len(text)
        if spans:
            rows.append(f'<text y="{EDGE + (number + 1) * HEIGHT - 5}" xml:space="preserve">{"".join(spans)}</text>')
    width, height = columns * WIDTH + 2 * EDGE, len(lines) * HEIGHT + 2 * EDGE
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">',
        f'<rect width="100%" height="100%" rx="8" fill="#1e222a"/>',
        '<g fill="#d8dee9" font-size="14" font-family="ui-monospace, SFMono-Regular, Menlo, DejaVu Sans Mono, monospace">',
        *rows, "</g>", "</svg>", ""])


def main():
    """Of standard input, without the empty lines at its end."""
    lines = sys.stdin.read().rstrip().split("\n")
    longest = max(len(CODE.sub("", line)) for line in lines)
    sys.stdout.write(picture(lines, int(sys.argv[1]) if len(sys.argv) > 1 else longest))


main()
