#!/usr/bin/env python3
"""Write molecules.jsonl and questions.jsonl: real molecules, described in our own words.

Input is `chebi20.jsonl.gz` (`id`, `smiles`, `text` per line; PubChem CIDs, SMILES and ChEBI text, CC BY 4.0).
Structural facts (functional groups, rings, charge, stereochemistry) are computed with RDKit. Roles and chemical classes are
read from the ChEBI text against the closed lists of molecule_tables.py. No sentence of the source is copied: every sentence is built here
from facts, the wording being picked by a hash of the id, so two runs give the same bytes.

Usage: python make_molecules.py --data <folder with chebi20.jsonl.gz> --out .
Needs RDKit and the standard library; molecule_tables.py lies next to it.
"""
import argparse
import collections
import gzip
import hashlib
import json
import re
from pathlib import Path

from rdkit import Chem, DataStructs, RDLogger
from rdkit.Chem import rdCIPLabeler, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.Scaffolds import MurckoScaffold

from molecule_tables import ASK, CLASSES, CLEAR, HALOGEN, IMPLIED, NUMBERS, OVERRIDE, PATTERNS, PLURAL, ROLES, SINGLE

RDLogger.DisableLog("rdApp.*")

MAX_MOLECULES, TEST_MOLECULES, MAX_TEST_GROUP, NEAR_TWIN = 3500, 410, 30, 0.85
UNCHARGER = rdMolStandardize.Uncharger()
MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def h(*parts):
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def pick(options, *seed):
    return options[h(*seed) % len(options)]


def a(phrase):
    vowel = re.match(r"[aeiou]|N-|EC |HIV", phrase, re.I) and not re.match(r"u(rea|ni|ri)|eu", phrase)
    return ("an " if vowel else "a ") + phrase


def number(n):
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def count(n, name, plural=None):
    return f"{number(n)} {name if n == 1 else plural or PLURAL.get(name, name + 's')}"


def join(items, last="and"):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + f" {last} " + items[-1]


def capital(s):
    return s[0].upper() + s[1:]


def source_terms(text):
    """The class phrases and role terms the source states about the molecule itself."""
    clean = lambda x: re.sub(r"^(and )?(an? )?(member of )?(the )?(class of )?", "", x.strip())
    classes, roles = [], []
    for sentence in re.split(r"\.\s+(?=[A-Z])|\.$", text):
        if m := re.match(r"It has (?:a )?roles? as (.*)", sentence):
            roles += [clean(x) for x in re.split(r", | and ", m[1])]
        elif m := re.match(r"The molecule is (.*)", sentence):
            head = re.split(r" (?:that|with|obtained|resulting|having|compri|compos|carry|bearing|contain|possess|consist|in which|formed|derived|where|which|whose|isolated|found|used|produced|based|and)|,", m[1])[0]
            classes.append(clean(head))
        elif (m := re.match(r"It is (.*)", sentence)) and not re.search(r"conjugate|enantiomer|tautomer|epimer|stereoisomer|derive|functional", m[1]):
            classes += [clean(x) for x in re.split(r", | and ", m[1])]
    return [c for c in classes if " of " not in c and " from " not in c], roles


def classify(phrases):
    """(our class term, its answer class, whether that class is the only clear one)."""
    hits = []
    for phrase in phrases:
        for pattern, term, answer in CLASSES:
            if pattern.fullmatch(phrase):
                hits.append((term, answer))
                break
    answers = {answer for _, answer in hits if answer}
    if not answers:
        return (hits[0][0] if hits else ""), "", False
    chosen = next((o for o in OVERRIDE if o in answers), next(c for _, c in hits if c))
    terms = [t for t, answer in hits if answer == chosen]
    term = next((t for t in terms if t != chosen), terms[0])
    return term, chosen, len(answers) == 1 or chosen in OVERRIDE


def sugar_rings(mol):
    info, total = mol.GetRingInfo(), 0
    for ring in info.AtomRings():
        atoms = [mol.GetAtomWithIdx(i) for i in ring]
        oxygen = [x for x in atoms if x.GetAtomicNum() == 8]
        if len(ring) not in (5, 6) or len(oxygen) != 1 or any(x.GetHybridization() != Chem.HybridizationType.SP3 for x in atoms if x.GetAtomicNum() == 6) \
                or any(x.GetAtomicNum() not in (6, 8) for x in atoms):
            continue
        outside = {x.GetIdx(): [n.GetAtomicNum() for n in x.GetNeighbors() if n.GetIdx() not in ring and n.GetAtomicNum() in (7, 8, 16)] for x in atoms}
        anomeric = [z for n in oxygen[0].GetNeighbors() for z in outside[n.GetIdx()]]
        fused = any(info.NumAtomRings(i) > 1 for i in ring)
        hetero = sum(map(bool, outside.values()))
        total += bool(anomeric) and hetero >= (3 if len(ring) == 6 else 2) and (not fused or 7 in anomeric or hetero >= 4)
    return total


