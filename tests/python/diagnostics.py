"""Measures of pairs of vectors by numpy and scikit-learn. Standard input: {"bio", "text", "texts", "records", "temperature"};
standard output: name -> value. Equal numbers in "texts" or "records" are the same thing, so no wrong answer."""

import json
import sys

try:
    import numpy as np
    from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()

given = json.load(sys.stdin)
bio, text = (np.array(given[name], dtype=np.float64) for name in ("bio", "text"))
texts, records = np.array(given["texts"]), np.array(given["records"])
n = len(bio)
cosines = cosine_similarity(bio, text)
same = (texts[:, None] == texts[None]) | (records[:, None] == records[None])
first_text = [i for i in range(n) if i == list(texts).index(texts[i])]
first_record = [i for i in range(n) if i == list(records).index(records[i])]


def ranks(scores, candidates):
    out = []
    for i in range(n):
        wrong = np.array([scores[i, j] for j in candidates if not same[i, j]])
        rank = 1 + (wrong > scores[i, i]).sum() + 0.5 * (wrong == scores[i, i]).sum()
        out.append((rank, (rank - 1) / max(len(wrong), 1)))
    return np.array(out).T


answer = {}
closer = []
for name, (rank, share) in {
    "to_text": ranks(cosines, first_text),
    "to_bio": ranks(cosines.T, first_record),
}.items():
    for k in (1, 5, 10):
        answer[f"r{k}_{name}"] = float((rank <= k).mean())
    answer[f"mrr_{name}"] = float((1 / rank).mean())
    closer.append(share.mean())
answer["foscttm"] = float(np.mean(closer))

unit_bio, unit_text = normalize(bio), normalize(text)
answer["modality_gap"] = float(np.linalg.norm(unit_bio.mean(0) - unit_text.mean(0)))
answer["alignment"] = float((np.linalg.norm(unit_bio - unit_text, axis=1) ** 2).mean())
for name, unit, rows in (("bio", unit_bio, first_record), ("text", unit_text, first_text)):
    squared = euclidean_distances(unit[rows], squared=True)
    answer[f"uniformity_{name}"] = float(np.log(np.exp(-2 * squared[np.triu_indices(len(rows), 1)]).mean()))

logits = cosines / given["temperature"]
logits[same & ~np.eye(n, dtype=bool)] = -np.inf
terms = [np.log(np.exp(m - m.max(1, keepdims=True)).sum(1)) + m.max(1) - np.diag(m) for m in (logits, logits.T)]
answer["loss"] = float(np.mean(terms))


def hsic(k, l):
    """Song et al. 2012, eq. 5."""
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    one = np.ones(n)
    return (
        np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    ) / (n * (n - 3))


k, l = bio @ bio.T, text @ text.T
answer["cka"] = float(hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l)))
found = [
    NearestNeighbors(n_neighbors=11, metric="cosine").fit(x).kneighbors(x, return_distance=False) for x in (bio, text)
]
shared = [len((set(a) & set(b)) - {i}) / 10 for i, (a, b) in enumerate(zip(*found))]
answer["mutual_knn"] = float(np.mean(shared))
print(json.dumps(answer))
