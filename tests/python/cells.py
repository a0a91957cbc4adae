"""Writes folders of single-cell encoders as they are published, with random weights, and what their authors' computation makes
of cells: scGPT in plain torch and numpy, Geneformer by `transformers` and its tokenizer's arithmetic.

    python cells.py DIR

Prints a JSON list of {"name", "config", "records", "vectors"}; `vectors[i]` is the state of `<cls>` (scGPT) or the mean over
genes (Geneformer) of `records[i]`. Prints {"missing": what} where a package is missing.

    scgpt_wrapped     best_model.pt of a model wrapped for several devices, flash-attention's names, decoder and batch norm beside it
    scgpt_gelu        model.safetensors, PyTorch's names, gelu, 11 bins, `<cls>` with the value 0, few tokens
    geneformer_v1     pickled dictionaries, protocol 2, no special tokens
    geneformer_v2     pickled dictionaries, protocol 5, <cls> and <eos>, the layer before the last
    geneformer_log1p  dictionaries as JSON, log-normalised values
"""

import json
import os
import pickle
import sys

D, HEADS, LAYERS = 24, 3, 2
GENES = 90


def write(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def cells(np, rng, names, count):
    """Sparse cells of very different depth, their genes in random order, some unknown."""
    rows = []
    for depth in np.geomspace(0.2, 20, count):
        values = rng.poisson(depth * rng.gamma(0.7, 2.0, len(names)))
        order = [i for i in rng.permutation(len(names)) if values[i] > 0]
        rows.append(([names[i] for i in order], [int(values[i]) for i in order]))
    return rows


def records(rows, convert=lambda values: values):
    return [{"genes": genes, "values": convert(values)} for genes, values in rows]


def scgpt_model(torch, rows, activation):
    nn = torch.nn
    model = nn.Module()
    model.encoder = nn.Module()
    model.encoder.embedding = nn.Embedding(rows, D)
    model.encoder.enc_norm = nn.LayerNorm(D)
    model.value_encoder = nn.Module()
    model.value_encoder.linear1 = nn.Linear(1, D)
    model.value_encoder.linear2 = nn.Linear(D, D)
    model.value_encoder.norm = nn.LayerNorm(D)
    layer = nn.TransformerEncoderLayer(D, HEADS, 40, dropout=0.0, activation=activation, batch_first=True)
    model.transformer_encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def scgpt_vector(np, torch, model, vocabulary, row, settings):
    known = [(vocabulary[gene], value) for gene, value in zip(*row) if gene in vocabulary]
    ids = np.array([i for i, _ in known])
    counts = np.array([value for _, value in known], np.float32)
    logs = np.log1p(counts / (counts.sum() / np.float32(1e4)))
    edges = np.quantile(logs, np.linspace(0, 1, settings["n_bins"] - 1))
    bins = np.digitize(logs, edges)
    kept = np.sort(np.lexsort((np.arange(len(logs)), -logs))[: settings["max_length"] - 1])
    ids = torch.tensor([[vocabulary["<cls>"], *ids[kept].tolist()]])
    values = torch.tensor([[settings["cls"], *bins[kept].tolist()]], dtype=torch.float32)
    with torch.no_grad():
        gene = model.encoder.enc_norm(model.encoder.embedding(ids))
        number = model.value_encoder.linear1(values.clamp(max=512).unsqueeze(-1)).relu()
        number = model.value_encoder.norm(model.value_encoder.linear2(number))
        return model.transformer_encoder(gene + number)[0, 0].tolist()


def scgpt(np, torch, root, wrapped):
    rng = np.random.default_rng(11 if wrapped else 12)
    torch.manual_seed(1)
    path = os.path.join(root, "scgpt_wrapped" if wrapped else "scgpt_gelu")
    os.makedirs(path)
    vocabulary = {f"G{i}": int(p) for i, p in enumerate(rng.permutation(GENES))}
    write(os.path.join(path, "vocab.json"), vocabulary)  # without special tokens: they follow
    for special in ("<pad>", "<cls>", "<eoc>"):
        vocabulary[special] = len(vocabulary)
    settings = {"n_bins": 51, "max_length": 60, "cls": -2.0} if wrapped else {"n_bins": 11, "max_length": 12, "cls": 0.0}
    model = scgpt_model(torch, len(vocabulary), "relu" if wrapped else "gelu")
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    args = {"embsize": D, "nheads": HEADS, "d_hid": 40, "nlayers": LAYERS, "n_bins": 51, "max_seq_len": 60, "pad_value": -2}
    if wrapped:
        tensors["decoder.fc.0.weight"], tensors["dsbn.bns.0.running_mean"] = torch.zeros(D, D), torch.zeros(D)
        tensors["batch_encoder.embedding.weight"] = torch.zeros(2, D)
        tensors = {f"module.{name}".replace("in_proj_", "Wqkv."): tensor for name, tensor in tensors.items()}
        torch.save(tensors, os.path.join(path, "best_model.pt"))
        config = {"path": path}
    else:
        from safetensors.torch import save_file

        save_file(tensors, os.path.join(path, "model.safetensors"))
        args["activation"] = "gelu"
        config = {"path": path, "n_bins": 11, "max_length": 12, "cls_value": "zero"}
    write(os.path.join(path, "args.json"), args)
    rows = cells(np, rng, [f"G{i}" for i in range(GENES)] + ["X1", "X2", "X3"], 6)
    vectors = [scgpt_vector(np, torch, model, vocabulary, row, settings) for row in rows]
    return {"name": os.path.basename(path), "config": config, "records": records(rows), "vectors": vectors}


def geneformer(np, torch, root, name):
    from transformers import BertConfig, BertForMaskedLM

    rng = np.random.default_rng(sum(name.encode()))
    torch.manual_seed(2)
    path = os.path.join(root, name)
    os.makedirs(path)
    special = ["<pad>", "<mask>"] + (["<cls>", "<eos>"] if name == "geneformer_v2" else [])
    genes = [f"ENSG{i:011d}" for i in range(GENES)]
    tokens = {token: i for i, token in enumerate(special + genes)}
    medians = {gene: float(rng.uniform(0.5, 3)) for gene in genes}
    for stem, value in (("token_dictionary", tokens), ("gene_median_dictionary", medians)):
        if name == "geneformer_log1p":
            write(os.path.join(path, f"{stem}.json"), value)
        else:
            with open(os.path.join(path, f"{stem}_gc.pkl"), "wb") as file:
                pickle.dump(value, file, protocol=2 if name == "geneformer_v1" else 5)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=D, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=40,
        max_position_embeddings=40, hidden_act="relu", pad_token_id=0,
    )
    model = BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(path)
    second = name == "geneformer_v2"
    rows = cells(np, rng, genes + ["X1", "X2"], 6)
    vectors = []
    for names, values in rows:
        total = sum(values)
        relative = np.array([v / total * 10_000 / medians[g] for g, v in zip(names, values) if g in medians])
        ids = np.array([tokens[g] for g in names if g in medians])[np.argsort(-relative)].tolist()
        ids = [tokens["<cls>"], *ids[:38], tokens["<eos>"]] if second else ids[:40]
        with torch.no_grad():
            states = model.bert(torch.tensor([ids]), output_hidden_states=True).hidden_states
        genes_only = states[-2][0, 1:-1] if second else states[-1][0]
        vectors.append(genes_only.mean(0).tolist())
    settings = {"path": path}
    convert = lambda values: values
    if second:
        settings["emb_layer"] = -1
    if name == "geneformer_log1p":
        settings["values"] = "log1p"
        convert = lambda values: [float(np.log1p(v / sum(values) * 1e4)) for v in values]
    return {"name": name, "config": settings, "records": records(rows, convert), "vectors": vectors}


def main():
    try:
        import numpy as np
        import safetensors.torch  # noqa: F401
        import torch
        import transformers  # noqa: F401
    except ImportError as missing:
        return {"missing": str(missing)}
    root = sys.argv[1]
    names = ("geneformer_v1", "geneformer_v2", "geneformer_log1p")
    cases = [scgpt(np, torch, root, wrapped) for wrapped in (True, False)]
    return cases + [geneformer(np, torch, root, name) for name in names]


if __name__ == "__main__":
    print(json.dumps(main()))