def longest_chain(mol):
    """Carbon atoms in the longest acyclic carbon chain."""
    near = {x.GetIdx(): [n.GetIdx() for n in x.GetNeighbors() if n.GetAtomicNum() == 6 and not n.IsInRing()]
            for x in mol.GetAtoms() if x.GetAtomicNum() == 6 and not x.IsInRing()}

    def depth(i, parent):
        return 1 + max((depth(j, i) for j in near[i] if j != parent), default=0)
    return max((depth(i, -1) for i in near), default=0)


def facts_of(mol, text):
    groups, absent = {}, []
    for name, _, query, guard in PATTERNS:
        n = sugar_rings(mol) if query is None else len(mol.GetSubstructMatches(query))
        if name in SINGLE and n:
            n = 1 if SINGLE[name] == 0 else -(-n // SINGLE[name])
        if n:
            groups[name] = n
        elif guard is None or not mol.HasSubstructMatch(guard):
            absent.append(name)
    rdCIPLabeler.AssignCIPLabels(mol)
    cip = collections.Counter(x.GetProp("_CIPCode") for x in mol.GetAtoms() if x.HasProp("_CIPCode"))
    ez = collections.Counter(b.GetProp("_CIPCode") for b in mol.GetBonds() if b.HasProp("_CIPCode"))
    symbols = collections.Counter(x.GetSymbol() for x in mol.GetAtoms() if x.GetDegree())
    ions = collections.Counter(x.GetSymbol() for x in mol.GetAtoms() if not x.GetDegree() and x.GetFormalCharge() < 0)
    phrases, roles = source_terms(text)
    term, answer, clear = classify(phrases)
    chain, parts = longest_chain(mol), len(Chem.GetMolFrags(mol))
    needs, length = CLEAR.get(answer, ([], 0))
    if chain < length or needs and not any(n in groups for n in needs):
        term = answer = ""  # the source may speak of a part or a parent
    answer = answer if clear else ""
    roles = list(dict.fromkeys(ROLES[r] for r in roles if r in ROLES))
    if len(roles) > 1:
        roles = [r for r in roles if r != "metabolite"]
    return {
        "groups": groups, "absent": absent, "class": term, "answer": answer, "roles": roles, "rings": mol.GetNumBonds() - mol.GetNumAtoms() + parts,
        "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings(mol), "heavy_atoms": mol.GetNumHeavyAtoms(),
        "halogens": {s: symbols[s] for s in ("F", "Cl", "Br", "I") if symbols[s]}, "charge": Chem.GetFormalCharge(mol),
        "R": cip["R"], "S": cip["S"], "E": ez["E"], "Z": ez["Z"], "chain": chain,
        "ions": ions, "fragments": parts, "formula": rdMolDescriptors.CalcMolFormula(mol)}


def group_key(mol):
    """Murcko scaffold (no stereo, neutral, largest part); for acyclic molecules, their functional groups."""
    parts = sorted(Chem.GetMolFrags(mol, asMols=True), key=lambda m: (-m.GetNumHeavyAtoms(), Chem.MolToSmiles(m)))
    mol = Chem.Mol(UNCHARGER.uncharge(parts[0]))
    Chem.RemoveStereochemistry(mol)
    scaffold = MurckoScaffold.MurckoScaffoldSmiles(mol=mol)
    if scaffold:
        return scaffold
    ignore = {"alkene double bond", "carbon-carbon triple bond", "long saturated alkyl tail", "hydroperoxide", "quaternary ammonium group", "tert-butyl group"}
    same = {"carboxylate anion": "carboxylic acid", "sulfonate anion": "sulfonic acid group", "ammonium group": "primary aliphatic amine"}
    names = {same.get(n, n) for n, _, q, _ in PATTERNS if q is not None and n not in ignore and mol.HasSubstructMatch(q)}
    return "acyclic:" + "+".join(sorted(names) or ["plain"])  # whatever the chain length: homologues are look-alikes


def size_band(n):
    return "very small" if n <= 12 else "small" if n <= 20 else "medium-sized" if n <= 30 else "large" if n <= 45 else "very large"


def ring_phrase(f):
    rings, aromatic = f["rings"], f["aromatic_rings"]
    if not rings:
        return "no rings"
    if not aromatic:
        return count(rings, "ring") + (", not aromatic" if rings == 1 else ", none of them aromatic")
    if rings == 1:
        return "one aromatic ring"
    if aromatic == rings:
        return count(rings, "ring") + (", both aromatic" if rings == 2 else ", all aromatic")
    return count(rings, "ring") + f", {number(aromatic)} of them aromatic"


def charge_phrase(f):
    q = f["charge"]
    return f"a net charge of {'minus' if q < 0 else 'plus'} {number(abs(q))}" if q else ""


def stereo_phrases(f):
    n = f["R"] + f["S"]
    out = []
    if n:
        kinds = join([f"{number(f[k])} {k}" for k in "RS" if f[k]])
        out.append(f"{count(n, 'stereocentre')} ({kinds})" if f["R"] and f["S"] else f"{count(n, 'stereocentre')} ({'all ' if n > 2 else 'both ' if n == 2 else ''}{'R' if f['R'] else 'S'})")
    out += [f"{count(f[k], k + ' double bond')}" for k in "EZ" if f[k]]
    return out


def salient(f, weight, most):
    """The group names worth telling first: rare ones and high counts; what another named unit already says is left out."""
    skip = {g for unit in f["groups"] for g in IMPLIED.get(unit, []) if f["groups"].get(g, 0) <= 2 * f["groups"][unit]}
    skip |= {"benzene ring"} if len(f["groups"]) - len(skip) > most else set()
    return sorted((g for g in f["groups"] if g not in skip), key=lambda g: (-weight[g] - 0.25 * min(f["groups"][g], 4), g))[:most]


def describe(key, f, weight):
    """The long text: 20-60 words, one to three sentences."""
    for most in (6, 5, 4, 3, 2, 1):
        text = compose(key, f, weight, most)
        if len(text.split()) <= 60:
            return text
    return text


def compose(key, f, weight, most):
    size, n, rings = size_band(f["heavy_atoms"]), f["heavy_atoms"], ring_phrase(f)
    kind = f["class"] or ("multi-part compound" if f["fragments"] > 1 else "organic ion" if f["charge"] else "organic molecule")
    first = pick([
        f"{capital(a(size + ' ' + kind))} with {n} heavy atoms and {rings}.",
        f"This {size} {kind} is built from {n} heavy atoms and has {rings}.",
        f"{capital(a(kind))} of {n} heavy atoms, {size}, with {rings}.",
        f"{capital(size)} {kind}: {n} heavy atoms, {rings}.",
        f"Here is {a(size + ' ' + kind)}; it counts {n} heavy atoms and {rings}."], key, "first")
    names = salient(f, weight, most)
    ions = [count(c, HALOGEN[s][:-3] + "ide ion") for s, c in f["ions"].items() if s in HALOGEN]
    halogens = [f"{count(c, HALOGEN[s] + ' atom')}" for s, c in f["halogens"].items()
                if not any(g.split()[-1] == HALOGEN[s][:-3] + "ide" for g in names) and not (s == "F" and "trifluoromethyl group" in names)]
    listed = [count(f["groups"][g], g) for g in names] + halogens + ions
    second = pick(["It carries {}.", "Its structure shows {}.", "Among its features are {}.", "Look for {}.", "It bears {}.", "The structure includes {}."],
                  key, "second").format(join(listed)) if listed else ""
    if len(listed) == 1:
        second = second.replace("Among its features are", "One feature stands out:")
    extra = [x for x in stereo_phrases(f) + [charge_phrase(f)] if x]
    if f["fragments"] > 1:
        extra.append(f"{number(f['fragments'])} separate parts")
    if len(f["class"]) and f["chain"] >= 8 or not extra and f["chain"] >= 5:
        extra.append(f"a longest open carbon chain of {f['chain']} atoms")
    has, third = join(extra) if extra else "", ""
    told = f["roles"][:3 if most > 3 else 1][::-1]
    roles, word = join(told) if told else "", "role" if len(told) == 1 else "roles"
    if has and roles:
        third = pick(["It has {h}; known {w}: {r}.", "Known {w}: {r}; it has {h}.", "It shows {h}; among its roles: {r}.", "There are {h}; {w} on record: {r}."], key, "third")
        third = third.replace("There are", "There is" if re.match("one |a ", has) else "There are").format(h=has, r=roles, w=word)
    elif has:
        third = pick(["It has {}.", "It also shows {}.", "Further marks: {}."], key, "third").format(has)
    elif roles:
        third = pick(["Known {w}: {r}.", "Recorded {w}: {r}.", "Among its roles: {r}."], key, "third").format(r=roles, w=word)
    if (short := 20 - len(f"{first} {second} {third}".split())) > 0:  # too little to say: add the formula, then what is absent
        more = f"its molecular formula is {f['formula']}" + (", no stereocentre is marked and its net charge is zero" if short > 5 and not extra else "")
        third = third[:-1] + "; " + more + "." if third else capital(more) + "."
    parts = [first, second, third] if h(key, "order") % 3 else [first, third, second]
    return " ".join(p for p in parts if p)


def short_description(key, f, weight):
    names = [count(f["groups"][g], g) if f["groups"][g] > 1 else a(g) for g in salient(f, weight, 3)]
    kind = f["class"] or size_band(f["heavy_atoms"]) + (" ion" if f["charge"] else " molecule")
    rings = "no rings" if not f["rings"] else count(f["rings"], "ring")
    if not names:
        return f"It is {a(kind)} with {rings} and {f['heavy_atoms']} heavy atoms."
    return pick([f"It is {a(kind)} with {join([rings] + names)}.", f"{capital(a(kind))} that has {rings} and carries {join(names)}."], key, "short")


def row(m, kind, answer, fill=""):
    ask = pick(ASK[kind], m["id"], kind, fill).format(fill)
    return {"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}], "records": [["molecule", m["smiles"]]],
            "group": m["group"], "split": m["split"], "kind": kind}


def questions(molecules, facts, limit):
    """Rows for one split: at most `limit` per molecule besides the balanced yes/no questions, which are spread evenly."""
    weight, common, test = facts["weight"], facts["common"], molecules[0]["split"] == "test"
    used, rows = collections.Counter(), collections.defaultdict(list)

    def add(m, kind, answer, fill=""):
        used[m["id"]] += 1
        rows[m["id"]].append(row(m, kind, answer, fill))

    for m in molecules:
        add(m, "describe", short_description(m["id"], facts[m["id"]], weight))
        if facts[m["id"]]["answer"] in facts["classes"]:
            add(m, "class", f"It is {a(facts[m['id']]['answer'])}.")
    # yes/no: as many yes as no for every group, the least asked molecules first
    quota = 8 if test else 55
    for name in common:
        order = lambda m: (used[m["id"]], h(m["id"], name))
        yes = sorted((m for m in molecules if name in facts[m["id"]]["groups"]), key=order)
        no = sorted((m for m in molecules if name in facts[m["id"]]["absent"]), key=order)
        yes, no = ([m for m in x if used[m["id"]] < limit or not test] for x in (yes, no))
        k = min(quota, len(yes), len(no))
        for m in yes[:k]:
            add(m, "has_group", f"Yes, it contains {a(name)}.", a(name))
        for m in no[:k]:
            add(m, "has_group", f"No, it has no {name}.", a(name))
    # one of three: the running balance keeps each option right one time in three
    balance = collections.Counter()
    for m in sorted(molecules, key=lambda m: h(m["id"], "which")):
        f = facts[m["id"]]
        here = [n for n in common if n in f["groups"]]
        away = [n for n in common if n in f["absent"]]
        if not here or len(away) < 2 or used[m["id"]] >= limit:
            continue
        right = min(here, key=lambda n: (balance[n], h(m["id"], n)))
        wrong = sorted(away, key=lambda n: (-balance[n], h(m["id"], n)))[:2]
        balance[right] += 2
        balance.subtract(wrong)
        options = sorted([right] + wrong, key=lambda n: h(m["id"], n, "shuffle"))
        add(m, "which_group", capital(a(right)) + ".", join([a(n) for n in options], "or"))
    # ring counts: no number is asked for more often than the runner-up of all
    by_count = collections.defaultdict(list)
    for m in molecules:
        if used[m["id"]] < limit and facts[m["id"]]["aromatic_rings"] < 6 and not re.search(r"=\[N|\[o\+", m["smiles"]):
            by_count[facts[m["id"]]["aromatic_rings"]].append(m)
    cap = sorted(map(len, by_count.values()))[-2]
    for n, some in sorted(by_count.items()):
        for m in sorted(some, key=lambda m: (used[m["id"]], h(m["id"], "rings")))[:cap]:
            add(m, "rings", f"It has {count(n, 'aromatic ring')}.")
    return [r for m in molecules for r in rows[m["id"]]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds chebi20.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    source = next(p for p in (args.data / "chebi20.jsonl.gz", args.data / "molecules" / "chebi20.jsonl.gz") if p.exists())
    pool, facts, seen = [], {}, set()
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            mol = Chem.MolFromSmiles(record["smiles"])
            smiles = Chem.MolToSmiles(mol) if mol else ""
            if not mol or smiles in seen or len(smiles) > 120 or mol.GetNumHeavyAtoms() < 6 or not mol.HasSubstructMatch(Chem.MolFromSmarts("[#6]~[#6]")):
                continue
            if smiles.count(".") > 2 or any(x.GetIsotope() or x.GetSymbol() not in ("C N O P S F Cl Br I B Si Se Na K Li Mg Ca").split() for x in mol.GetAtoms()):
                continue
            seen.add(smiles)
            mol = Chem.MolFromSmiles(smiles)
            aromatic = sum(all(mol.GetAtomWithIdx(i).GetIsAromatic() for i in ring) for ring in mol.GetRingInfo().AtomRings())
            if aromatic != rdMolDescriptors.CalcNumAromaticRings(mol):
                continue  # azulenes and the like: how many rings are aromatic is a matter of definition
            key = "CID:" + record["id"].removeprefix("CID")
            facts[key] = facts_of(mol, record["text"])
            pool.append({"id": key, "smiles": smiles, "group": group_key(mol)})

    frequency = collections.Counter(n for m in pool for n in facts[m["id"]]["groups"])
    rank = {n: i for i, n in enumerate(sorted(frequency, key=frequency.get))}
    weight = {n: 4.0 * (1 - rank.get(n, 0) / len(rank)) for n in PLURAL}  # rarer groups are more telling
    # one molecule per set of told facts; then the better annotated ones, up to the limit
    pool.sort(key=lambda m: (-bool(facts[m["id"]]["class"]) - bool(facts[m["id"]]["roles"]), h(m["id"])))
    told, kept = set(), []
    for m in pool:
        m["text"] = describe(m["id"], facts[m["id"]], weight)
        mark = describe("", facts[m["id"]], weight)
        if mark not in told:
            told.add(mark)
            kept.append(m)
    unique, pool = len(kept), kept[:MAX_MOLECULES]
    # split: whole groups, in the order of a hash of their key, until the test side is full; giant groups stay in train
    sizes = collections.Counter(m["group"] for m in pool)
    test, members = set(), 0
    for g in sorted(sizes, key=lambda g: h(g, "split")):
        if sizes[g] <= MAX_TEST_GROUP and members + sizes[g] <= TEST_MOLECULES:
            test.add(g)
            members += sizes[g]
    for m in pool:
        m["split"] = "test" if m["group"] in test else "train"
    # a test molecule that still has a near twin in train is left out
    prints = {m["id"]: MORGAN.GetFingerprint(Chem.MolFromSmiles(m["smiles"])) for m in pool}
    known = [prints[m["id"]] for m in pool if m["split"] == "train"]
    pool = [m for m in pool if m["split"] == "train" or max(DataStructs.BulkTanimotoSimilarity(prints[m["id"]], known)) < NEAR_TWIN]
    pool.sort(key=lambda m: int(m["id"][4:]))
    train, test = ([m for m in pool if m["split"] == s] for s in ("train", "test"))

    share = collections.Counter(n for m in pool for n in facts[m["id"]]["groups"])
    classes = collections.Counter(facts[m["id"]]["answer"] for m in train)
    facts |= {"weight": weight, "common": [n for n in PLURAL if 0.04 <= share[n] / len(pool) <= 0.96],
              "classes": {c for c, n in classes.items() if c and n >= 25}}
    rows = questions(train, facts, 4) + questions(test, facts, 4)

    def write(name, items):
        with open(args.out / name, "w", encoding="utf-8", newline="\n") as out:
            out.writelines(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n" for x in items)
    lines = []
    for m in pool:
        f = dict(facts[m["id"]])
        f |= {"groups": list(f["groups"]), "counts": list(f["groups"].values()), "halogens": list(f["halogens"])}
        f = {k: v for k, v in f.items() if k not in ("absent", "answer", "fragments", "ions") and not (k in "RSEZ" and v == 0)}
        lines.append({k: m[k] for k in ("id", "smiles", "text")} | {"facts": f, "group": m["group"], "split": m["split"]})
    write("molecules.jsonl", lines)
    write("questions.jsonl", rows)
    print(f"{unique} molecules with a telling description of their own, {len(pool)} kept: {len(train)} train, {len(test)} test; {len(rows)} questions")
    print(collections.Counter((r["kind"], r["split"]) for r in rows), sorted(facts["classes"]), len(facts["common"]))


if __name__ == "__main__":
    main()
