#!/usr/bin/env python3
"""Write texts.jsonl and text_questions.jsonl.gz: short biomedical texts, each in two wordings of our own.

Facts: names, synonyms and is_a chains of the Cell Ontology (CC BY 4.0); families, places and processes of human genes as make_proteins.py reads them from
STRING v12 (CC BY 4.0); what drugs treat or relieve from PharmacotherapyDB by Hetionet (CC0). No sentence of a source is copied.

Usage: python make_texts.py --data <folder with cells/, kg/> --out <folder with proteins.jsonl>
Needs the standard library; wording.py, protein_tables.py and make_proteins.py lie next to it.
"""
import argparse
import collections
import gzip
import re
from pathlib import Path

from make_proteins import named_facts, plural
from protein_tables import apart
from wording import a, capital, h, join, lines, pick, turn, write

CELLS, GENES, TEST_SHARE = 1000, 800, 0.12
OUT = "outside of the cell"


def the(name):
    """With its article, unless it is a proper name or stands in the plural."""
    return "the " + name


def cell_rows(terms):
    by_id = {t["id"]: t for t in terms}
    plain = lambda name: len(name) <= 60 and not re.search(r"[(){}\[\]]|, |obsolete|sensu|^CD\d", name)

    def up(term, seen=()):
        return [x for p in term["is_a"] if p in by_id and p not in seen for x in [p] + up(by_id[p], (*seen, p))]
    rows = []
    for t in sorted(terms, key=lambda t: h(t["id"], "cell")):
        parents = [by_id[p]["name"] for p in t["is_a"] if p in by_id and by_id[p]["name"] not in ("cell", "native cell", "eukaryotic cell", "animal cell")][:2]
        if not parents or not plain(t["name"]) or not all(map(plain, parents)):
            continue
        closure = set(up(t))
        first = next(p for p in t["is_a"] if p in by_id and by_id[p]["name"] == parents[0])
        above = [by_id[x]["name"] for x in up(by_id[first]) if by_id[x]["name"] not in ("cell", "native cell", "eukaryotic cell", "animal cell", "somatic cell")]
        above = [x for x in dict.fromkeys(above) if x not in parents and plain(x)][:1]
        called = [s for s in t["synonyms"] if plain(s) and s.lower() not in (t["name"].lower(), t["name"].lower() + "s") and 3 < len(s)][:1]
        if not called and not above:
            continue
        rows.append({"id": t["id"], "kind": "cell type", "name": t["name"], "facts": {"is_a": parents, "above": above, "synonyms": called}, "closure": {by_id[x]["name"] for x in closure},
                     "group": first, "siblings": [s["name"] for s in terms if s["is_a"] and set(s["is_a"]) & set(by_id[first]["is_a"]) and plain(s["name"])]})
    return rows[:CELLS]


def cell_words(r):
    f, name, key = r["facts"], r["name"], r["id"]
    parents, above, called = join([a(x) for x in f["is_a"]]), f["above"][0] if f["above"] else "", f["synonyms"][0] if f["synonyms"] else ""
    more = pick([f" It is also called {called}.", f" Another name for it is {called}.", f" Some call it {called}."], key, "syn") if called else ""
    up = pick([f", which makes it {a(above)} as well", f" and, one step further up, {a(above)}", f"; more widely it counts as {a(above)}"], key, "up") if above else ""
    text = pick([f"{capital(a(name))} is {parents}{up}.{more}", f"In the Cell Ontology {the(name)} is filed as {parents}{up}.{more}", f"The term {name} names {parents}{up}.{more}", f"Specialists see {the(name)} as {parents}{up}.{more}"], key, "text")
    alias = called or name
    wide = pick([f" and so among the wider group of {plural(above)}", f", within the wider group of {plural(above)}"], key, "wide") if above else ""
    other = pick([f"{capital(alias)}: one of the {plural(f['is_a'][0])}{wide}", f"Among {plural(f['is_a'][0])}{wide} we find {the(alias)}", f"{capital(the(alias))} belongs among the {plural(f['is_a'][0])}{wide}",
                  f"{capital(a(f['is_a'][0]))}{', ' + a(above) + ' in the wider sense,' if above else ''} known as {alias}"], key, "other")
    other += pick([f"; it is {a(f['is_a'][1])} too", f", and {a(f['is_a'][1])} besides"], key, "second") if len(f["is_a"]) > 1 else ""
    return text, other + "."


