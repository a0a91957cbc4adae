"""The PyTorch twin of `bioverse-benches stage2`: transformers and PEFT as their documents use them, from the same
weights. Prints the same lines."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import transformers
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from twin import arguments, measure, projector

SOFT_AT = 8


def extra(parser):
    parser.add_argument("--answer", type=int, default=128)
    parser.add_argument("--checkpointing", action="store_true")


def main():
    args = arguments(extra)
    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(f"{args.dir}/lm", dtype=torch.float32)
    if args.checkpointing:
        base.gradient_checkpointing_enable()
    adapter = f"{args.dir}/adapter" if args.dropout == 0 else f"{args.dir}/adapter-dropout"
    config = PeftConfig.from_pretrained(adapter)
    model = PeftModel.from_pretrained(base, adapter, is_trainable=True, config=config)
    model.train()
    bridge = projector(f"{args.dir}/projector.safetensors", args.dropout)
    batch = load_file(f"{args.dir}/batch.safetensors")
    ids, pooled = batch["ids"].long(), batch["pooled"]
    soft = slice(SOFT_AT, SOFT_AT + pooled.shape[1])
    labels = ids.clone()
    labels[:, : ids.shape[1] - args.answer] = -100
    labels[:, soft] = -100
    mask = torch.ones_like(ids)
    learnt = [p for p in list(model.parameters()) + list(bridge.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-3, weight_decay=0.01)
    table = model.get_input_embeddings()

    def step(_):
        text = table(ids)
        embeds = torch.cat([text[:, : soft.start], bridge(pooled), text[:, soft.stop :]], dim=1)
        loss = model(inputs_embeds=embeds, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        return loss.item()

    measure(args, step, transformers, peft)


if __name__ == "__main__":
    main()
