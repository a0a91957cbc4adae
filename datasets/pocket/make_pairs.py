#!/usr/bin/env python3
"""Write pairs.jsonl.gz: instruction rows with records of two modalities.

`binds`: does this molecule bind this protein? Edges of Hetionet with their licences (CC BY 4.0, CC BY 3.0, CC BY-SA 3.0), in the field `license` of each row;
sequences are of STRING v12, CC BY 4.0. `protein_text`, `cell_text`: does this text describe this record? Records and texts are those of proteins.jsonl and
cells.h5ad. As many yes as no; a no is a shuffle that keeps how often each molecule and each protein stands.

Usage: python make_pairs.py --data <folder with kg/> --out <folder with proteins.jsonl and cells.h5ad>
Needs RDKit and anndata; wording.py and make_proteins.py lie next to it.
"""
import argparse
import collections
import gzip
from pathlib import Path

import anndata
import numpy as np
from rdkit import Chem, DataStructs, RDLogger
from rdkit.Chem import rdFingerprintGenerator

from make_proteins import clusters
from wording import h, lines, pick, turn, write

RDLogger.DisableLog("rdApp.*")
MAX_LENGTH, MAX_ATOMS, ALIKE, NEW = 600, 100, 0.6, 0.25
ASK = ["Does <molecule> bind <protein>?", "<molecule> <protein> Does the molecule bind the protein?", "Is <protein> a target of <molecule>?", "<protein> <molecule> Do these two bind each other?",
       "Would you expect <molecule> to bind to <protein>?", "<protein> Is it bound by <molecule>?"]
YES = ["Yes, it binds.", "Yes, the two bind."]
NO = ["No, no binding is on record.", "No, they are not known to bind."]
FITS = {"protein": ["Does <text> describe <protein>?", "<protein> <text> Does the text fit the protein?", "<text> Is this said of <protein>?"],
        "cell": ["Does <text> describe <cell>?", "<cell> <text> Does the text fit the cell?", "<text> Is this said of <cell>?"]}


def linked(n, links):
    root = list(range(n))

    def find(i):
        while root[i] != i:
            i = root[i]
        return i
    for i, j in links:
        x, y = find(i), find(j)
        root[max(x, y)] = min(x, y)
    return [find(i) for i in range(n)]


def edges_of(data):
    nodes = {n["id"]: n for n in lines(data / "kg" / "nodes.jsonl.gz")}
    with gzip.open(data / "kg" / "edges.tsv.gz", "rt", encoding="utf-8") as opened:
        rows = [line.rstrip("\n").split("\t") for line in opened][1:]
    all_binds = {(s, t) for s, relation, t, *_ in rows if relation == "binds"}
    usable = []
    for s, relation, t, licence, origin in rows:
        smiles, seq = nodes[s].get("smiles"), nodes[t].get("seq")
        if relation != "binds" or not smiles or not seq or len(seq) > MAX_LENGTH:
            continue
        mol = Chem.MolFromSmiles(smiles)
        if mol and 5 <= mol.GetNumHeavyAtoms() <= MAX_ATOMS:
            nodes[s]["canonical"] = Chem.MolToSmiles(mol)
            usable.append((s, t, licence))
    return nodes, all_binds, sorted(set(usable))


def side_of(molecule, protein):
    """`train` where both parts are known, `test` where both are new; new molecules for known proteins, and the other way round, are sides of their own."""
    new = h("molecule", molecule, "split") % 1000 < 1000 * NEW, h("protein", protein, "split") % 1000 < 1000 * NEW
    return {(False, False): "train", (True, True): "test", (True, False): "test_molecule", (False, True): "test_protein"}[new]


def negatives(yes, forbidden, seed):
    """A shuffle of the proteins over the molecules that keeps how often each stands, without pairs that bind or whose likes do."""
    ends = [p for _, p in yes]
    out, used = [], set()
    free = sorted(range(len(ends)), key=lambda i: h(seed, i, ends[i]))
    for m, _ in sorted(yes, key=lambda e: h(seed, *e)):
        for at, i in enumerate(free):
            if not forbidden(m, ends[i]) and (m, ends[i]) not in used:
                used.add((m, ends[i]))
                out.append((m, ends[i]))
                free.pop(at)
                break
    return out