def gene_rows(genes, avoid):
    rows, per = [], collections.Counter()
    for g in sorted(genes, key=lambda g: h(g["gene"], "gene")):
        f = named_facts(g["text"])
        if g["id"] in avoid or not f["family"] or not (f["processes"] or f["partners"]) or per[f["family"]] >= 12 or not re.fullmatch(r"[A-Z0-9-]{2,10}", g["gene"]):
            continue
        per[f["family"]] += 1
        rows.append({"id": "gene:" + g["gene"], "kind": "gene", "name": g["gene"], "does": f["does"], "facts": {"family": f["family"], "class": f["kind"], "places": f["places"][:1], "processes": f["processes"][:2], "partners": f["partners"][:1]},
                     "group": "gene:" + g["gene"]})
    return rows[:GENES]


def gene_words(r, family=True):
    f, name, key = r["facts"], r["name"], r["id"]
    place = f["places"][0] if f["places"] else ""
    where = "" if not place else " outside of the cell" if place == OUT else f" in the {place}"
    tied = pick(["It takes part in {}.", "It matters for {}.", "Its work concerns {}."], key, "tied").format(join(f["processes"])) if f["processes"] else ""
    bound = pick(["It binds or uses {}.", "It works with {}."], key, "bound").format(f["partners"][0]) if f["partners"] else ""
    second = " ".join(x for x in (tied, bound) if x)
    if not family:
        return pick([f"The gene {name} encodes a protein{' that works' + where if where else ''}. {second}", f"From {name} a protein is made{', and it works' + where if where else ''}. {second}"], key, "bare")
    said = a(f["family"]) if f["class"].lower() in f["family"].lower() or f["family"].lower() in f["class"].lower() else f"{a(f['family'])}, {a(f['class'])}"
    text = pick([f"The gene {name} encodes {said}{' that works' + where if where else ''}. {second}", f"{name} is the gene of {said}{', found' + where if where else ''}. {second}",
                 f"The product of {name} is {a(f['family'])} that {r['does']}{'; it works' + where if where else ''}. {second}"], key, "text")
    other = pick([f"{capital(a(f['class']))}{' at work' + where if where else ''}, made from {name}, {r['does']}", f"What {name} codes for {r['does']}; it is one of the {plural(f['family'])}{' and acts' + where if where else ''}",
                  f"One of the {plural(f['family'])}, the {name} protein {r['does']}{where if where and where.strip() not in r['does'] else ''}"], key, "other")
    other += pick([f" and has to do with {join(f['processes'])}", f", with a part in {join(f['processes'])}"], key, "end") if f["processes"] else f", using {f['partners'][0]}"
    return text.strip(), other + "."


def drug_rows(nodes, edges):
    treats, eases = collections.defaultdict(list), collections.defaultdict(list)
    for source, relation, target, *_ in edges:
        if relation in ("treats", "palliates"):
            (treats if relation == "treats" else eases)[source].append(nodes[target]["name"])
    return [{"id": c, "kind": "drug", "name": nodes[c]["name"], "facts": {"treats": sorted(treats[c])[:4], "palliates": sorted(eases[c])[:3]}, "all": set(treats[c]) | set(eases[c]), "group": c}
            for c in sorted(set(treats) | set(eases), key=lambda c: h(c, "drug"))]


