"""Writes folders in the layouts in which encoders are published, with random weights at real sizes, and what transformers and
sentence-transformers make of records.

    python published_layouts.py DIR

Prints a JSON list of {"modality", "folder", "records", "pooling", "vectors"}: `vectors[i]` is what the authors of
such a model make of `records[i]`: ESM-2 the mean over residues, sentence-transformers its embedding before a `Normalize`
module, the others the mean over all tokens. Prints {"missing": what} where a package is missing.

    esm2        vocab.txt alone, one pytorch_model.bin with the tensors that real files carry and nobody needs
    chemberta   vocab.json + merges.txt + added_tokens.json, pytorch_model.bin
    pubmedbert  vocab.txt alone, sharded pytorch_model.bin, keys with `bert.` and a pretraining head
    dna         ModernBERT, tokenizer.json, sharded safetensors
    sentence    written by sentence-transformers itself, pooled by [CLS], 24 tokens at most
"""

import json
import os
import random
import sys

ESM_VOCAB = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>".split()
AMINO = "ACDEFGHIKLMNPQRSTVWY"
TEXTS = [
    "Aspirin irreversibly inhibits cyclooxygenase-1 and cyclooxygenase-2.",
    "The p53 protein (TP53) binds DNA; naïve T-cells don't.",
    "Granzyme B is expressed by CD8+ T cells in the tumour microenvironment, perforin by NK cells. " * 3,
]
SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "C[C@@H](N)C(=O)O", "[Na+].[Cl-]"]


def write(folder, name, value):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(value if isinstance(value, str) else json.dumps(value))


def folder(root, name, config):
    path = os.path.join(root, name)
    os.makedirs(path)
    write(path, "config.json", config)
    return path


def save_bins(torch, state, path, shards):
    """One pytorch_model.bin, or several with an index."""
    if shards == 1:
        torch.save(state, os.path.join(path, "pytorch_model.bin"))
        return
    names, where = list(state), {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
        part = {name: state[name] for name in names[shard::shards]}
        torch.save(part, os.path.join(path, file))
        where.update(dict.fromkeys(part, file))
    write(path, "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": where})