def binding_rows(data):
    nodes, all_binds, edges = edges_of(data)
    molecules, proteins = sorted({s for s, *_ in edges}), sorted({t for _, t, _ in edges})
    prints = [rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles(nodes[m]["smiles"])) for m in molecules]
    alike = [(i, j) for i in range(len(molecules)) for j, t in enumerate(DataStructs.BulkTanimotoSimilarity(prints[i], prints[:i])) if t >= ALIKE]
    of_molecule = dict(zip(molecules, linked(len(molecules), alike)))
    of_protein = dict(zip(proteins, clusters([nodes[p]["seq"] for p in proteins])[0]))
    named = {s: molecules[c] for s, c in of_molecule.items()} | {t: proteins[c] for t, c in of_protein.items()}
    # who binds whom, by clusters of look-alikes: such pairs are never called a no
    near = {(of_molecule.get(s, s), of_protein.get(t, t)) for s, t in all_binds}
    rows = []
    licence_of = {(s, t): licence for s, t, licence in edges}
    for which in ("train", "test", "test_molecule", "test_protein"):
        yes = [(s, t) for s, t, _ in edges if side_of(named[s], named[t]) == which]
        no = negatives(yes, lambda m, p: (of_molecule[m], of_protein[p]) in near, which)
        # the same number of either answer
        yes = sorted(yes, key=lambda e: h(*e, "keep"))[:len(no)]
        for answer, pairs in (("yes", yes), ("no", no)):
            for s, t in pairs:
                rows.append((t, s, turn(pick(ASK, s, t), pick(YES if answer == "yes" else NO, s, t, "say"), [], group=named[s] if which == "test_molecule" else named[t], split=which, kind="binds",
                                        ids=[s, t], license=licence_of.get((s, t), "CC BY 4.0"))))
    rows.sort(key=lambda r: (r[2]["split"] != "train", r[2]["split"], r[0], r[1]))
    for t, s, row in rows:
        said = row["messages"][0]["content"]
        both = {"molecule": nodes[s]["canonical"], "protein": nodes[t]["seq"]}
        row["records"] = [[k, both[k]] for k in sorted(both, key=lambda k: said.index(f"<{k}>"))]
    return [row for *_, row in rows]


def apart_from(proteins, taken):
    """Proteins that are no look-alikes of those that are taken."""
    roots, _ = clusters(taken + [p["seq"] for p in proteins])
    used = set(roots[:len(taken)])
    return [p for p, root in zip(proteins, roots[len(taken):]) if root not in used]


def fitting_rows(out, taken):
    """Texts beside records: the own text, or that of a protein (cell) of another kind; every text is right once and wrong once."""
    rows = []
    proteins = apart_from([p for p in lines(out / "proteins.jsonl") if p["facts"].get("kind") and p["facts"].get("family")], taken)
    source = anndata.read_h5ad(out / "cells.h5ad")
    cells = []
    for i in sorted(range(source.n_obs), key=lambda i: h(source.obs_names[i], "pair")):
        row, obs = source.X[i], source.obs.iloc[i]
        order = np.lexsort((row.indices, -row.data.astype(int)))[:100]
        cells.append({"id": source.obs_names[i], "kind": obs["cell_type"], "split": obs["split"], "text": obs["text"], "group": source.obs_names[i],
                      "record": {"genes": [str(source.var_names[row.indices[j]]) for j in order], "values": [int(row.data[j]) for j in order]}})
    for modality, pool, most in (("protein", [p | {"kind": p["facts"]["kind"], "record": p["seq"]} for p in proteins], 260), ("cell", cells, 120)):
        for which, n in (("train", most), ("test", most // 4)):
            mine, per = [], collections.Counter()
            for x in sorted((x for x in pool if x["split"] == which), key=lambda x: h(x["id"], "fit")):
                if per[x["kind"]] < n // 6 and len(mine) < n:
                    per[x["kind"]] += 1
                    mine.append(x)
            texts = list(range(len(mine)))
            for at, x in enumerate(mine):
                other = next(i for i in sorted(texts, key=lambda i: h(x["id"], i)) if mine[i]["kind"] != x["kind"])
                texts.remove(other) if len({mine[i]["kind"] for i in texts}) > 2 else None
                for right, text in ((True, x["text"]), (False, mine[other]["text"])):
                    ask = pick(FITS[modality], x["id"], right)
                    both = {modality: x["record"], "text": text}
                    rows.append(turn(ask, "Yes, it fits." if right else "No, it does not fit.", [[k, both[k]] for k in sorted(both, key=lambda k: ask.index(f"<{k}>"))],
                                     group=x["group"], split=which, kind=f"{modality}_text", ids=[x["id"]], license="CC BY 4.0"))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds kg/")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    rows = binding_rows(args.data)
    rows += fitting_rows(args.out, sorted({record for r in rows for modality, record in r["records"] if modality == "protein"}))
    write(args.out / "pairs.jsonl.gz", rows)
    for key, n in sorted(collections.Counter((r["kind"], r["split"], r["messages"][1]["content"][:3]) for r in rows).items()):
        print(key, n)
    print(collections.Counter(r["license"] for r in rows if r["kind"] == "binds"))


if __name__ == "__main__":
    main()