def drug_words(r):
    f, name, key = r["facts"], r["name"], r["id"]
    t, e = join(f["treats"]) if f["treats"] else "", join(f["palliates"]) if f["palliates"] else ""
    first = pick([f"{name} is used to treat {t}.", f"{name} is a medicine against {t}.", f"Physicians give {name} to treat {t}."], key, "text") if t else ""
    second = pick([f"{name if not t else 'It'} eases symptoms of {e} without treating the disease.", f"{'In ' + e + (' it' if t else ' ' + name)} only relieves symptoms."], key, "ease") if e else ""
    one = pick([f"Against {t} patients may be given {name}", f"The treatment of {t} can include {name}", f"For {t} there is {name} as a treatment"], key, "other") if t else ""
    two = pick([f"relief in {e} can come from {'it' if t else name}, not a cure", f"the signs of {e} are softened by {'it' if t else name}, not the cause"], key, "relief") if e else ""
    return " ".join(x for x in (first, second) if x), capital("; ".join(x for x in (one, two) if x)) + "."


MAYBE = ["Maybe; the text does not say.", "Maybe. The text leaves it open."]


class Asked:
    """Yes, no and maybe in equal numbers per kind of fact, all three asked with the same words; and what the text names."""

    def __init__(self, rows):
        self.out, self.turns = [], collections.Counter()
        side = lambda kind, which: [r for r in rows if r["kind"] == kind and r["split"] == which]
        self.diseases = {which: sorted({d for r in side("drug", which) for d in r["all"]}) for which in ("train", "test")}
        self.cells = {which: side("cell type", which) for which in ("train", "test")}
        self.classes = sorted({r["facts"]["class"] for r in rows if r["kind"] == "gene"})

    def add(self, r, kind, ask, answer, text):
        ask = pick([f"<text> {ask}", f"{ask} <text>", f"Read <text> and answer: {ask}"], r["id"], kind, "frame")
        self.out.append(turn(ask, answer, [["text", text]], group=r["group"], split=r["split"], kind=kind))

    def next(self, r):
        self.turns[r["kind"], r["split"]] += 1
        return ("yes", "no", "maybe")[(self.turns[r["kind"], r["split"]] - 1) % 3]

    def cell(self, r):
        f, key, name = r["facts"], r["id"], r["name"]
        away = [s for s in r["siblings"] if s not in r["closure"] and s != name and s not in f["is_a"]]
        want = self.next(r)
        want = "maybe" if want == "no" and not away else want
        text, wrong = r["text"], ""
        if want == "no" or (want == "yes" and away and h(key, "contrast") % 2):
            wrong = pick(away, key, "away")
            text += " " + pick([f"It is not filed under {wrong}.", f"The ontology does not place it under {wrong}."], key, "not")
        if want == "maybe":
            others = [o["facts"]["is_a"][0] for o in self.cells[r["split"]] if o["facts"]["is_a"][0] not in r["closure"] and o["facts"]["is_a"][0].lower() not in r["text"].lower()]
            x, answer = pick(others, key, "maybe"), pick(MAYBE, key)
        elif want == "no":
            x, answer = wrong, f"No, it is not {a(wrong)}."
        else:
            x = pick(f["is_a"] + f["above"], key, "asked")
            answer = f"Yes, it is {a(x)}."
        self.add(r, "is_a", pick([f"Is {a(name)} a kind of {x}?", f"Does {the(name)} count as {a(x)}?", f"According to the text, is {a(name)} {a(x)}?"], key, "ask"), answer, text)
        if h(key, "what") % 2:
            self.add(r, "what_is", pick([f"What is {a(name)}?", f"What kind of cell is {the(name)}?"], key, "what"), f"It is {a(f['is_a'][0])}.", r["text"])
        elif f["synonyms"]:
            self.add(r, "also_called", pick([f"What is {the(name)} also called?", f"Which other name does {the(name)} have?"], key, "syn"), f"It is also called {f['synonyms'][0]}.", r["text"])

    def gene(self, r):
        f, key, name = r["facts"], r["id"], r["name"]
        want = self.next(r)
        if want == "yes":
            x, answer = f["class"], f"Yes, {name} encodes {a(f['class'])}."
        elif want == "no":
            x, answer = pick([c for c in self.classes if apart(c, f["class"])], key, "class"), f"No, {name} encodes {a(f['class'])}."
        else:
            x, answer = pick(self.classes, key, "any"), pick(MAYBE, key)
        text = gene_words(r, family=False) if want == "maybe" else r["full"]
        self.add(r, "encodes", pick([f"Does {name} encode {a(x)}?", f"Is the product of {name} {a(x)}?"], key, "ask"), answer, text)
        if h(key, "family") % 2:
            self.add(r, "family", pick([f"What does {name} encode?", f"Which kind of protein comes from {name}?"], key, "fam"), f"It encodes {a(f['family'])}.", r["text"])

    def drug(self, r):
        f, key, name, side = r["facts"], r["id"], r["name"], r["split"]

        def treats(verdict, d, answer):
            self.turns[verdict, side] += 1
            self.add(r, "treats", pick([f"Does {name} treat {d}?", f"Is {name} a treatment of {d}?"], key, d), answer, r["text"])
        for d in f["palliates"][:1]:
            treats("no", d, f"No, it only eases symptoms of {d}.")
        # as many of the others as of no, the rarest
        if f["treats"] and self.turns["yes", side] <= self.turns["no", side]:
            d = pick(f["treats"], key, "d")
            treats("yes", d, f"Yes, it treats {d}.")
        if self.turns["maybe", side] <= self.turns["no", side]:
            treats("maybe", pick([d for d in self.diseases[side] if d not in r["all"]], key, "maybe"), pick(MAYBE, key))
        if f["treats"]:
            self.add(r, "what_treats", pick([f"What does {name} treat?", f"Against which disease is {name} given?"], key, "what"), f"It treats {join(f['treats'])}.", r["text"])


