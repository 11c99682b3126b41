"""Figures out of rounds: medians, ratios, their intervals, marks, tables.

What a bench found is a dict, and so it goes into the JSON file:

    title     a sentence
    figures   [figure()]: what of it is shown, and which mark is wanted of turnpike
    rounds    [{peer: {key: number, "errors": count}}]
    says      [further sentences, such as what TLS agreed on]

Errors of a peer, in any round, make all its figures invalid, and every ratio to them.
"""

import random
import statistics
import subprocess
import sys

from machine import note

SEED = 20261130
RESAMPLES = 2000
ITSELF = "itself"


def figure(key, name, unit, mark=None, of="haproxy", form="%.1f"):
    """of: the peer that it is compared with; ITSELF when the number is a ratio by itself."""
    return {"key": key, "name": name, "unit": unit, "mark": mark, "of": of, "form": form}


def median(values):
    return statistics.median(values) if values else float("nan")


def interval(values, seed=SEED):
    """Between which two numbers their median is, with 95 %, by drawing again; None for fewer than three."""
    if len(values) < 3:
        return None
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975) - 1]


def rounds_run(peers, one, rounds, warm=True):
    """[{peer: what one(peer) measured}], after a round that does not count unless warm is false."""
    found = []
    for number in range(0 if warm else 1, rounds + 1):
        this = {}
        for peer in peers:
            try:
                this[peer.name] = one(peer)
            except (RuntimeError, OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError,
                    ZeroDivisionError) as e:
                note("%s: %s" % (peer.name, e))
                this[peer.name] = {"errors": 1, "failed": str(e)}
        note("round %d: %s" % (number, this))
        if number > 0:
            found.append(this)
    return found


def names(rounds):
    found = []
    for one in rounds:
        found += [name for name in one if name not in found]
    return found


def errors(rounds, peer):
    return sum(one[peer].get("errors", 0) for one in rounds if peer in one)


def values(rounds, peer, key):
    return [one[peer][key] for one in rounds if peer in one and key in one[peer]]


def ratios(rounds, peer, other, key):
    """Of each round in which both were measured; [] when either is invalid. other ITSELF: the values."""
    if errors(rounds, peer) or (other != ITSELF and errors(rounds, other)):
        return []
    if other == ITSELF:
        return values(rounds, peer, key)
    return [one[peer][key] / one[other][key] for one in rounds
            if peer in one and other in one and key in one[peer] and one[other].get(key, 0) > 0]


def spread(rounds, peer, key, form="%.1f"):
    found = values(rounds, peer, key)
    if errors(rounds, peer):
        return "invalid"
    if not found:
        return ""
    return (form % median(found)) + " (%s…%s)" % (form % min(found), form % max(found))


def ratio_text(found):
    if not found:
        return ""
    ratio = median(found)
    return "1/%.0f" % (1 / ratio) if 0 < ratio < 0.1 else "%.2f" % ratio


def verdict(rounds, fig, peer="turnpike"):
    """The ratio that the mark is set against, with its interval; "state": met, missed, invalid or unmeasured."""
    found = ratios(rounds, peer, fig["of"], fig["key"])
    bad = errors(rounds, peer) + (errors(rounds, fig["of"]) if fig["of"] != ITSELF else 0)
    if not found:
        return {"state": "invalid" if bad else "unmeasured", "errors": bad}
    ratio = median(found)
    state = "met" if fig["mark"] is None or ratio <= fig["mark"] else "missed"
    return {"state": state, "ratio": ratio, "interval": interval(found), "errors": 0}


def against(found, fig):
    """With whom the table compares: with the one of the mark, and where there is room with nginx and Portkey."""
    others = ("nginx", "portkey") if sum(f["of"] == fig["of"] for f in found["figures"]) == 1 else ()
    return [fig["of"]] + [n for n in others if n in names(found["rounds"]) and n != fig["of"]]


TITLE = {"haproxy": "HAProxy", "portkey": "Portkey", "bare": "that without its till", ITSELF: "that without"}


def table(title, header, rows):
    print("\n### %s\n" % title)
    print("| " + " | ".join(header) + " |")
    print("|" + "|".join("---" if i == 0 else "--:" for i in range(len(header))) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    sys.stdout.flush()


def mark_text(fig):
    return " (at most %g)" % fig["mark"] if fig["mark"] is not None else ""


def show(found):
    """The table of a bench: a line a peer, its errors last."""
    rounds = found["rounds"]
    header, cells = ["proxy"], {name: [name] for name in names(rounds)}
    for fig in found["figures"]:
        own = ", of that without" + mark_text(fig) if fig["of"] == ITSELF else ""
        header.append((fig["name"] + " " + fig["unit"]).strip() + own)
        for name, row in cells.items():
            row.append(spread(rounds, name, fig["key"], fig["form"]))
        if fig["of"] in (None, ITSELF):
            continue
        for other in against(found, fig):
            header.append("of " + TITLE.get(other, other) + (mark_text(fig) if other == fig["of"] else ""))
            for name, row in cells.items():
                row.append(ratio_text(ratios(rounds, name, other, fig["key"])))
    header.append("errors")
    for name, row in cells.items():
        row.append(errors(rounds, name))
    table(found["title"], header, list(cells.values()))
    for sentence in found.get("says", ()):
        print("\n" + sentence)


def marks_show(results):
    """All marks of all benches, and what came of them; how many figures are invalid."""
    rows, invalid = [], 0
    for name, found in results.items():
        bad = [peer for peer in names(found["rounds"]) if errors(found["rounds"], peer)]
        invalid += len(bad)
        for fig in found["figures"]:
            if fig["mark"] is None:
                continue
            seen = verdict(found["rounds"], fig)
            ends = seen.get("interval")
            rows.append([name, fig["name"], TITLE.get(fig["of"], fig["of"]),
                         "%g" % fig["mark"], "%.3f" % seen["ratio"] if "ratio" in seen else "",
                         "%.3f…%.3f" % ends if ends else "", seen["state"]])
    if rows:
        table("Marks: turnpike's ratio, and between which two it is with 95 %% (drawn again %d times, seed %d)"
              % (RESAMPLES, SEED), ["bench", "figure", "of", "at most", "is", "interval", ""], rows)
    return invalid
