"""Tables of vectors between this project and Python: reads ours, or writes what Python people have.

vectors.py read FILE...   prints {file: {"ids": [...], "vectors": [[...]]}}
vectors.py write FOLDER   writes files of random vectors in several layouts and prints what they hold
"""

import json
import sys
from pathlib import Path

try:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import load_file, save_file
except ImportError as missing:
    print(json.dumps({"missing": str(missing)}))
    sys.exit()


def read(path):
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        assert str(table.schema.field("embedding").type).startswith("fixed_size_list"), table.schema
        return table["id"].to_pylist(), table["embedding"].to_pylist()
    if path.suffix == ".npy":
        return path.with_suffix(".ids.txt").read_text().split("\n"), np.load(path).tolist()
    tensors = load_file(path)
    return bytes(tensors["ids"]).decode().split("\n"), tensors["embeddings"].tolist()


def write(folder):
    rng = np.random.default_rng(3)
    n, d = 7, 5
    values = rng.normal(size=(n, d)).astype(np.float32)
    ids = [f"P{i} ü" for i in range(n)]
    rows = [str(i) for i in range(n)]
    held = {}

    def told(name, names, array):
        held[name] = {"ids": names, "vectors": np.asarray(array, dtype=np.float32).tolist()}

    def parquet(name, id_column, vectors, names=ids, **options):
        pq.write_table(pa.table({**id_column, "vector": vectors}), folder / name, **options)
        told(name, names, values)

    doubles = pa.array(values.astype(np.float64).tolist(), type=pa.list_(pa.float64()))
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), d)
    parquet("lists.parquet", {"name": pa.array(ids)}, doubles)
    parquet("fixed.parquet", {"name": pa.array(ids, type=pa.large_string())}, fixed, compression="zstd")
    parquet("words.parquet", {"name": pa.array(ids).dictionary_encode()}, doubles, row_group_size=2)
    parquet("numbers.parquet", {"accession": pa.array(range(n))}, fixed, names=rows)
    parquet("two.parquet", {"id": pa.array(ids), "species": pa.array(["yeast"] * n)}, fixed)
    try:
        import pandas as pd

        pd.DataFrame({"id": ids, "vector": list(values)}).to_parquet(folder / "pandas.parquet")
        told("pandas.parquet", ids, values)
    except ImportError:
        pass
    np.save(folder / "c.npy", values)
    told("c.npy", rows, values)
    np.save(folder / "f.npy", np.asfortranarray(values.astype(">f8")))
    told("f.npy", rows, values)
    half = values.astype(np.float16)
    np.save(folder / "half.npy", half)
    told("half.npy", rows, half)
    joined = np.frombuffer("\n".join(ids).encode(), dtype=np.uint8)
    save_file({"embeddings": values, "ids": joined}, folder / "ours.safetensors")
    told("ours.safetensors", ids, values)
    save_file({"mean_pooled": half}, folder / "other.safetensors")
    told("other.safetensors", rows, half)
    return held


verb, *rest = sys.argv[1:]
if verb == "read":
    answer = {}
    for name in rest:
        ids, vectors = read(Path(name))
        answer[Path(name).name] = {"ids": ids, "vectors": vectors}
else:
    answer = write(Path(rest[0]))
print(json.dumps(answer))
