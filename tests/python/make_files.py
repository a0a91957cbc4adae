#!/usr/bin/env python3
"""Writes files as the programs of the field write them, and `expected.json`: what a reader must find in them.

    make_files.py OUT [--seed N] [--small]

`expected.json` is `{"rows": [...], "obsm": [...], "errors": [...]}`. A case of `rows` names a file, options (`layer`, `gene_field`),
the number of rows and the first of them, or all. A case of `obsm` names a file, a key and values. A case of `errors` names a
file, options and words that the error must contain. `--small` writes only the files that are kept in the repository. The
content is random, and a function of the seed.

Needs anndata (with h5py, numpy, scipy and pandas); rdkit, biopython and pyarrow where they are installed.
"""

import argparse
import gzip
import importlib.util
import json
import pathlib
import warnings

import numpy as np

warnings.filterwarnings("ignore")

EXPECTED = {"rows": [], "obsm": [], "errors": []}


def plain(value):
    """A value as JSON has it: missing and NaN are null."""
    import pandas as pd

    if value is None or value is pd.NA:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return str(value)


def cell(row, names, integer=False):
    at = np.flatnonzero(row)
    values = [int(row[i]) if integer else float(row[i]) for i in at]
    return {"genes": [str(names[i]) for i in at], "values": values}


def dense(matrix):
    return np.asarray(matrix.todense()) if hasattr(matrix, "todense") else np.asarray(matrix)


def expect(name, matrix, genes, ids, obs=None, head=None, **options):
    """A case of rows: every cell of a matrix, or the first `head`."""
    matrix = dense(matrix)
    integer = np.issubdtype(matrix.dtype, np.integer) or matrix.dtype == bool
    rows = []
    for i in range(min(matrix.shape[0], head or matrix.shape[0])):
        row = {"id": str(ids[i]), "cell": cell(matrix[i], genes, integer)}
        for column in [] if obs is None else obs.columns:
            key = f"obs.{column}" if column in ("id", "cell") else column
            row[key] = plain(obs[column].iloc[i])
        rows.append(row)
    EXPECTED["rows"].append({"file": name, "options": options, "count": matrix.shape[0], "rows": rows})


def expect_rows(name, rows, **options):
    EXPECTED["rows"].append({"file": name, "options": options, "count": len(rows), "rows": rows})


def expect_obsm(name, key, values):
    values = np.asarray(values, dtype=np.float32).tolist()
    EXPECTED["obsm"].append({"file": name, "key": key, "values": values})


def expect_error(name, *words, **options):
    EXPECTED["errors"].append({"file": name, "options": options, "words": list(words)})


# --- AnnData ---------------------------------------------------------------------------------------------------------------


def counts(rng, cells, genes, dtype=np.float32):
    values = rng.poisson(0.7, (cells, genes)).clip(0, 100).astype(dtype)
    values[rng.integers(cells)] = 0
    return values


