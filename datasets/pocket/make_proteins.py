#!/usr/bin/env python3
"""Write proteins.jsonl and protein_questions.jsonl.gz: real proteins, described in our own words.

Facts are read by rule (protein_tables.py) from names and annotations of STRING v12 (human proteins, CC BY 4.0) and from the EC numbers of CARE
(MIT; UniProt CC BY 4.0), or computed from the sequence. No sentence of a source is copied: each is built here from facts, the wording being picked by
a hash of the id, so two runs give the same bytes.

Usage: python make_proteins.py --data <folder with proteins/ and kg/> --out .
Needs the standard library; protein_tables.py, protein_questions.py and wording.py lie next to it.
"""
import argparse
import collections
import re
from pathlib import Path

from protein_tables import EC_CLASS, EC_DOES, EC_KIND, EC_NAME, EC_NOT, EC_SUB, FAMILIES, MOTIFS, PARTNER, PARTNER_IS_MEMBER, PARTNERS, PLACES, PROCESSES, RICH
from protein_questions import questions
from wording import a, capital, h, join, lines, number, pick, write

MAX_LENGTH, SHARED, TEST_SHARE, MAX_TEST_CLUSTER = 600, 0.3, 0.13, 25
HYDROPATHY = dict(zip("IVLFCMAGTSWYPHEQDNKR", [4.5, 4.2, 3.8, 2.8, 2.5, 1.9, 1.8, -0.4, -0.7, -0.8, -0.9, -1.3, -1.6, -3.2, -3.5, -3.5, -3.5, -3.5, -3.9, -4.5]))  # Kyte and Doolittle 1982


def stretches(seq):
    """Starts of the hydrophobic stretches: windows of 19 residues with a mean hydropathy above 1.6, not overlapping, best of each run."""
    values = [HYDROPATHY.get(x, 0.0) for x in seq]
    found, i = [], 0
    while i + 19 <= len(values):
        if sum(values[i:i + 19]) / 19 > 1.6:
            found.append(i)
            i += 25
        else:
            i += 1
    return found


def sequence_facts(seq):
    runs = stretches(seq)
    signal = bool(runs) and runs[0] < 12 and "K" not in seq[runs[0] + 2:runs[0] + 14]
    motifs = {}
    for pattern, least, name in MOTIFS:
        n = len(re.findall(f"(?={pattern})", seq))
        if n >= least:
            motifs[name] = n
    rich = sorted((c for c in RICH if seq.count(c) / len(seq) >= RICH[c][0]), key=lambda c: -seq.count(c) / len(seq) / RICH[c][0])
    charge = (seq.count("K") + seq.count("R") - seq.count("D") - seq.count("E")) / len(seq)
    return {"length": len(seq), "hydrophobic": len(runs), "signal": signal, "motifs": motifs, "rich": [RICH[c][1] for c in rich[:2]],
            "charge": "basic" if charge > 0.045 else "acidic" if charge < -0.045 else ""}


def named_facts(text):
    """What the name and the annotation of a human protein say, by the closed lists."""
    text = re.sub(r"\(by similarity\)|\[\.\.\.\]", "", text, flags=re.I)
    name, rest = (text.split(";", 1) + [""])[:2]
    name = name.strip().rstrip(".")
    belongs = " ".join(re.findall(r"[Bb]elongs to (.*)", text))
    key = f"{name} ; {belongs}".lower()
    facts = {"name": name, "family": "", "kind": "", "does": "", "places": [], "processes": [], "partners": [], "ec_class": ""}
    for pattern, family, kind, does, place in FAMILIES:
        if re.search(pattern, key) and (family in PARTNER_IS_MEMBER or not re.search(PARTNER, name.lower())):
            facts |= {"family": family, "kind": kind, "does": does, "places": [place] if place else []}
            break
    if not facts["places"]:
        facts["places"] = [place for pattern, place in PLACES if re.search(pattern, text, re.I)][:2]
    facts["processes"] = [word for pattern, word in PROCESSES if re.search(pattern, rest.lower())][:3]
    facts["partners"] = [word for pattern, word in PARTNERS if re.search(pattern, text.lower())][:2]
    if not re.search(EC_NOT, name.lower()):
        facts["ec_class"] = next((EC_CLASS[c] for pattern, c in EC_NAME if re.search(pattern + r"( [\w-]{1,5})?(,.*| \[.*|/.*)?$", name.lower())), "")
    if m := re.search(r"[Bb]elongs to the ([^.;]+?) (?:super)?family", re.sub(r" \(TC [^)]*\)", "", text)):
        facts["superfamily"] = m[1].strip()
    return facts


