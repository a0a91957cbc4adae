"""Makes the seeds of the fuzz targets: small whole files of every format, by the packages that people use.

    python fuzz/make_seeds.py        # anndata, h5py, numpy, pyarrow, rdkit, safetensors, scipy, torch, zstandard (optional)

Everything in them is invented. A seed that a package is missing for is left as it is.
"""

import gzip
import io
import json
import struct
from pathlib import Path

import numpy as np

SEEDS = Path(__file__).parent / "seeds"


def put(target, name, content):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    (folder / name).write_bytes(content)
    return folder / name


def gz(text):
    return gzip.compress(text.encode(), mtime=0)


def sequences():
    fasta = ">sp|P00001|ONE_HUMAN First protein OS=Homo sapiens OX=9606 GN=ONE PE=1 SV=1\nMKTAYIAKQR\nQISFVKSHFS\n\n>two\r\nmkv*\r\n"
    put("fasta", "two.fasta", fasta)
    put("fasta", "two.fasta.gz", gz(fasta))
    put("fasta", "bad.fasta", ">a\n>b\nM1K\n>\nMK\n")
    put("fasta", "reads.fastq", "@r1\nACGT\n+\nIIII\n@r2 x\nAC\nGT\n+r2\nII\n@I\n")


def molecules():
    put("smiles", "plain.smi", "CCO ethanol\nc1ccccc1\tbenzene\n# note\n[Na+].[Cl-] salt\n")
    put("smiles", "header.smi", "smiles name\nCC(=O)O acid\n")
    from rdkit import Chem
    from rdkit.Chem import AllChem

    for version in ("V2000", "V3000"):
        out = io.StringIO()
        writer = Chem.SDWriter(out)
        writer.SetForceV3000(version == "V3000")
        for name, smiles in [("acid", "CC(=O)O"), ("chiral", "C[C@H](N)C(=O)[O-]"), ("alkene", "F/C=C/[13CH3]")]:
            molecule = Chem.MolFromSmiles(smiles)
            AllChem.Compute2DCoords(molecule)
            molecule.SetProp("_Name", name)
            molecule.SetProp("note", "two\nlines")
            writer.write(molecule)
        writer.close()
        put("sdf", f"three_{version}.sdf", out.getvalue())


def tables():
    put("table", "pairs.csv", 'smiles,text\n"C,C","two ""words"""\nO,\n')
    put("table", "pairs.tsv", "smiles\ttext\nCC\tx\nO\ty\n")
    put("table", "nameless.csv", "CC(=O)O,1\nCO,0\n")
    put("table", "semicolons.csv.gz", gz("\ufeffa;b\n1;2\n"))
    row = {
        "messages": [{"role": "user", "content": "Is <molecule> wet?"}, {"role": "assistant", "content": "Yes."}],
        "records": [["molecule", "O"]],
    }
    put("table", "rows.jsonl", json.dumps(row) + "\n\n" + json.dumps({"a": [1, 2.5, None, {"b": "x"}]}) + "\n")
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "smiles": ["CC", None, "O"],
            "label": [1, 2, 3],
            "messages": [row["messages"], [], None],
            "records": [[{"modality": "molecule", "record": "CC"}], [], None],
            "vector": [[0.5, 1.0], None, [float("nan")]],
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    for codec in ("none", "snappy", "zstd", "gzip"):
        out = io.BytesIO()
        pq.write_table(table, out, compression=codec, row_group_size=2)
        put("table", f"nested_{codec}.parquet", out.getvalue())


