#!/usr/bin/env python3
"""Write cells.h5ad, cell_types.jsonl and cell_questions.jsonl.gz: real blood cells, described in our own words.

The counts and labels are those of 10x Genomics PBMC 3k (CC BY 4.0; types by the Seurat tutorial), cut to about 1,200 genes. Marker genes are computed here
from the training cells. Sentences are built from facts, the wording being picked by a hash of the id, so two runs give the same bytes
with the same h5py and anndata.

Usage: python make_cells.py --data <folder with cells/pbmc3k.h5ad and vocab/scgpt> --out .
Needs anndata, h5py, numpy, pandas and scipy; wording.py lies next to it.
"""
import argparse
import collections
import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from wording import a, capital, h, join, pick, turn, write

GENES, TEST_SHARE, TOP = 1200, 0.2, 120
# label of the source: name, ontology term, lineage, family of types, what it is for
TYPES = {
    "Naive CD4 T": ("naive CD4 T cell", "CL:0000895", "lymphoid", "T cell", "waits for its antigen and can then help other immune cells"),
    "Memory CD4 T": ("memory CD4 T cell", "CL:0000897", "lymphoid", "T cell", "has met its antigen and helps other immune cells faster the next time"),
    "CD8 T": ("CD8 T cell", "CL:0000625", "lymphoid", "T cell", "kills cells that are infected or have turned malignant"),
    "NK": ("natural killer cell", "CL:0000623", "lymphoid", "innate lymphocyte", "kills stressed cells without an antigen receptor"),
    "B": ("B cell", "CL:0000236", "lymphoid", "B cell", "can turn into a maker of antibodies"),
    "CD14+ Mono": ("CD14+ monocyte", "CL:0001054", "myeloid", "monocyte", "eats microbes and calls for inflammation"),
    "FCGR3A+ Mono": ("FCGR3A+ monocyte", "CL:0002396", "myeloid", "monocyte", "patrols the walls of blood vessels"),
    "DC": ("dendritic cell", "CL:0000451", "myeloid", "antigen-presenting cell", "shows antigens to T cells"),
    "Platelet": ("platelet", "CL:0000233", "myeloid", "fragment of a megakaryocyte", "closes wounds by clotting"),
}
ASK = {
    "cell_type": ["Which type of cell is <cell>?", "<cell> Name the cell type.", "What kind of cell is <cell>?", "<cell> Which blood cell is this?", "Annotate <cell>.", "To which type would you assign <cell>?"],
    "lineage": ["Is <cell> lymphoid or myeloid?", "<cell> Which lineage does this cell come from, lymphoid or myeloid?", "Name the lineage of <cell>: lymphoid or myeloid."],
    "is_type": ["Is <cell> {}?", "<cell> Is this {}?", "Would you call <cell> {}?", "<cell> Could this be {}?"],
    "markers": ["Which marker genes tell the type of <cell>?", "<cell> Which of its genes are markers?", "Name marker genes that <cell> expresses."],
    "expresses": ["Does <cell> express {}?", "<cell> Is {} expressed?", "Are there counts of {} in <cell>?"],
    "highest": ["Which of these genes has the most counts in <cell>: {}?", "<cell> Which gene is highest: {}?"],
    "describe": ["Describe <cell>.", "What can you tell me about <cell>?", "<cell> Describe this cell in one sentence.", "Look at <cell> and say what it is."],
}


def markers(logs, labels, genes, train):
    """The twelve genes per type whose mean log count stands most above that of the other types, and that a quarter of the type expresses."""
    out, scores = {}, np.zeros(len(genes))
    for label in TYPES:
        mine, rest = logs[train & (labels == label)], logs[train & (labels != label)]
        gap = np.asarray(mine.mean(0)).ravel() - np.asarray(rest.mean(0)).ravel()
        share = np.asarray((mine > 0).mean(0)).ravel()
        gap[share < 0.25] = -1
        # of equal mean the gene that fewer other cells express is the better marker
        gap -= 0.5 * np.asarray((rest > 0).mean(0)).ravel() * (gap > 0)
        order = np.argsort(-gap, kind="stable")
        out[label] = [genes[i] for i in order if not genes[i].startswith(("RP", "MT-"))][:12]
        scores = np.maximum(scores, gap)
    return out, scores