def enzyme_facts(record):
    ec = record["ec"][0]
    parts = record["text"].split("; ")
    sub = ".".join(ec.split(".")[:2])
    # the reaction's accepted name is a name, not a sentence; the classes in front of it are told in our words
    name = parts[-1] if len(parts) > 1 and not re.search(r"acting on|other ", parts[-1]) else ""
    return {"name": name, "family": name, "kind": next((kind for start, kind in EC_KIND if (ec + ".").startswith(start)), "metabolic enzyme"), "does": EC_SUB.get(sub, EC_DOES[ec[0]]), "places": [], "processes": [], "partners": [], "ec": ec, "ec_class": EC_CLASS[ec[0]]}


def clusters(seqs):
    """Single linkage: two sequences that share 30 % of the 5-mers of the shorter one (about 80 % identity) are in one cluster."""
    mers = [{s[i:i + 5] for i in range(len(s) - 4)} for s in seqs]
    index, root = collections.defaultdict(list), list(range(len(seqs)))

    def find(i):
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i
    for i, words in enumerate(mers):
        shared = collections.Counter(j for w in words for j in index[w])
        for j, n in shared.items():
            if n >= SHARED * min(len(words), len(mers[j])):
                x, y = find(i), find(j)
                root[max(x, y)] = min(x, y)
        for w in words:
            index[w].append(i)
    return [find(i) for i in range(len(seqs))], mers


def size(n):
    return "very short" if n < 100 else "short" if n < 180 else "medium-sized" if n < 320 else "long" if n < 450 else "very long"


def membrane(f, key):
    n = f["hydrophobic"]
    if f["signal"] and n == 1:
        return pick(["a hydrophobic start like that of a signal peptide", "a greasy start as in signal peptides"], key, "sig")
    if not n:
        return pick(["no long hydrophobic stretch", "no stretch greasy enough to span a membrane"], key, "mem")
    what = f"{number(n)} hydrophobic stretch" + ("es" if n > 1 else "")
    return what + pick([" long enough to span a membrane", " that could cross a membrane", " like those of membrane-spanning helices"] if n > 1 else [" long enough to span a membrane", " that could cross a membrane"], key, "mem")


def motif_phrases(f):
    out = []
    for name, n in f["motifs"].items():
        if name.endswith("motifs") and not name.startswith(("paired",)):
            out.append(f"{number(n)} {name}")
        else:
            out.append(name)
    return out[:2]


def plural(name):
    """Of a name of families; one with `or` or `of` takes its plural in front."""
    head, joint, tail = name.partition(" of ")
    return " or ".join(x[:-1] + "ies" if x.endswith("y") else x + "s" for x in head.split(" or ")) + joint + tail


def noun(f):
    return f["family"] or (f["ec_class"] if f["ec_class"] else "protein")