def cells():
    import anndata
    import h5py
    import pandas as pd
    from scipy import sparse

    counts = np.array([[0, 3, 1], [2, 0, 0], [0, 0, 0], [1, 1, 4]], dtype=np.float32)
    obs = pd.DataFrame({"type": pd.Categorical(["B", "T", "B", "T"]), "depth": [4, 2, 0, 6]}, index=[f"cell{i}" for i in range(4)])
    var = pd.DataFrame({"symbol": ["ONE", "TWO", "THREE"]}, index=["G1", "G2", "G3"])
    kinds = {"dense": counts, "csr": sparse.csr_matrix(counts), "csc": sparse.csc_matrix(counts)}
    for name, matrix in kinds.items():
        data = anndata.AnnData(matrix, obs=obs.copy(), var=var.copy())
        data.layers["counts"] = matrix.copy()
        data.obsm["X_pca"] = np.arange(8, dtype=np.float32).reshape(4, 2)
        path = put("h5ad", f"{name}.h5ad", "")
        data.write_h5ad(path, compression="gzip" if name == "csr" else None)
    with h5py.File(put("tenx_h5", "v3.h5", ""), "w") as file:
        matrix = file.create_group("matrix")
        csc = sparse.csc_matrix(counts.T)
        matrix["barcodes"] = np.array([b"AAAC-1", b"AAAG-1", b"AAAT-1", b"AACA-1"])
        matrix["data"], matrix["indices"] = csc.data.astype("i4"), csc.indices.astype("i8")
        matrix["indptr"], matrix["shape"] = csc.indptr.astype("i8"), np.array(csc.shape, "i4")
        features = matrix.create_group("features")
        features["id"] = np.array([b"ENSG1", b"ENSG2", b"ENSG3"])
        features["name"] = np.array([b"ONE", b"TWO", b"THREE"])
        features["feature_type"] = np.array([b"Gene Expression"] * 3)
        features["genome"] = np.array([b"X"] * 3)
    coo = sparse.coo_matrix(counts.T)
    lines = [f"{g + 1} {c + 1} {int(v)}" for g, c, v in sorted(zip(coo.row, coo.col, coo.data), key=lambda e: (e[1], e[0]))]
    head = "%%MatrixMarket matrix coordinate integer general\n%made by hand\n"
    put("mtx", "matrix.mtx", head + f"3 4 {len(lines)}\n" + "\n".join(lines) + "\n")


def vectors():
    import safetensors.numpy

    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    for name, array in {"f32": values, "f64": values.astype("f8"), "f16": values.astype("f2"), "fortran": np.asfortranarray(values)}.items():
        out = io.BytesIO()
        np.save(out, array)
        put("npy", f"{name}.npy", out.getvalue())
    ids = np.frombuffer(b"a\nb\nc", dtype=np.uint8)
    put("embeddings", "three.safetensors", safetensors.numpy.save({"embeddings": values, "ids": ids}))
    put("weights", "two.safetensors", safetensors.numpy.save({"a.weight": values, "b.bias": values[0].astype("f2")}, {"format": "pt"}))


def checkpoints():
    import torch

    state = {"a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3), "b.bias": torch.ones(3, dtype=torch.float16)}
    for name, content, old in [("zip.pt", state, False), ("old.pt", state, True), ("nested.pt", {"model_state_dict": state, "step": 7}, False)]:
        out = io.BytesIO()
        torch.save(content, out, _use_new_zipfile_serialization=not old)
        put("pickle", name, out.getvalue())


def llama2c():
    dim, hidden, layers, heads, vocab, length = 4, 8, 1, 2, 8, 4
    size = vocab * dim + layers * (2 * dim + 4 * dim * dim + 3 * dim * hidden) + dim + length * (dim // heads)
    header = struct.pack("7i", dim, hidden, layers, heads, heads, vocab, length)
    put("llama2c", "tiny.bin", header + np.linspace(-1, 1, size, dtype="<f4").tobytes())
    words = [b"<unk>", b"\n<s>\n", b"\n</s>\n", b"a", b"b", b" ", b"ab", b"c"]
    tokens = b"".join(struct.pack("<fi", -float(i), len(word)) + word for i, word in enumerate(words))
    put("llama2c_vocabulary", "tokenizer.bin", struct.pack("<i", max(map(len, words))) + tokens)


def texts():
    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5, "##b": 6}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": 1, "content": "[UNK]", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        ],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "truncation": None,
        "padding": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
    }
    put("tokenizer", "tokenizer.json", json.dumps(tokenizer))
    put("vocab", "vocab.txt", "\n".join(vocab) + "\n")
    adapter = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"], "bias": "none", "use_rslora": False}
    put("adapter", "adapter_config.json", json.dumps(adapter))
    put(
        "chat",
        "template.jinja",
        "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'].strip() }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    )


for make in (sequences, molecules, tables, cells, vectors, checkpoints, llama2c, texts):
    try:
        make()
    except ImportError as missing:
        print(f"{make.__name__}: left as they are, for {missing.name} is not installed")
