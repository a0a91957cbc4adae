"""Encoders by transformers, for tests/tests/transformers.rs. Nothing of this project takes part.

    encoders.py write DIR    DIR/<case>/: a random model as transformers saves it, and reference.json with what it computes
    encoders.py read DIR     for each model in DIR/<case>/, saved by someone else: reference.json on the same inputs

Prints one JSON object: {"cases": [name, ...]}, or {"missing": package}. Models that lack a tensor, or have one that
transformers does not know, end the script.
"""

import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, vocab_size=40)
ESM = dict(SIZES, pad_token_id=1, mask_token_id=2, max_position_embeddings=130, layer_norm_eps=1e-5)
ESM2 = dict(ESM, position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False)
ESM1B = dict(ESM, position_embedding_type="absolute", token_dropout=True, emb_layer_norm_before=True)
BERT = dict(SIZES, pad_token_id=1, max_position_embeddings=130)
MODERN = dict(SIZES, pad_token_id=1, max_position_embeddings=130, local_attention=8, bos_token_id=0, cls_token_id=0,
              eos_token_id=3, sep_token_id=3)
BIASES = dict(norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True)
FULL, SLIDING = "full_attention", "sliding_attention"

# Name, class, configuration, dtype of the file.
CASES = [
    ("esm2", "EsmForMaskedLM", ESM2, "float32"),
    ("esm2-half", "EsmForMaskedLM", ESM2, "float16"),
    ("esm2-bfloat", "EsmForMaskedLM", ESM2, "bfloat16"),
    ("esm2-rounded-frequencies", "EsmForMaskedLM", ESM2, "float32"),
    ("esm2-body-and-pooler", "EsmModel", ESM2, "float32"),
    ("esm2-norm-before", "EsmForMaskedLM", dict(ESM2, emb_layer_norm_before=True, token_dropout=False), "float32"),
    ("esm1b", "EsmForMaskedLM", ESM1B, "float32"),
    ("esm-untied", "EsmForMaskedLM", dict(ESM2, tie_word_embeddings=False), "float32"),
    ("bert-body-and-pooler", "BertModel", BERT, "float32"),
    ("bert-head", "BertForMaskedLM", dict(BERT, hidden_act="gelu_new"), "float32"),
    ("bert-pretraining", "BertForPreTraining", BERT, "float32"),
    ("bert-classifier", "BertForSequenceClassification", BERT, "float32"),
    ("roberta-body-and-pooler", "RobertaModel", dict(BERT, max_position_embeddings=132), "float32"),
    ("roberta-head", "RobertaForMaskedLM", dict(BERT, hidden_act="relu", max_position_embeddings=132), "float32"),
    ("modernbert-head", "ModernBertForMaskedLM", MODERN, "float32"),
    ("modernbert-biases", "ModernBertForMaskedLM", dict(MODERN, **BIASES), "float32"),
    ("modernbert-no-decoder-bias", "ModernBertForMaskedLM", dict(MODERN, decoder_bias=False), "float32"),
    ("modernbert-untied", "ModernBertForMaskedLM", dict(MODERN, tie_word_embeddings=False), "float32"),
    ("modernbert-body", "ModernBertModel", dict(MODERN, layer_types=[SLIDING, SLIDING, FULL]), "float32"),
    ("modernbert-classifier", "ModernBertForSequenceClassification", MODERN, "float32"),
]


def inputs(torch):
    """Three rows of up to 120 tokens, right-padded; ids 1 and 2 are padding and <mask>."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(4, 40, (3, 120), generator=generator)
    mask = torch.ones_like(ids)
    for row, length in enumerate([120, 77, 3]):
        ids[row, length:], mask[row, length:] = 1, 0
    ids[:, 0], ids[1, 5], ids[1, 40], ids[2, 1] = 0, 2, 2, 2
    return ids, mask


def outputs(torch, model, ids, mask, types=None):
    extra = {} if types is None else {"token_type_ids": types}
    base = getattr(model, model.base_model_prefix, model)
    with torch.no_grad():
        body = base(input_ids=ids, attention_mask=mask, output_hidden_states=True, **extra)
        found = {f"hidden.{i}": states for i, states in enumerate(body.hidden_states)}
        if getattr(body, "pooler_output", None) is not None:
            found["pooler_output"] = body.pooler_output
        if "MaskedLM" in type(model).__name__:
            found["mlm_logits"] = model(input_ids=ids, attention_mask=mask, **extra).logits
        if "PreTraining" in type(model).__name__:
            found["mlm_logits"] = model(input_ids=ids, attention_mask=mask, **extra).prediction_logits
    return found


def write_reference(torch, folder, model):
    ids, mask = inputs(torch)
    reference = {"input_ids": ids.tolist(), "attention_mask": mask.tolist()}
    types = None
    if model.config.model_type == "bert":
        types = torch.zeros_like(ids)
        types[:, 2:60] = 1
        reference["token_type_ids"] = types.tolist()
    found = outputs(torch, model, ids, mask, types)
    reference["outputs"] = {name: value.float().flatten().tolist() for name, value in found.items()}
    with open(os.path.join(folder, "reference.json"), "w") as file:
        json.dump(reference, file)


def randomise(torch, model):
    generator = torch.Generator().manual_seed(6)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if value.dim() == 1:
            one = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            value.data = one + 0.15 * noise
        else:
            value.data = noise * (0.3 if "embeddings" in name else 1.3 * value.shape[-1] ** -0.5)
    model.tie_weights()


def write(torch, transformers, root):
    for name, kind, config, dtype in CASES:
        folder = os.path.join(root, name)
        cls = getattr(transformers, kind)
        model = cls(cls.config_class(**config)).eval()
        randomise(torch, model)
        if name == "esm2-rounded-frequencies":
            frequencies = model.esm.rotary_embeddings.inv_freq
            frequencies.copy_(frequencies.to(torch.bfloat16))
        model.to(getattr(torch, dtype)).save_pretrained(folder)
        if name == "esm2-rounded-frequencies":
            keep_frequencies(folder, frequencies)
        model = cls.from_pretrained(folder, dtype=torch.float32).eval()
        write_reference(torch, folder, model)


def keep_frequencies(folder, frequencies):
    """Under the names that published checkpoints have for them."""
    from safetensors.torch import load_file, save_file

    path = os.path.join(folder, "model.safetensors")
    tensors = {k: v for k, v in load_file(path).items() if "inv_freq" not in k}
    for i in range(SIZES["num_hidden_layers"]):
        name = f"esm.encoder.layer.{i}.attention.self.rotary_embeddings.inv_freq"
        tensors[name] = frequencies.clone()
    save_file(tensors, path, metadata={"format": "pt"})


def read(torch, transformers, root):
    for name in sorted(os.listdir(root)):
        folder = os.path.join(root, name)
        with open(os.path.join(folder, "config.json")) as file:
            kind = json.load(file)["architectures"][0]
        model, info = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        # Nothing of ours: the contact head and the pooler are parts of the class that a checkpoint need not have.
        missing = [k for k in info["missing_keys"] if "contact_head" not in k and "pooler" not in k]
        unexpected = [k for k in info["unexpected_keys"] if "pooler" not in k]
        assert not missing and not unexpected, (name, missing, unexpected)
        write_reference(torch, folder, model.eval())


def main():
    verb, root = sys.argv[1:]
    try:
        import torch
        import transformers
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    torch.set_num_threads(1)
    {"write": write, "read": read}[verb](torch, transformers, root)
    print(json.dumps({"cases": sorted(os.listdir(root))}))


if __name__ == "__main__":
    main()
