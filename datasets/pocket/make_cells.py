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


class Asked:
    """The questions about the cells of one side: of every type the same number at most."""

    def __init__(self, cells, side):
        self.train = side == "train"
        self.rows, self.used = collections.defaultdict(list), collections.Counter()
        self.by = {label: sorted((c for c in cells if c["split"] == side and c["label"] == label), key=lambda c: h(c["id"], "ask"))[:60 if self.train else 15] for label in TYPES}
        self.all = [c for some in self.by.values() for c in some]

    def add(self, c, kind, answer, fill=""):
        ask = pick(ASK[kind], c["id"], kind, fill).format(fill)
        self.rows[c["id"]].append(turn(ask, answer, [["cell", c["record"]]], group=c["id"], split=c["split"], kind=kind))
        self.used[c["id"]] += 1

    def least(self, cells, *seed):
        """The least asked first."""
        return sorted(cells, key=lambda c: (self.used[c["id"]], h(c["id"], *seed)))

    def types(self, label, marks):
        name, _, lineage, _, task = TYPES[label]
        for c in self.by[label]:
            self.add(c, "cell_type", f"It is {a(name)}.")
            if h(c["id"], "describe") % 2:
                self.add(c, "describe", pick([f"It is {a(name)}, a {lineage} cell that {task}.", f"{capital(a(name))} of the {lineage} lineage; it {task}."], c["id"], "say"))
            seen = [g for g in marks[label] if c["counts"].get(g)][:3]
            if len(seen) >= 2:
                self.add(c, "markers", f"Markers: {join(seen)}." if h(c["id"]) % 2 else f"It expresses {join(seen)}.")
        # as many yes as no for every type
        others = self.least((c for other, them in self.by.items() if other != label for c in them), label, "no")
        k = min(len(self.by[label]), 40 if self.train else 10)
        for c in self.by[label][:k]:
            self.add(c, "is_type", f"Yes, it is {a(name)}.", a(name))
        for c in others[:k]:
            self.add(c, "is_type", f"No, it is {a(TYPES[c['label']][0])}.", a(name))

    def lineages(self):
        of = lambda lineage: [c for label in TYPES if TYPES[label][2] == lineage for c in self.by[label]]
        myeloid = of("myeloid")
        for c in myeloid + sorted(of("lymphoid"), key=lambda c: h(c["id"], "lineage"))[:len(myeloid)]:
            self.add(c, "lineage", f"It is {TYPES[c['label']][2]}.")

    def expressed(self, genes):
        for gene in genes:
            yes = self.least((c for c in self.all if gene in c["record"]["genes"]), gene)
            no = self.least((c for c in self.all if gene not in c["counts"]), gene)
            k = min(len(yes), len(no), 6 if self.train else 2)
            for c in yes[:k]:
                self.add(c, "expresses", f"Yes, it expresses {gene}.", gene)
            for c in no[:k]:
                self.add(c, "expresses", f"No, {gene} has no counts here.", gene)

    def highest(self):
        for c in self.all:
            pool = [g for g in c["record"]["genes"] if not g.startswith(("RP", "MT-")) and g != "MALAT1"]
            if h(c["id"], "highest") % 3 == 0 and len(pool) > 20:
                top = pool[h(c["id"], "top") % 3]
                low = sorted((g for g in pool if c["counts"][g] * 2 <= c["counts"][top]), key=lambda g: h(c["id"], g))[:2]
                if len(low) == 2:
                    self.add(c, "highest", f"{top}.", join(sorted([top] + low, key=lambda g: h(c["id"], g, "shuffle")), "or"))


def questions(cells, marks):
    rows = collections.defaultdict(list)
    for side in ("train", "test"):
        asked = Asked(cells, side)
        for label in TYPES:
            asked.types(label, marks)
        asked.lineages()
        asked.expressed(sorted({g for m in marks.values() for g in m[:6]}))
        asked.highest()
        rows |= asked.rows
    return [row for c in cells if c["id"] in rows for row in rows[c["id"]]]


def held_out(ids, labels):
    """A fifth of every type, by the hash of the cell."""
    test = np.zeros(len(ids), bool)
    for label in TYPES:
        mine = sorted(np.flatnonzero(labels == label), key=lambda i: h(ids[i], "split"))
        test[mine[:round(TEST_SHARE * len(mine))]] = True
    return test


def choose(genes, known, train, score, marks):
    """Columns: the best markers first, then the genes most cells express, then the most variable; all of them names of the public scGPT vocabulary."""
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
    wanted = {g for m in marks.values() for g in m}
    return sorted(set(chosen) | {int(i) for i in np.flatnonzero(np.isin(genes, list(wanted)))})


def cell_of(key, label, test, row, names, marks):
    order = np.lexsort((row.indices, -row.data.astype(int)))
    values = {str(names[row.indices[j]]): int(row.data[j]) for j in order}
    seen = [g for g in marks[label] if values.get(g)][:4]
    high = [g for g in values if not g.startswith(("RP", "MT-")) and g not in seen][:3]
    top = dict(list(values.items())[:TOP])
    return {"id": key, "label": label, "split": "test" if test else "train", "counts": values, "text": cell_text(key, label, seen, high), "record": {"genes": list(top), "values": list(top.values())}}


def write_h5ad(path, counts, names, cells):
    column = lambda n: pd.Categorical([TYPES[c["label"]][n] for c in cells])
    ids = [c["id"] for c in cells]
    obs = pd.DataFrame({"cell_type": pd.Categorical([c["label"] for c in cells], categories=list(TYPES)), "name": column(0), "lineage": column(2), "ontology": column(1),
                        "split": pd.Categorical([c["split"] for c in cells]), "group": ids, "text": [c["text"] for c in cells]}, index=ids)
    out = anndata.AnnData(X=counts, obs=obs, var=pd.DataFrame(index=names))
    out.uns["source"] = "10x Genomics PBMC 3k, CC BY 4.0; cut to fewer genes, sentences added"
    out.write_h5ad(path, compression="gzip", compression_opts=9)
    print(f"{path.name}: {out.n_obs} cells, {out.n_vars} genes, {counts.nnz} entries, {path.stat().st_size:,} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cells/ and vocab/")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    source = anndata.read_h5ad(args.data / "cells" / "pbmc3k.h5ad")
    known = json.loads((args.data / "vocab" / "scgpt" / "default_gene_vocab.json").read_text())
    counts, labels, genes = source.X.tocsr(), source.obs["cell_type"].astype(str).to_numpy(), np.array(source.var_names)
    ids = list(source.obs_names)
    test = held_out(ids, labels)
    logs = (sp.diags(1e4 / np.asarray(counts.sum(1)).ravel()) @ counts).tocsr()
    logs.data = np.log1p(logs.data)
    marks, score = markers(logs, labels, genes, ~test)
    marks = {label: [g for g in m if g in known] for label, m in marks.items()}
    chosen = choose(genes, known, logs[~test], score, marks)
    small, names = counts[:, chosen].astype(np.uint16), genes[chosen]
    small.sort_indices()
    cells = [cell_of(key, labels[i], test[i], small.getrow(i), names, marks) for i, key in enumerate(ids)]
    write_h5ad(args.out / "cells.h5ad", small, names, cells)
    write(args.out / "cell_types.jsonl", type_rows(marks))
    rows = questions(cells, marks)
    write(args.out / "cell_questions.jsonl.gz", rows)
    for key, n in sorted(collections.Counter((r["kind"], r["split"]) for r in rows).items()):
        print(key, n)


if __name__ == "__main__":
    main()
