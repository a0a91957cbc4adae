#!/usr/bin/env python3
"""Check the files of this folder and print the table of their questions. Ends with an error at the first thing that is wrong.

Usage: python check_pocket.py [folder of the files] [--data <folder of the sources>]
With --data it also looks for sentences taken over from the sources: no run of nine words of ours may stand in theirs, names aside.
Standard library only; what is in cells.h5ad is checked where anndata is installed.
"""
import argparse
import collections
import re
from pathlib import Path

from wording import lines

RECORDS = {"proteins.jsonl": "seq", "texts.jsonl": "text"}
QUESTIONS = ["protein_questions.jsonl.gz", "cell_questions.jsonl.gz", "text_questions.jsonl.gz", "pairs.jsonl.gz"]
LARGEST = 14_200_000


def need(condition, message):
    if not condition:
        raise SystemExit(f"check_pocket: {message}")


def apart(name, rows):
    sides = collections.defaultdict(set)
    for row in rows:
        sides[row["split"]].add(row["group"])
    shared = sides["train"] & sides["test"]
    need(not shared, f"{name}: group {sorted(shared)[:1]} is on both sides")
    need({"train", "test"} <= set(sides) <= {"train", "test", "test_molecule", "test_protein"}, f"{name}: sides {sorted(sides)}")


def grammar(name, text):
    need(not re.search(r"  |\{|\}| ,| \.|\.\.|\ba (?:a|an|the)\b|\ban? an?\b|\b(the|of|and|is|it|in|that|to|for|with) \1\b", text), f"{name}: {text!r}")
    need(text[0].isupper() or text[0].isdigit() or text[0] == "<", f"{name}: begins small: {text!r}")


def check_records(folder):
    for name, field in RECORDS.items():
        rows = lines(folder / name)
        for unique in ("id", field, "text"):
            twice = [k for k, n in collections.Counter(r[unique] for r in rows).items() if n > 1]
            need(not twice, f"{name}: {unique} {twice[:1]} stands twice")
        apart(name, rows)
        words = [len(r["text"].split()) for r in rows]
        print(f"{name}: {len(rows)} rows, {collections.Counter(r['split'] for r in rows)}, words {min(words)}-{max(words)}, mean {sum(words) / len(words):.1f}")


def verdict(answer):
    """Yes, no and maybe by themselves; any other answer whole."""
    first = re.split(r"[,.;]", answer)[0]
    return first if first in ("Yes", "No", "Maybe") else answer


def guess(rows, side):
    """Share of the answers that a guesser gets right who knows the answers of train to the words of a question, but sees no record."""
    seen = collections.defaultdict(collections.Counter)
    words = lambda r: re.sub(r"<\w+>", "", r["messages"][0]["content"])
    for r in rows:
        if r["split"] == "train":
            for key in (words(r), ""):
                seen[key][verdict(r["messages"][1]["content"])] += 1
    asked = [r for r in rows if r["split"] == side]
    return sum(seen.get(words(r), seen[""]).most_common(1)[0][0] == verdict(r["messages"][1]["content"]) for r in asked) / max(len(asked), 1)


def check_questions(folder):
    for name in QUESTIONS:
        rows = lines(folder / name)
        apart(name, rows)
        key = lambda r: (r["messages"][0]["content"], str(r["records"]))
        twice = [k for k, n in collections.Counter(map(key, rows)).items() if n > 1]
        need(not twice, f"{name}: a question stands twice: {twice[:1]}")
        by = collections.defaultdict(list)
        for r in rows:
            user, answer = r["messages"][0]["content"], r["messages"][1]["content"]
            need(sorted(re.findall(r"<(\w+)>", user)) == sorted(k for k, _ in r["records"]), f"{name}: placeholders of {user!r}")
            need([k for k, _ in r["records"]] == re.findall(r"<(\w+)>", user), f"{name}: order of the records of {user!r}")
            need(answer.endswith("."), f"{name}: {answer!r}")
            by[r["kind"]].append(r)
        for kind, some in sorted(by.items()):
            for side in ("train", "test"):
                first = collections.Counter(re.split(r"[,.;]", r["messages"][1]["content"])[0] for r in some if r["split"] == side)
                told = [first[x] for x in ("Yes", "No", "Maybe") if first[x]]
                if len(told) > 1 and sum(told) == sum(first.values()):
                    need(max(told) <= 0.55 * sum(told), f"{name} {kind} {side}: {first}")
            n = collections.Counter(r["split"] for r in some)
            print(f"| `{name}` | `{kind}` | {n['train']:,} | {n['test']:,} | {len({r['messages'][1]['content'] for r in some})} | {guess(some, 'test'):.0%} |")


def runs(text, n):
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {" ".join(words[i:i + n]) for i in range(len(words) - n + 1)}


def check_sources(folder, data, n=9):
    theirs = set()
    for path in ("proteins/human.jsonl.gz", "proteins/enzymes.jsonl.gz", "cells/cell_ontology.jsonl.gz", "cells/gene_descriptions.jsonl.gz", "text/pubmedqa.jsonl.gz"):
        for row in lines(data / path):
            for field in ("text", "context", "question", "long_answer"):
                theirs |= runs(row.get(field) or "", n)
    for name in RECORDS:
        for row in lines(folder / name):
            plain = row["text"]
            for fact in [row.get("name", "")] + [x for v in row["facts"].values() for x in (v if isinstance(v, list) else [v]) if isinstance(x, str)]:
                plain = plain.replace(fact, " @ ") if len(re.findall(r"\w+", fact)) > 4 else plain
            for part in plain.split("@"):
                common = runs(part, n) & theirs
                need(not common, f"{name}: {row['id']}: {sorted(common)[:1]} stands in a source")
    print(f"no run of {n} words is shared with the sources")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    check_records(args.folder)
    print("| file | kind | train | test | answers | guessing by the question alone, test |\n|---|---|---|---|---|---|")
    check_questions(args.folder)
    for name in RECORDS:
        for row in lines(args.folder / name):
            for field in ("text", "paraphrase"):
                if field in row:
                    grammar(name, row[field])
    for name in QUESTIONS:
        for row in lines(args.folder / name):
            grammar(name, re.sub(r"(?<=\w)<|>(?=\w)", " ", row["messages"][0]["content"]))
            grammar(name, row["messages"][1]["content"])
    total = sum(p.stat().st_size for p in args.folder.iterdir() if p.suffix in (".jsonl", ".gz", ".h5ad"))
    need(total <= LARGEST, f"{total:,} bytes")
    print(f"{total:,} bytes of data")
    if args.data:
        check_sources(args.folder, args.data)


if __name__ == "__main__":
    main()
