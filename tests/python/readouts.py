"""Vectors of texts from hidden states, by transformers, for tests/tests/readouts.rs. Nothing of this project takes part.

    readouts.py < {"llm": folder, "texts": [...], "layers": [...]}

Prints {"<layer>": {"mean": [[..]], "mean-std": [[..]], "last-token": [[..]]}}, or {"missing": package}. Texts are padded into
one batch; the standard deviation is the population's.
"""

import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()


def main():
    asked = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(asked["llm"])
    model = AutoModelForCausalLM.from_pretrained(asked["llm"], torch_dtype=torch.float32).eval()
    rows = [tokenizer(text)["input_ids"] for text in asked["texts"]]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    answer = {}
    for layer in asked["layers"]:
        pools = {"mean": [], "mean-std": [], "last-token": []}
        for row, length in zip(states[layer].double(), map(len, rows)):
            real = row[:length]
            mean, std = real.mean(0), real.std(0, correction=0)
            pools["mean"].append(mean.tolist())
            pools["mean-std"].append(torch.cat([mean, std]).tolist())
            pools["last-token"].append(real[-1].tolist())
        answer[str(layer)] = pools
    print(json.dumps(answer))


main()