def question_rows(rows):
    asked = Asked(rows)
    for r in rows:
        {"cell type": asked.cell, "gene": asked.gene, "drug": asked.drug}[r["kind"]](r)
    return asked.out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cells/ and kg/")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    proteins = lines(args.out / "proteins.jsonl")
    held = {p["id"] for p in proteins if p["split"] == "test"} | {p.get("gene") for p in proteins if p["split"] == "test"}
    nodes = {n["id"]: n for n in lines(args.data / "kg" / "nodes.jsonl.gz")}
    with gzip.open(args.data / "kg" / "edges.tsv.gz", "rt", encoding="utf-8") as opened:
        edges = [line.rstrip("\n").split("\t") for line in opened][1:]
    genes = [g for g in lines(args.data / "cells" / "gene_descriptions.jsonl.gz") if g["gene"] not in held]
    rows = cell_rows(lines(args.data / "cells" / "cell_ontology.jsonl.gz")) + gene_rows(genes, held) + drug_rows(nodes, edges)
    sizes = collections.Counter((r["kind"], r["group"]) for r in rows)
    totals, taken, test = collections.Counter(r["kind"] for r in rows), collections.Counter(), set()
    for kind, group in sorted(sizes, key=lambda g: h(*g, "split")):
        if sizes[kind, group] <= 20 and taken[kind] + sizes[kind, group] <= TEST_SHARE * totals[kind]:
            taken[kind] += sizes[kind, group]
            test.add(group)
    for r in rows:
        r["split"] = "test" if r["group"] in test else "train"
        r["text"], r["paraphrase"] = {"cell type": cell_words, "gene": gene_words, "drug": drug_words}[r["kind"]](r)
        # the kind of protein is asked about, so it stands in the text that is asked about
        r["full"] = r["text"] if r["kind"] != "gene" or r["facts"]["class"] in r["text"] else r["text"] + f" It is {a(r['facts']['class'])}."
    seen, kept = set(), []
    for r in rows:
        if r["text"] not in seen and r["paraphrase"] not in seen:
            seen |= {r["text"], r["paraphrase"]}
            kept.append(r)
    write(args.out / "texts.jsonl", [{k: r[k] for k in ("id", "kind", "name", "text", "paraphrase", "facts", "group", "split")} for r in kept])
    asked = question_rows(kept)
    write(args.out / "text_questions.jsonl.gz", asked)
    print(collections.Counter((r["kind"], r["split"]) for r in kept))
    for key, n in sorted(collections.Counter((r["kind"], r["split"], r["messages"][1]["content"].split()[0].strip(",.;") if r["kind"] in ("is_a", "encodes", "treats") else "") for r in asked).items()):
        print(key, n)


if __name__ == "__main__":
    main()