def sample(rng, cells=30, genes=40, dtype=np.float32, fmt="csr", strings=True):
    """An AnnData with columns of every kind, and its dense matrix."""
    import anndata
    import pandas as pd
    from scipy import sparse

    x = counts(rng, cells, genes, dtype)
    kinds = np.array(["B cell", "T célula", "NK", "unused"])
    labels = pd.Categorical.from_codes(rng.integers(-1, 3, cells), kinds[:4], ordered=bool(rng.integers(2)))
    obs = {
        "kind": labels,
        "grade": pd.Categorical.from_codes(rng.integers(-1, 3, cells), [10, 20, 30]),
        "depth": x.sum(1).astype(np.float32),
        "share": np.where(rng.random(cells) < 0.2, np.nan, rng.random(cells)),
        "plate": rng.integers(-(2**40), 2**40, cells),
        "small": rng.integers(0, 255, cells).astype(np.uint8),
        "doublet": rng.random(cells) < 0.3,
        "id": [f"row {i}" for i in range(cells)],
        "cell": rng.integers(0, 9, cells),
        "maybe": pd.array(np.where(rng.random(cells) < 0.3, None, rng.integers(0, 9, cells)), dtype="Int32"),
        "perhaps": pd.array(np.where(rng.random(cells) < 0.3, None, rng.random(cells) < 0.5), dtype="boolean"),
    }
    obs = pd.DataFrame(obs, index=[f"AAC{i}-1" for i in range(cells)])
    if not strings:
        obs = obs.drop(columns=["maybe", "perhaps"])
    names = [f"GENE{i}" for i in range(genes)]
    names[3] = names[1]
    var = pd.DataFrame(
        {
            "ensembl": [f"ENSG{i:011}.{i % 7}" for i in range(genes)],
            "symbol": pd.Categorical([f"S{i // 2}" for i in range(genes)]),
            "chromosome": rng.integers(1, 22, genes),
        },
        index=names,
    )
    matrix = {"dense": lambda m: m, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[fmt](x)
    adata = anndata.AnnData(X=matrix, obs=obs, var=var)
    adata.obsm["X_pca"] = rng.normal(size=(cells, 5)).astype(np.float32)
    adata.obsm["X_umap"] = rng.normal(size=(cells, 2))
    return adata, x


def expect_sample(name, adata, x, layers=()):
    expect(name, x, adata.var_names, adata.obs_names, adata.obs)
    expect(name, x, adata.var["ensembl"], adata.obs_names, adata.obs, head=3, gene_field="ensembl")
    expect(name, x, adata.var["symbol"], adata.obs_names, adata.obs, head=3, gene_field="symbol")
    expect(name, x, adata.var["chromosome"], adata.obs_names, adata.obs, head=3, gene_field="chromosome")
    for layer in layers:
        expect(name, adata.layers[layer], adata.var_names, adata.obs_names, adata.obs, head=3, layer=layer)
    for key in adata.obsm:
        expect_obsm(name, key, adata.obsm[key])
    expect_error(name, "gene_field", "ensembl", gene_field="nothing")
    expect_error(name, "`X`", layer="nothing")


def modern(out, rng, small):
    """Everything in one file, as the installed anndata writes it."""
    import anndata
    from scipy import sparse

    adata, x = sample(rng, 12, 20) if small else sample(rng)
    adata.layers["counts"] = sparse.csc_matrix((x * 2).astype(np.int64))
    adata.layers["norm"] = np.log1p(x).astype(np.float64)
    full = np.hstack([x, np.ones((x.shape[0], 2), np.float32)])
    wide = anndata.AnnData(
        X=sparse.csr_matrix(full), obs=adata.obs.copy(), var={"n": range(full.shape[1])}
    )
    wide.var_names = [f"RAW{i}" for i in range(full.shape[1])]
    adata.raw = wide
    adata.write_h5ad(out / "modern.h5ad", compression=None if small else "gzip")
    expect_sample("modern.h5ad", adata, x, ["counts", "norm"])
    expect("modern.h5ad", full, wide.var_names, adata.obs_names, adata.obs, layer="raw")


def options(out, rng):
    """The same content under every option of writing."""
    import anndata
    import h5py
    from scipy import sparse

    kinds = [np.bool_, np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float16, np.float32, np.float64]
    for dtype in kinds:
        adata, x = sample(rng, 11, 9, dtype, "dense")
        name = f"dense_{np.dtype(dtype).name}.h5ad"
        adata.write_h5ad(out / name, compression="lzf" if dtype == np.int16 else None)
        expect_sample(name, adata, x)
        if dtype == np.float16:
            continue
        for fmt in ["csr", "csc"]:
            adata, x = sample(rng, 13, 17, dtype, fmt)
            name = f"{fmt}_{np.dtype(dtype).name}.h5ad"
            adata.write_h5ad(out / name, compression="gzip" if dtype == np.int32 else "lzf")
            expect_sample(name, adata, x)
    adata, x = sample(rng, fmt="csr")
    adata.write_h5ad(out / "as_dense.h5ad", as_dense=["X"])
    expect_sample("as_dense.h5ad", adata, x)
    adata, x = sample(rng, fmt="csc")
    adata.obs.index.name, adata.var.index.name = "barcode", "gene"
    adata.write_h5ad(out / "strings.h5ad", convert_strings_to_categoricals=False)
    expect_sample("strings.h5ad", adata, x)
    with h5py.File(out / "latest.h5ad", "w", libver="latest") as f:
        adata, x = sample(rng, fmt="csr")
        anndata.io.write_elem(f, "/", adata)
    expect_sample("latest.h5ad", adata, x)
    with h5py.File(out / "ordered.h5ad", "w", track_order=True) as f:
        adata, x = sample(rng, fmt="dense")
        anndata.io.write_elem(f, "/", adata)
    expect_sample("ordered.h5ad", adata, x)
    with h5py.File(out / "userblock.h5ad", "w", userblock_size=512) as f:
        adata, x = sample(rng, fmt="csr")
        anndata.io.write_elem(f, "/", adata)
    expect_sample("userblock.h5ad", adata, x)
    # Chunks that are taller, narrower and smaller than the matrix.
    adata, x = sample(rng, 300, 50, np.float32, "dense")
    with h5py.File(out / "chunks.h5ad", "w") as f:
        anndata.io.write_elem(f, "/", adata, dataset_kwargs={})
        del f["X"]
        made = f.create_dataset("X", data=x, chunks=(7, 3), compression="gzip", shuffle=True, fletcher32=True)
        made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    expect_sample("chunks.h5ad", adata, x)
    with h5py.File(out / "big_endian.h5ad", "w") as f:
        adata, x = sample(rng, 9, 9, np.float32, "dense")
        anndata.io.write_elem(f, "/", adata)
        del f["X"]
        f.create_dataset("X", data=x.astype(">f4"))
    expect_sample("big_endian.h5ad", adata, x)
    backed(out, rng)
    nullable(out, rng)
    edges(out, rng)


def backed(out, rng):
    """A sparse matrix that was appended to on disk, so that its arrays can grow."""
    import anndata
    import h5py
    from scipy import sparse

    adata, x = sample(rng, 20, 15, np.float32, "csr")
    adata.write_h5ad(out / "backed.h5ad")
    with h5py.File(out / "backed.h5ad", "r+") as f:
        group = f["X"]
        for key in ["data", "indices", "indptr"]:
            values, attrs = group[key][()], dict(group[key].attrs)
            del group[key]
            made = group.create_dataset(key, data=values, maxshape=(None,), chunks=(16,))
            made.attrs.update(attrs)
    expect_sample("backed.h5ad", adata, x)
    both = sparse.csr_matrix(x)
    # Unsorted columns, stored zeros, and two entries of one column.
    data = np.concatenate([both.data, [0, 5, 2]]).astype(np.float32)
    indices = np.concatenate([both.indices, [3, 1, 1]])
    indptr = np.concatenate([both.indptr[:-1], [both.indptr[-1] + 3]])
    with h5py.File(out / "backed.h5ad", "r") as f, h5py.File(out / "loose.h5ad", "w") as g:
        for key in f:
            f.copy(key, g)
        g.attrs.update(f.attrs)
        for key, values in [("data", data), ("indices", indices[::1]), ("indptr", indptr)]:
            del g["X"][key]
            g["X"].create_dataset(key, data=values)
    loose = x.copy()
    loose[-1, 1] += 7
    expect("loose.h5ad", loose, adata.var_names, adata.obs_names, adata.obs)


def nullable(out, rng):
    """Text with missing values, where the installed anndata can write it."""
    import anndata
    import pandas as pd

    adata, x = sample(rng, 12, 8)
    adata.obs["note"] = pd.array([None if i % 3 == 0 else f"note {i}" for i in range(12)], dtype="string")
    try:
        anndata.settings.allow_write_nullable_strings = True
    except (AttributeError, KeyError):
        pass
    try:
        adata.write_h5ad(out / "nullable.h5ad", convert_strings_to_categoricals=False)
    except Exception as error:  # noqa: BLE001
        print("without nullable text:", type(error).__name__)
        return
    expect_sample("nullable.h5ad", adata, x)


def edges(out, rng):
    """Files at the edge of what is right, and beyond."""
    import anndata
    import h5py
    import pandas as pd

    adata, x = sample(rng, 6, 5, np.float32, "dense")
    bare = anndata.AnnData(X=x)
    bare.write_h5ad(out / "bare.h5ad")
    expect("bare.h5ad", x, bare.var_names, bare.obs_names)
    none = anndata.AnnData(obs=adata.obs[["depth"]], var=adata.var[[]])
    none.layers["counts"] = x
    none.write_h5ad(out / "no_x.h5ad")
    expect("no_x.h5ad", x, none.var_names, none.obs_names, none.obs, layer="counts")
    expect_error("no_x.h5ad", "`X`", "`counts`")
    table = adata.copy()
    table.obsm["frame"] = pd.DataFrame(
        {"a": np.arange(6.0), "b": np.arange(6, dtype=np.int8)}, index=adata.obs_names
    )
    table.write_h5ad(out / "frame.h5ad")
    expect_obsm("frame.h5ad", "frame", table.obsm["frame"].to_numpy())
    bad = x.copy()
    bad[2, 1], bad[4, 0] = np.nan, np.inf
    anndata.AnnData(X=bad).write_h5ad(out / "nan.h5ad")
    expect_error("nan.h5ad", "row 3", "`1`", "NaN")
    EXPECTED["errors"][-1]["bad"] = [3, 5]
    one = anndata.AnnData(X=x[:1, :1])
    one.write_h5ad(out / "one.h5ad")
    expect("one.h5ad", x[:1, :1], one.var_names, one.obs_names)
    # As R's rhdf5 stores attributes: arrays of one, shapes as floats.
    adata, x = sample(rng, 6, 5, np.float32, "csr")
    adata.obs = adata.obs[["depth"]]
    with h5py.File(out / "arrays.h5ad", "w") as f:
        anndata.io.write_elem(f, "/", adata)
        f["X"].attrs.update({"encoding-type": np.array([b"csr_matrix"]), "shape": np.array(x.shape, float)})
        f["obs"].attrs.update({"_index": np.array([b"_index"]), "column-order": "depth"})
    expect_sample("arrays.h5ad", adata, x)
    empty = anndata.AnnData(X=np.zeros((0, 3), np.float32))
    empty.write_h5ad(out / "empty.h5ad")
    expect("empty.h5ad", np.zeros((0, 3), np.float32), empty.var_names, [])
    with h5py.File(out / "short.h5ad", "w") as f:
        anndata.io.write_elem(f, "/", adata)
        del f["X"]
        f.create_dataset("X", data=x[:4])
    expect_error("short.h5ad", "shape", "6 cells")
    with h5py.File(out / "not_anndata.h5ad", "w") as f:
        f.create_dataset("X", data=x)
    expect_error("not_anndata.h5ad", "AnnData")
    if importlib.util.find_spec("hdf5plugin"):
        import hdf5plugin

        with h5py.File(out / "blosc.h5ad", "w") as f:
            anndata.io.write_elem(f, "/", adata)
            del f["X"]
            f.create_dataset("X", data=x, **hdf5plugin.Blosc())
        expect_error("blosc.h5ad", "blosc", "gzip")


def old(out, rng):
    """The layout of anndata 0.7: codes in the group, categories in `__categories`."""
    import h5py

    adata, x = sample(rng, 14, 12, strings=False)
    with h5py.File(out / "old.h5ad", "w") as f:
        text = h5py.string_dtype()
        group = f.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": x.shape})
        for key in ["data", "indices", "indptr"]:
            group.create_dataset(key, data=getattr(adata.X, key), compression="gzip")
        for name, frame in [("obs", adata.obs), ("var", adata.var)]:
            group = f.create_group(name)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": "index"})
            group.attrs["column-order"] = np.array(list(frame.columns), dtype=object)
            group.create_dataset("index", data=np.array(frame.index, dtype=object), dtype=text)
            for column in frame.columns:
                values = frame[column]
                if values.dtype.name != "category":
                    values = values.to_numpy()
                    group.create_dataset(column, data=values, dtype=text if values.dtype == object else None)
                    continue
                made = group.create_dataset(column, data=values.cat.codes.to_numpy())
                cats = values.cat.categories.to_numpy()
                kept = group.create_dataset(
                    f"__categories/{column}", data=cats, dtype=text if cats.dtype == object else None
                )
                kept.attrs["ordered"] = False
                made.attrs["categories"] = kept.ref
        obsm = f.create_group("obsm")
        for key in adata.obsm:
            obsm.create_dataset(key, data=adata.obsm[key])
    expect_sample("old.h5ad", adata, x)


def legacy(out, rng, name="legacy.h5ad", variable=False):
    """The layout before 0.7: tables of records, categories in `uns`, `h5sparse_*`; text of fixed or variable length."""
    import h5py

    adata, x = sample(rng, 16, 10, strings=False)
    adata.obs = adata.obs.drop(columns=["grade"])
    if not variable:
        # anndata itself reads text of fixed length as ASCII.
        adata.obs["kind"] = adata.obs["kind"].cat.rename_categories({"T célula": "T cell"})

    def records(frame, uns):
        fields, columns = [], []
        index = frame.index.to_numpy()
        for key, values in [("index", index), *[(c, frame[c]) for c in frame.columns]]:
            if getattr(values, "dtype", None) is not None and values.dtype.name == "category":
                cats = [str(c) for c in values.cat.categories]
                cats = np.array(cats, dtype=object) if variable else np.array([c.encode() for c in cats])
                uns.create_dataset(f"{key}_categories", data=cats, dtype=h5py.string_dtype() if variable else None)
                values = values.cat.codes.to_numpy()
            values = np.asarray(values)
            if values.dtype == object or values.dtype.kind == "U":
                kind = h5py.string_dtype() if variable else f"S{max(len(v.encode()) for v in values)}"
                values = [v.encode() for v in values] if not variable else list(values)
            else:
                kind = values.dtype
            fields.append((key, kind))
            columns.append(values)
        made = np.empty(len(index), dtype=np.dtype(fields))
        for (key, _), values in zip(fields, columns):
            made[key] = values
        return made

    with h5py.File(out / name, "w") as f:
        uns = f.create_group("uns")
        f.create_dataset("X", data=x, compression="gzip")
        f.create_dataset("obs", data=records(adata.obs, uns), compression=None if variable else "gzip")
        f.create_dataset("var", data=records(adata.var, uns))
        pairs = np.empty(16, dtype=[("X_pca", "<f4", (5,)), ("X_umap", "<f8", (2,))])
        pairs["X_pca"], pairs["X_umap"] = adata.obsm["X_pca"], adata.obsm["X_umap"]
        f.create_dataset("obsm", data=pairs, compression="gzip")
        raw = f.create_group("raw.X")
        raw.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": np.array(x.shape)})
        for key in ["data", "indices", "indptr"]:
            raw.create_dataset(key, data=getattr(adata.X, key))
        names = np.array([(f"RAW{i}".encode(),) for i in range(10)], dtype=[("index", "S8")])
        f.create_dataset("raw.var", data=names)
    adata.var["symbol"] = adata.var["symbol"].astype(str)
    expect_sample(name, adata, x)
    expect(name, x, [f"RAW{i}" for i in range(10)], adata.obs_names, adata.obs, layer="raw")


# --- 10x -------------------------------------------------------------------------------------------------------------------


def tenx_features(genes, others=0):
    ids = [f"ENSG{i:011}" for i in range(genes + others)]
    names = [f"G{i // 2}" for i in range(genes)] + [f"CD{i}_TotalSeq" for i in range(others)]
    kinds = ["Gene Expression"] * genes + ["Antibody Capture"] * others
    return ids, names, kinds


def tenx_h5(out, rng, small):
    import h5py
    from scipy import sparse

    x = counts(rng, 12, 20, np.int32)
    ids, names, kinds = tenx_features(17, 3)
    barcodes = [f"ACGT{i}-1" for i in range(12)]

    def write(group, x):
        m = sparse.csc_matrix(x.T)
        group.create_dataset("barcodes", data=np.array(barcodes, dtype="S18"))
        group.create_dataset("data", data=m.data.astype(np.int32), compression="gzip")
        group.create_dataset("indices", data=m.indices.astype(np.int64), compression="gzip")
        group.create_dataset("indptr", data=m.indptr.astype(np.int64), compression="gzip")
        group.create_dataset("shape", data=np.array(m.shape, dtype=np.int32))

    with h5py.File(out / "tenx_v3.h5", "w") as f:
        group = f.create_group("matrix")
        write(group, x)
        features = group.create_group("features")
        for key, values in [("id", ids), ("name", names), ("feature_type", kinds), ("genome", ["GRCh38"] * 20)]:
            features.create_dataset(key, data=np.array(values, dtype="S"))
        features.create_dataset("_all_tag_keys", data=np.array([b"genome"]))
    expect("tenx_v3.h5", x[:, :17], names, barcodes)
    expect("tenx_v3.h5", x[:, :17], ids, barcodes, gene_field="id")
    expect_error("tenx_v3.h5", "gene_field", gene_field="symbol")

    with h5py.File(out / "tenx_v2.h5", "w") as f:
        group = f.create_group("GRCh38")
        write(group, x[:, :17])
        group.create_dataset("genes", data=np.array(ids[:17], dtype="S"))
        group.create_dataset("gene_names", data=np.array(names[:17], dtype="S"))
    expect("tenx_v2.h5", x[:, :17], names, barcodes)
    if small:
        return
    with h5py.File(out / "tenx_two.h5", "w") as f, h5py.File(out / "tenx_v2.h5") as g:
        g.copy("GRCh38", f)
        g.copy("GRCh38", f, "mm10")
    expect_error("tenx_two.h5", "GRCh38", "mm10", "layer")
    expect("tenx_two.h5", x[:, :17], ids, barcodes, gene_field="id", layer="mm10")


def write_mtx(folder, x, ids, names, kinds, kind="integer", order="cell", packed=True, old=False, turned=False):
    folder.mkdir(exist_ok=True)
    at = [(i, j) for i in range(x.shape[0]) for j in range(x.shape[1]) if x[i, j]]
    if order == "gene":
        at.sort(key=lambda pair: (pair[1], pair[0]))
    shape = (x.shape[0], x.shape[1]) if turned else (x.shape[1], x.shape[0])
    lines = [f"%%MatrixMarket matrix coordinate {kind} general", '%metadata_json: {"software_version": "x"}']
    lines.append(f"{shape[0]} {shape[1]} {len(at)}")
    for i, j in at:
        pair = f"{i + 1} {j + 1}" if turned else f"{j + 1} {i + 1}"
        lines.append(f"{pair} {x[i, j]!r}" if kind == "real" else f"{pair} {int(x[i, j])}")

    def put(name, lines):
        text = "\n".join(lines) + "\n"
        if packed:
            with open(folder / f"{name}.gz", "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as f:
                f.write(text.encode())
        else:
            (folder / name).write_text(text)

    put("matrix.mtx", lines)
    put("barcodes.tsv", [f"ACGT{i}-1" for i in range(x.shape[0])])
    rows = zip(ids, names) if old else zip(ids, names, kinds)
    put("genes.tsv" if old else "features.tsv", ["\t".join(row) for row in rows])


def tenx_mtx(out, rng, small):
    x = counts(rng, 9, 14, np.int32)
    barcodes = [f"ACGT{i}-1" for i in range(9)]
    ids, names, kinds = tenx_features(11, 3)
    write_mtx(out / "tenx_mtx", x, ids, names, kinds)
    expect("tenx_mtx", x[:, :11], names, barcodes)
    expect("tenx_mtx", x[:, :11], ids, barcodes, gene_field="id")
    if small:
        return
    write_mtx(out / "tenx_old", x, ids, names, kinds, packed=False, old=True)
    expect("tenx_old", x, names, barcodes)
    real = (x * 0.5).astype(np.float64)
    write_mtx(out / "tenx_gene", real.astype(object), ids, names, kinds, kind="real", order="gene")
    expect("tenx_gene", real[:, :11], names, barcodes)
    write_mtx(out / "tenx_turned", x, ids, names, kinds, turned=True, packed=False)
    expect("tenx_turned", x[:, :11], names, barcodes)
    write_mtx(out / "tenx_short", x, ids[:-1], names, kinds)
    expect_error("tenx_short", "13 features", "9 barcodes")
    write_mtx(out / "tenx_missing", x, ids, names, kinds)
    (out / "tenx_missing" / "barcodes.tsv.gz").unlink()
    expect_error("tenx_missing", "barcodes.tsv")


# --- Sequences, molecules, tables ------------------------------------------------------------------------------------------


def sequences(out, rng):
    from Bio import SeqIO
    from Bio.Seq import Seq
    from Bio.SeqRecord import SeqRecord

    letters = list("ACDEFGHIKLMNPQRSTVWY")
    records, rows = [], []
    for i in range(12):
        sequence = "".join(rng.choice(letters, rng.integers(1, 200)))
        about = f"sp|P{i:05}|NAME_HUMAN protein {i} OS=Homo sapiens" if i % 2 else ""
        records.append(SeqRecord(Seq(sequence), id=f"P{i:05}", description=about))
        rows.append({"id": f"P{i:05}", "sequence": sequence})
    SeqIO.write(records, out / "biopython.fasta", "fasta")
    expect_rows("biopython.fasta", rows)
    reads, rows = [], []
    for i in range(8):
        sequence = "".join(rng.choice(list("ACGT"), rng.integers(1, 90)))
        quality = rng.integers(0, 40, len(sequence)).tolist()
        reads.append(
            SeqRecord(Seq(sequence), id=f"r{i}", description="", letter_annotations={"phred_quality": quality})
        )
        rows.append({"id": f"r{i}", "sequence": sequence})
    SeqIO.write(reads, out / "biopython.fastq", "fastq")
    expect_rows("biopython.fastq", rows)


def molecules(out, rng):
    from rdkit import Chem

    smiles = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "C1CC1", "N#N"]
    rows = []
    writer = Chem.SDWriter(str(out / "rdkit.sdf"))
    for i, one in enumerate(smiles):
        molecule = Chem.MolFromSmiles(one)
        molecule.SetProp("_Name", f"mol {i}")
        molecule.SetProp("logS", f"{rng.normal():.3f}")
        rows.append({"id": f"mol {i}", "logS": molecule.GetProp("logS")})
        writer.write(molecule)
    writer.close()
    expect_rows("rdkit.sdf", rows)
    with open(out / "rdkit.smi", "w") as f:
        for i, one in enumerate(smiles):
            f.write(f"{one} mol{i}\n")
    expect_rows("rdkit.smi", [{"smiles": one, "id": f"mol{i}"} for i, one in enumerate(smiles)])


def tables(out, rng):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"name": f"row {i}", "sequence": "MK" * (i + 1), "n": i, "x": i / 8, "ok": i % 3 == 0} for i in range(20)]
    table = pa.Table.from_pylist(rows)
    for codec in ["none", "snappy", "gzip", "zstd", "lz4"]:
        pq.write_table(table, out / f"{codec}.parquet", compression=codec, row_group_size=7)
        expect_rows(f"{codec}.parquet", rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    out, rng = args.out, np.random.default_rng(args.seed)
    modern(out, rng, args.small)
    old(out, rng)
    legacy(out, rng)
    tenx_h5(out, rng, args.small)
    tenx_mtx(out, rng, args.small)
    if not args.small:
        legacy(out, rng, "legacy_variable.h5ad", variable=True)
        options(out, rng)
        for needs, make in [("Bio", sequences), ("rdkit", molecules), ("pyarrow", tables)]:
            if importlib.util.find_spec(needs):
                make(out, rng)
            else:
                print(f"without {needs}")
    (out / "expected.json").write_text(json.dumps(EXPECTED))


if __name__ == "__main__":
    main()
