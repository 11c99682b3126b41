#!/usr/bin/python3
"""A picture of what bench/run found: turnpike's and nginx's figures as ratios to HAProxy's, and the marks.

    bench/picture.py FILE bench/comparison.svg

FILE is that of `bench/run --json`. A row a figure that is compared: a bar for turnpike, a thin one for nginx,
a line where the other side is (1.0), a notch where the mark is, and a whisker for where the ratio lies with 95 %.
Figures with errors are said to be invalid and have no bar. The SVG stands by itself, and follows the light or
dark of who looks at it.
"""

import argparse
import json
import os
import sys
from xml.sax.saxutils import escape

import figures
from figures import ITSELF

WIDTH, ROW, HEAD = 860, 38, 92
LEFT, BARS, RIGHT = 320, 360, 180
AXIS_LEAST, AXIS_MOST = 1.25, 3.0

STYLE = """
.page { fill: #ffffff } text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .small { font-size: 11px; fill: #59636e }
.met { fill: #1a7f5a } .missed { fill: #bc4c00 } .other { fill: #9aa4af }
.one { stroke: #59636e; stroke-width: 1 } .mark { stroke: #1f2328; stroke-width: 2 }
.whisker { stroke: #1f2328; stroke-width: 1; opacity: .6 } .band { fill: #f3f5f7 }
.number { font-weight: 600 } .bad { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 }
.met { fill: #3fb27f } .missed { fill: #e0823d } .other { fill: #656c76 }
.one { stroke: #9198a1 } .mark { stroke: #e6edf3 } .whisker { stroke: #e6edf3 } .band { fill: #151b23 }
.bad { fill: #e0823d }
}
"""


def rows_of(results):
    """What there is to show: a dict a row, in the file's order of benches."""
    rows = []
    for bench, found in results.items():
        for fig in found["figures"]:
            if fig["of"] is None:
                continue
            rounds = found["rounds"]
            seen = figures.verdict(rounds, fig)
            if seen["state"] == "unmeasured":
                continue
            nginx = figures.ratios(rounds, "nginx", fig["of"], fig["key"])
            own = figures.values(rounds, "turnpike", fig["key"])
            rows.append({"bench": bench, "name": fig["name"], "mark": fig["mark"], "of": fig["of"], **seen,
                         "value": value_text(figures.median(own), fig) if own else "",
                         "nginx": figures.median(nginx) if nginx else None})
    return rows


def value_text(value, fig):
    if fig["of"] == ITSELF:
        return ""
    # Three digits are what a median of a few rounds is good for.
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return ("{:,.%df} %s" % (digits, fig["unit"])).format(value).strip()


def axis_end(rows):
    """The greatest ratio that the axis shows."""
    seen = [x for row in rows for x in (row.get("ratio"), row["mark"], row["nginx"]) if x is not None]
    return min(max([AXIS_LEAST] + [1.05 * x for x in seen]), AXIS_MOST)


def text(x, y, words, kind="", anchor="start"):
    return '<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>' % (x, y, kind, anchor, escape(words))


def line(x1, y1, x2, y2, kind):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (x1, y1, x2, y2, kind)


def bar(ratio, end, y, height, kind):
    """A bar that is longer than the axis ends in a point."""
    width = BARS * min(ratio, end) / end
    if ratio <= end:
        return '<rect x="%d" y="%.1f" width="%.1f" height="%d" rx="2" class="%s"/>' % (LEFT, y, width, height, kind)
    return '<path d="M%d %.1fh%.1fl8 %.1fl-8 %.1fh-%.1fz" class="%s"/>' % (
        LEFT, y, width, height / 2, height / 2, width, kind)


def compared(row):
    return "of " + figures.TITLE.get(row["of"], row["of"]) if row["of"] != "haproxy" else ""