def sentences(key, f):
    n, kind = f["length"], noun(f)
    broader = f["kind"] if f["kind"] and f["kind"].lower() not in kind.lower() and kind.lower() not in f["kind"].lower() and f["family"] else ""
    article = a(kind)
    if f.get("ec"):
        first = pick([f"{capital(a(f['ec_class']))} of EC class {f['ec']}" + (f", known as {kind}" if f["family"] else "") + f"; it {f['does']}.",
                      f"This enzyme {f['does']}" + (f" and works as {kind}" if f["family"] else "") + f"; it is {a(f['ec_class'])} with EC number {f['ec']}.",
                      f"EC {f['ec']}: {a(f['ec_class'])} that {f['does']}" + (f", namely {kind}" if f["family"] else "") + "."], key, "first")
    elif f["family"]:
        first = pick([f"{capital(article)}" + (f", a kind of {broader}," if broader else "") + f" that {f['does']}.",
                      f"This protein is {article}" + (f" and so {a(broader)}" if broader else "") + f"; it {f['does']}.",
                      f"{capital(kind)}: it {f['does']}" + (f", as {a(broader)}" if broader else "") + ".",
                      f"The protein counts among the {plural(kind)}" + (f" (kind: {broader})" if broader else "") + f" and {f['does']}.",
                      f"As {article}" + (f", which counts among the {broader}s," if broader else ",") + f" it {f['does']}."], key, "first")
    elif f["ec_class"]:
        first = pick([f"{capital(a(f['ec_class']))}, an enzyme that {EC_DOES[next(k for k, v in EC_CLASS.items() if v == f['ec_class'])]}.",
                      f"An enzyme of the class {f['ec_class']}."], key, "first")
    elif f.get("superfamily"):
        first = pick([f"A member of the {f['superfamily']} family.", f"This protein is placed in the {f['superfamily']} family."], key, "first")
    else:
        first = ""
    about = []
    if f["places"]:
        place = f["places"][0]
        about.append(pick(["works outside of the cell", "is secreted"], key, "place") if place == "outside of the cell" else
                     pick(["is found in the {}", "works in the {}", "has its place in the {}"], key, "place").format(place))
    if f["partners"]:
        about.append(pick(["binds or uses {}", "works with {}"], key, "partner").format(join(f["partners"])))
    if f["processes"]:
        about.append(pick(["takes part in {}", "is tied to {}", "matters for {}"], key, "process").format(join(f["processes"])))
    second = capital(pick(["it ", "this protein "], key, "second") + join(about) + ".") if about else ""
    has = [membrane(f, key)] + motif_phrases(f)
    tail = ([f"is rich in {join(f['rich'])}"] if f["rich"] else []) + ([f"is {f['charge']}"] if f["charge"] else [])
    third = pick([f"Its {n} residues hold {join(has)}", f"The chain is {size(n)}, {n} residues, with {join(has)}", f"{capital(a(size(n)))} chain of {n} residues with {join(has)}",
                  f"Counting {n} residues, it shows {join(has)}"], key, "third")
    third += (pick(["; it {}.", "; the sequence {}."], key, "tail").format(join(tail)) if tail else ".")
    return first, second, third


def describe(key, f):
    """The long text: at most 60 words, two or three sentences."""
    for most in (3, 2, 1, 0):
        text = compose(key, f | {"processes": f["processes"][:most], "partners": f["partners"][:most], "rich": f["rich"][:most]})
        if len(text.split()) <= 60:
            break
    return text


def compose(key, f):
    first, second, third = sentences(key, f)
    order = h(key, "order") % 4
    parts = [first, second, third] if order < 2 else [first, third, second] if order == 2 or not second else [third, first, second]
    return " ".join(p for p in parts if p)


def short(key, f):
    kind = noun(f) if f["family"] or f["ec_class"] else f"member of the {f['superfamily']} family" if f.get("superfamily") else "protein"
    does = f["does"] or (f"takes part in {join(f['processes'][:2])}" if f["processes"] else "")
    place = f["places"][0] if f["places"] else ""
    where = "" if not place else " outside of the cell" if place == "outside of the cell" else f" in the {place}"
    start = a(kind)
    if not does:
        return f"It is {start}{where}."
    return pick([f"It is {start}{where} that {does}.", f"{capital(start)}{where} that {does}.", f"This is {start}{where}; it {does}."], key, "short")