def cell_text(key, label, seen, high):
    name, _, lineage, family, task = TYPES[label]
    first = pick([f"It is {a(name)}.", f"This is {a(name)} from blood.", f"{capital(a(name))}.", f"The cell is {a(name)}."], key, "first")
    second = pick([f"It belongs to the {lineage} lineage, counts as {a(family)} and {task}." if family != name else f"It belongs to the {lineage} lineage and {task}.", f"Lineage: {lineage}. Such a cell {task}.",
                   f"Of {lineage} origin, it {task}."], key, "second")
    third = pick([f"Markers found in it: {join(seen)}.", f"It expresses {join(seen)}.", f"Its type shows in {join(seen)}."], key, "third") if seen else ""
    fourth = pick([f"Beside them {join(high)} are high.", f"Many counts fall on {join(high)}."], key, "fourth") if high else ""
    return " ".join(x for x in (first, second, third, fourth) if x)


def type_rows(marks):
    rows = []
    for label, (name, term, lineage, family, task) in TYPES.items():
        m = marks[label]
        said = [f"It is {a(name)}.", f"This cell is {a(name)} of the {lineage} lineage.", f"{capital(a(name))} {task}.", f"A cell of {lineage} origin that {task}: {a(name)}.",
                f"{capital(a(name))}; among its marker genes are {join(m[:4])}.", f"High counts of {join(m[:3])} speak for {a(name)}.", f"With {join(m[1:5])} expressed, the cell is most likely {a(name)}."]
        rows += [{"id": f"{term}/{i}", "cell_type": label, "name": name, "text": text, "facts": {"ontology": term, "lineage": lineage, "kind": family, "markers": m}} for i, text in enumerate(said)]
    return rows