def row_draw(row, y, end):
    def at(ratio):
        return LEFT + BARS * min(ratio, end) / end

    said = [text(LEFT - 12, y + 16, row["name"], anchor="end"),
            text(LEFT - 12, y + 30, ", ".join(filter(None, (row["bench"], compared(row)))), "small", "end")]
    if row["state"] == "invalid":
        return said + [text(LEFT + 8, y + 20, "invalid: %d errors" % row["errors"], "bad")]
    said.append(bar(row["ratio"], end, y + 6, 14, row["state"]))
    if row.get("interval"):
        said.append(line(at(row["interval"][0]), y + 13, at(row["interval"][1]), y + 13, "whisker"))
    if row["nginx"] is not None:
        said.append(bar(row["nginx"], end, y + 23, 5, "other"))
    if row["mark"] is not None and row["mark"] <= end:
        said.append(line(at(row["mark"]), y + 2, at(row["mark"]), y + 24, "mark"))
    said.append(text(LEFT + BARS + 16, y + 16, "%.2f" % row["ratio"],
                     "number" + (" bad" if row["state"] == "missed" else "")))
    said.append(text(LEFT + BARS + 56, y + 16, row["value"]))
    wanted = "" if row["mark"] is None else "at most %g" % row["mark"]
    nginx = "" if row["nginx"] is None else "nginx %.2f" % row["nginx"]
    said.append(text(LEFT + BARS + 16, y + 30, ", ".join(filter(None, (wanted, nginx))), "small"))
    return said


def ends(results):
    """On what it was measured: the machine of each bench, once."""
    lines = []
    for found in results.values():
        about = found["about"]
        words = "%s, %d cores, Linux %s; %s; rounds: %d of %g s" % (
            about["cpu"], about["cores"], about["linux"],
            ", ".join("%s %s" % pair for pair in about["versions"].items()), about["rounds"], about["seconds"])
        line_of = "%s: %s" % (about["date"], words)
        if line_of not in lines:
            lines.append(line_of)
    return lines


def draw(results):
    rows, about = rows_of(results), ends(results)
    if not rows:
        raise ValueError("nothing in it can be compared with HAProxy")
    end = axis_end(rows)
    height = HEAD + ROW * len(rows) + 20 + 16 * len(about)
    bottom = HEAD + ROW * len(rows)
    one = LEFT + BARS / end
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" '
             'aria-labelledby="title">' % (WIDTH, height, WIDTH, height),
             '<title id="title">turnpike beside HAProxy and nginx</title>',
             "<style>%s</style>" % STYLE, '<rect class="page" width="%d" height="%d"/>' % (WIDTH, height),
             text(20, 28, "What turnpike takes, as a ratio to HAProxy in the same run", "title"),
             text(20, 48, "Shorter is better. Thick: turnpike, with its till; thin: nginx. Upright strokes: the mark that "
                          "is wanted. Whiskers: 95 %.", "small"),
             text(one, HEAD - 12, "HAProxy = 1", "small", "middle")]
    for number, row in enumerate(rows):
        y = HEAD + ROW * number
        if number % 2 == 0:
            parts.append('<rect class="band" x="12" y="%d" width="%d" height="%d"/>' % (y, WIDTH - 24, ROW))
        parts += row_draw(row, y, end)
    parts.append(line(one, HEAD - 6, one, bottom, "one"))
    parts += [text(20, bottom + 20 + 16 * n, words, "small") for n, words in enumerate(about)]
    return "\n".join(parts + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="bench/picture.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("svg", metavar="SVG")
    options = parser.parse_args()
    try:
        with open(options.file) as f:
            picture = draw(json.load(f))
    except (AttributeError, KeyError, TypeError) as e:
        print("bench/picture.py: %s: not what bench/run --json writes: %s" % (options.file, e), file=sys.stderr)
        return 1
    except (OSError, ValueError) as e:
        print("bench/picture.py: %s: %s" % (options.file, e), file=sys.stderr)
        return 1
    with open(options.svg + ".tmp", "w") as f:
        f.write(picture)
    os.replace(options.svg + ".tmp", options.svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