def collect(data):
    pool, seen = [], set()
    human = lines(data / "proteins" / "human.jsonl.gz")
    nodes = [x | {"gene": x["name"], "id": x["id"].replace("Gene::", "NCBIGene:")} for x in lines(data / "kg" / "nodes.jsonl.gz") if x.get("seq") and x.get("text")]
    for record in human + nodes:
        if record["seq"] in seen or not 30 <= len(record["seq"]) <= MAX_LENGTH or set(record["seq"]) - set("ACDEFGHIKLMNPQRSTVWYU"):
            continue
        facts = named_facts(record["text"])
        known = bool(facts["family"]) * 3 + bool(facts["ec_class"]) * 2 + bool(facts.get("superfamily")) + len(facts["places"]) + len(facts["processes"]) + len(facts["partners"])
        if known >= (3 if facts["family"] or facts["ec_class"] else 4):
            seen.add(record["seq"])
            pool.append({"id": record["id"], "gene": record["gene"], "seq": record["seq"], "f": facts | sequence_facts(record["seq"])})
    for record in lines(data / "proteins" / "enzymes.jsonl.gz"):
        if record["seq"] not in seen and 30 <= len(record["seq"]) <= MAX_LENGTH and not set(record["seq"]) - set("ACDEFGHIKLMNPQRSTVWYU"):
            seen.add(record["seq"])
            pool.append({"id": record["id"], "gene": "", "seq": record["seq"], "f": enzyme_facts(record) | sequence_facts(record["seq"])})
    return pool


def divide(pool):
    """Whole clusters go to the test side in the order of a hash until 13 % of the proteins are there; large clusters stay in train."""
    roots, mers = clusters([p["seq"] for p in pool])
    members = collections.Counter(roots)
    for p, r in zip(pool, roots):
        p["group"] = pool[r]["id"]
    test, n = set(), 0
    for r in sorted(members, key=lambda r: h(pool[r]["id"], "split")):
        if members[r] <= MAX_TEST_CLUSTER and n + members[r] <= TEST_SHARE * len(pool):
            test.add(r)
            n += members[r]
    for p, r in zip(pool, roots):
        p["split"] = "test" if r in test else "train"
    return mers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds proteins/ and kg/")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    pool = collect(args.data)
    told = set()
    kept = []
    for p in pool:
        p["text"] = describe(p["id"], p["f"])
        if p["text"] not in told:
            told.add(p["text"])
            kept.append(p)
    divide(kept)
    sizes = collections.Counter(p["f"]["family"] for p in kept if p["split"] == "train" and p["f"]["family"])
    families = {f for f, n in sizes.items() if n >= 8}
    kinds = sorted(k for k, n in collections.Counter(p["f"]["kind"] for p in kept if p["split"] == "train").items() if k and n >= 20)
    rows = []
    for p in kept:
        f = {k: v for k, v in p["f"].items() if v or k == "hydrophobic"}
        f["motifs"], f["counts"] = list(p["f"]["motifs"]), list(p["f"]["motifs"].values())
        f.pop("does", None)
        rows.append({"id": p["id"]} | ({"gene": p["gene"]} if p["gene"] else {}) | {"seq": p["seq"], "text": p["text"], "facts": f, "group": p["group"], "split": p["split"]})
    write(args.out / "proteins.jsonl", rows)
    asked = questions(kept, "train", families, kinds, short) + questions(kept, "test", families, kinds, short)
    write(args.out / "protein_questions.jsonl.gz", asked)
    print(collections.Counter(p["split"] for p in kept), len({p["group"] for p in kept}), len(families), "families asked")
    for key, n in sorted(collections.Counter((r["kind"], r["split"]) for r in asked).items()):
        print(key, n)


if __name__ == "__main__":
    main()