def questions(cells, marks):
    rows, used = collections.defaultdict(list), collections.Counter()

    def add(c, kind, answer, fill=""):
        ask = pick(ASK[kind], c["id"], kind, fill).format(fill)
        rows[c["id"]].append(turn(ask, answer, [["cell", c["record"]]], group=c["id"], split=c["split"], kind=kind))
        used[c["id"]] += 1

    for side, cap in (("train", 60), ("test", 15)):
        mine = [c for c in cells if c["split"] == side]
        by = {label: sorted((c for c in mine if c["label"] == label), key=lambda c: h(c["id"], "ask"))[:cap] for label in TYPES}
        for label, some in by.items():
            name, _, lineage, _, task = TYPES[label]
            for c in some:
                add(c, "cell_type", f"It is {a(name)}.")
                if h(c["id"], "describe") % 2:
                    add(c, "describe", pick([f"It is {a(name)}, a {lineage} cell that {task}.", f"{capital(a(name))} of the {lineage} lineage; it {task}."], c["id"], "say"))
                seen = [g for g in marks[label] if c["counts"].get(g)][:3]
                if len(seen) >= 2:
                    add(c, "markers", f"Markers: {join(seen)}." if h(c["id"]) % 2 else f"It expresses {join(seen)}.")
            # as many yes as no for every type
            order = sorted((c for other, them in by.items() if other != label for c in them), key=lambda c: (used[c["id"]], h(c["id"], label, "no")))
            k = min(len(some), 40 if side == "train" else 10)
            for c in some[:k]:
                add(c, "is_type", f"Yes, it is {a(name)}.", a(name))
            for c in order[:k]:
                add(c, "is_type", f"No, it is {a(TYPES[c['label']][0])}.", a(name))
        myeloid = [c for label in TYPES if TYPES[label][2] == "myeloid" for c in by[label]]
        lymphoid = sorted((c for label in TYPES if TYPES[label][2] == "lymphoid" for c in by[label]), key=lambda c: h(c["id"], "lineage"))[:len(myeloid)]
        for c in myeloid + lymphoid:
            add(c, "lineage", f"It is {TYPES[c['label']][2]}.")
        asked = [c for some in by.values() for c in some]
        for gene in sorted({g for m in marks.values() for g in m[:6]}):
            yes = sorted((c for c in asked if gene in c["record"]["genes"]), key=lambda c: (used[c["id"]], h(c["id"], gene)))
            no = sorted((c for c in asked if gene not in c["counts"]), key=lambda c: (used[c["id"]], h(c["id"], gene)))
            k = min(len(yes), len(no), 6 if side == "train" else 2)
            for c in yes[:k]:
                add(c, "expresses", f"Yes, it expresses {gene}.", gene)
            for c in no[:k]:
                add(c, "expresses", f"No, {gene} has no counts here.", gene)
        for c in asked:
            genes = c["record"]["genes"]
            pool = [g for g in genes if not g.startswith(("RP", "MT-")) and g != "MALAT1"]
            if h(c["id"], "highest") % 3 == 0 and len(pool) > 20:
                top = pool[h(c["id"], "top") % 3]
                low = sorted((g for g in pool if c["counts"][g] * 2 <= c["counts"][top]), key=lambda g: h(c["id"], g))[:2]
                if len(low) == 2:
                    add(c, "highest", f"{top}.", join(sorted([top] + low, key=lambda g: h(c["id"], g, "shuffle")), "or"))
    return [row for c in cells for row in rows[c["id"]]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cells/ and vocab/")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    source = anndata.read_h5ad(args.data / "cells" / "pbmc3k.h5ad")
    known = json.loads((args.data / "vocab" / "scgpt" / "default_gene_vocab.json").read_text())
    counts, labels, genes = source.X.tocsr(), source.obs["cell_type"].astype(str).to_numpy(), np.array(source.var_names)
    ids = list(source.obs_names)
    test = np.zeros(len(ids), bool)
    for label in TYPES:
        mine = sorted(np.flatnonzero(labels == label), key=lambda i: h(ids[i], "split"))
        test[mine[:round(TEST_SHARE * len(mine))]] = True
    total = np.asarray(counts.sum(1)).ravel()
    logs = sp.diags(1e4 / total) @ counts
    logs = logs.tocsr()
    logs.data = np.log1p(logs.data)
    marks, score = markers(logs, labels, genes, ~test)
    # genes: the best markers first, then the most variable, then those most cells express; all of them names of the public scGPT vocabulary
    train = logs[~test]
    mean = np.asarray(train.mean(0)).ravel()
    variance = np.asarray(train.multiply(train).mean(0)).ravel() - mean ** 2
    share = np.asarray((train > 0).mean(0)).ravel()
    spread = np.where(share > 0.02, variance / (mean + 0.02), 0)
    usable = np.array([g in known for g in genes])
    chosen = []
    for order, most in ((np.argsort(-score, kind="stable"), 500), (np.argsort(-share, kind="stable"), 850), (np.argsort(-spread, kind="stable"), GENES)):
        for i in order:
            if len(chosen) >= most:
                break
            if usable[i] and i not in chosen:
                chosen.append(int(i))
    for label in marks:
        marks[label] = [g for g in marks[label] if g in known]
    wanted = {g for m in marks.values() for g in m}
    chosen = sorted(set(chosen) | {int(i) for i in np.flatnonzero(np.isin(genes, list(wanted)))})
    small = counts[:, chosen].astype(np.uint16)
    small.sort_indices()
    names = genes[chosen]
    cells = []
    for i, key in enumerate(ids):
        row = small.getrow(i)
        order = np.lexsort((row.indices, -row.data.astype(int)))
        values = {str(names[row.indices[j]]): int(row.data[j]) for j in order}
        seen = [g for g in marks[labels[i]] if values.get(g)][:4]
        high = [g for g in values if not g.startswith(("RP", "MT-")) and g not in seen][:3]
        top = dict(list(values.items())[:TOP])
        cells.append({"id": key, "label": labels[i], "split": "test" if test[i] else "train", "counts": values, "text": cell_text(key, labels[i], seen, high), "record": {"genes": list(top), "values": list(top.values())}})
    obs = pd.DataFrame({"cell_type": pd.Categorical(labels, categories=list(TYPES)), "name": pd.Categorical([TYPES[x][0] for x in labels]), "lineage": pd.Categorical([TYPES[x][2] for x in labels]),
                        "ontology": pd.Categorical([TYPES[x][1] for x in labels]), "split": pd.Categorical([c["split"] for c in cells]), "group": ids, "text": [c["text"] for c in cells]}, index=ids)
    out = anndata.AnnData(X=small, obs=obs, var=pd.DataFrame(index=names))
    out.uns["source"] = "10x Genomics PBMC 3k, CC BY 4.0; cut to fewer genes, sentences added"
    path = args.out / "cells.h5ad"
    out.write_h5ad(path, compression="gzip", compression_opts=9)
    print(f"cells.h5ad: {out.n_obs} cells, {out.n_vars} genes, {small.nnz} entries, {path.stat().st_size:,} bytes")
    write(args.out / "cell_types.jsonl", type_rows(marks))
    rows = questions(cells, marks)
    write(args.out / "cell_questions.jsonl.gz", rows)
    print(json.dumps(marks))
    for key, n in sorted(collections.Counter((r["kind"], r["split"]) for r in rows).items()):
        print(key, n)


if __name__ == "__main__":
    main()