def randomised(torch, model):
    """Norms and biases that are not 1 and 0, so that a missing one shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def pooled(torch, model, tokenizer, records, cut_at, inner):
    """The mean over tokens, or over those between the first and the last."""
    vectors = []
    for record in records:
        ids = tokenizer(record)["input_ids"]
        if len(ids) > cut_at:
            ids = ids[: cut_at - 1] + ids[-1:]
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        vectors.append((states[1:-1] if inner else states).mean(0).tolist())
    return vectors


def esm2(root, torch, transformers):
    config = dict(
        architectures=["EsmForMaskedLM"], model_type="esm", vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=320,
        num_hidden_layers=6, num_attention_heads=20, intermediate_size=1280, max_position_embeddings=1026, layer_norm_eps=1e-5,
        position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False, hidden_act="gelu",
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, is_folding_model=False, torch_dtype="float32",
    )
    path = folder(root, "esm2", config)
    write(path, "vocab.txt", "\n".join(ESM_VOCAB))
    write(path, "tokenizer_config.json", {"tokenizer_class": "EsmTokenizer", "model_max_length": 10**30})
    write(path, "special_tokens_map.json", {f"{t}_token": f"<{t}>" for t in ("cls", "eos", "mask", "pad", "unk")})
    model = randomised(torch, transformers.EsmForMaskedLM(transformers.EsmConfig(**config)))
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.decoder.weight"}
    state["esm.embeddings.position_ids"] = torch.arange(1026).unsqueeze(0)
    state["esm.embeddings.position_embeddings.weight"] = torch.randn(1026, 320)
    save_bins(torch, state, path, 1)
    draw = random.Random(0)
    long = "".join(draw.choice(AMINO) for _ in range(1100))
    records = ["MKTAYIAKQRQISFVKSHFSRQ", "GXBUZOJJW", "MKT<mask>YIA", long]
    tokenizer = transformers.EsmTokenizer.from_pretrained(path)
    vectors = pooled(torch, model.esm, tokenizer, records, 1024, True)
    return dict(modality="protein", folder=path, records=records, pooling="mean", vectors=vectors)


def chemberta(root, torch, transformers):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    config = dict(
        architectures=["RobertaForMaskedLM"], model_type="roberta", vocab_size=600, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        hidden_size=384, num_hidden_layers=3, num_attention_heads=12, intermediate_size=464, max_position_embeddings=515,
        type_vocab_size=1, layer_norm_eps=1e-12, hidden_act="gelu", hidden_dropout_prob=0.144, attention_probs_dropout_prob=0.109,
    )
    path = folder(root, "chemberta", config)
    specials = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(SMILES, trainers.BpeTrainer(vocab_size=280, special_tokens=specials, initial_alphabet=alphabet))
    bpe.model.save(path)
    size = bpe.get_vocab_size()
    write(path, "added_tokens.json", {"<s>": size, "</s>": size + 1})
    roles = dict(zip(("pad", "unk", "cls", "sep"), ("[PAD]", "[UNK]", "[CLS]", "[SEP]")), bos="<s>", eos="</s>")
    names = {f"{role}_token": token for role, token in roles.items()}
    mask = {"mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}}
    write(path, "special_tokens_map.json", names | mask)
    write(path, "tokenizer_config.json", names | {"tokenizer_class": "RobertaTokenizer", "max_len": 512, "mask_token": "[MASK]"})
    model = randomised(torch, transformers.RobertaForMaskedLM(transformers.RobertaConfig(**config)))
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.decoder.weight"}
    save_bins(torch, state, path, 1)
    tokenizer = transformers.RobertaTokenizer.from_pretrained(path)
    vectors = pooled(torch, model.roberta, tokenizer, SMILES, 512, False)
    return dict(modality="molecule", folder=path, records=SMILES, pooling="mean", vectors=vectors)


def bert_vocabulary():
    letters = sorted(set("".join(TEXTS).lower()) - {" "}) + list("0123456789")
    words = ["the", "cell", "protein", "inhibits", "expressed", "##ed", "##oxygen", "##ase", "cd", "naive", "tumour"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(dict.fromkeys(letters + [f"##{c}" for c in letters] + words))


def pubmedbert(root, torch, transformers):
    vocabulary = bert_vocabulary()
    config = dict(
        architectures=["BertForMaskedLM"], model_type="bert", vocab_size=len(vocabulary), hidden_size=192, num_hidden_layers=4,
        num_attention_heads=6, intermediate_size=768, max_position_embeddings=512, type_vocab_size=2, layer_norm_eps=1e-12,
        hidden_act="gelu", pad_token_id=0, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
    )
    path = folder(root, "pubmedbert", config)
    write(path, "vocab.txt", "\n".join(vocabulary) + "\n")
    write(path, "tokenizer_config.json", {"do_lower_case": True})
    model = randomised(torch, transformers.BertForPreTraining(transformers.BertConfig(**config)))
    save_bins(torch, model.state_dict(), path, 3)
    tokenizer = transformers.BertTokenizer.from_pretrained(path)
    vectors = pooled(torch, model.bert, tokenizer, TEXTS, 512, False)
    return dict(modality="text", folder=path, records=TEXTS, pooling="mean", vectors=vectors)


def dna(root, torch, transformers):
    from tokenizers import Tokenizer, models, processors, trainers

    draw = random.Random(1)
    records = ["".join(draw.choice("ACGT") for _ in range(length)) for length in (40, 300, 1500)] + ["ACGTNNNNACGTRYK"]
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    bpe = Tokenizer(models.BPE(unk_token="[UNK]"))
    bpe.train_from_iterator(records, trainers.BpeTrainer(vocab_size=300, special_tokens=specials))
    bpe.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    config = dict(
        vocab_size=bpe.get_vocab_size(), hidden_size=192, num_hidden_layers=5, num_attention_heads=6, intermediate_size=288,
        max_position_embeddings=1024, pad_token_id=3, cls_token_id=1, bos_token_id=1, sep_token_id=2, eos_token_id=2,
    )
    model = randomised(torch, transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(**config)))
    path = os.path.join(root, "dna")
    model.save_pretrained(path, max_shard_size="1MB")
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, **names)
    tokenizer.save_pretrained(path)
    vectors = pooled(torch, model.model, tokenizer, records, 1024, False)
    return dict(modality="dna", folder=path, records=records, pooling="mean", vectors=vectors)


def sentence(root, torch, transformers, sentence_transformers):
    vocabulary = bert_vocabulary()
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=96, num_hidden_layers=2, num_attention_heads=4, intermediate_size=200,
    )
    inner = os.path.join(root, "sentence-source")
    randomised(torch, transformers.BertModel(config)).save_pretrained(inner)
    write(inner, "vocab.txt", "\n".join(vocabulary) + "\n")
    transformers.BertTokenizer.from_pretrained(inner).save_pretrained(inner)
    modules = sentence_transformers.sentence_transformer.modules
    encoder = sentence_transformers.SentenceTransformer
    steps = [modules.Transformer(inner, max_seq_length=24), modules.Pooling(96, pooling_mode="cls"), modules.Normalize()]
    vectors = encoder(modules=steps[:2], device="cpu").encode(TEXTS).tolist()
    path = os.path.join(root, "sentence")
    encoder(modules=steps, device="cpu").save(path)
    return dict(modality="text", folder=path, records=TEXTS, pooling="first", vectors=vectors)


def main():
    try:
        import tokenizers  # noqa: F401
        import torch
        import transformers
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    torch.manual_seed(0)
    root = sys.argv[1]
    cases = [make(root, torch, transformers) for make in (esm2, chemberta, pubmedbert, dna)]
    try:
        import sentence_transformers
        import sentence_transformers.sentence_transformer.modules  # noqa: F401
    except ImportError:
        pass
    else:
        cases.append(sentence(root, torch, transformers, sentence_transformers))
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
