"""Adapters and models in and out of `peft` and `transformers`.

    python tests/python/peft_roundtrip.py make MODEL OUT      adapters on MODEL, with what they compute
    python tests/python/peft_roundtrip.py run                 cases on standard input, what they compute on output

A case is {"model": DIR, "adapter": DIR or null, "ids": [[…]]}; what it computes are logits as nested lists. The
answer is one JSON object, or {"missing": what} where a package is not installed.
"""

import json
import os
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

try:
    import torch
    import transformers
    from peft import LoraConfig, PeftModel, get_peft_model
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit(0)

transformers.utils.logging.disable_progress_bar()

IDS = [[1, 5, 2, 9], [3, 3, 12, 0]]

VARIANTS = {
    "plain": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "all_linear": dict(r=3, lora_alpha=5, use_rslora=True, target_modules="all-linear"),
    "regex": dict(r=2, lora_alpha=3, target_modules=r".*\.1\.self_attn\.(q|o)_proj"),
    "lookahead": dict(r=2, lora_alpha=3, target_modules=r"^(?!.*down).*\.mlp\.\w+_proj"),
    "layers": dict(r=2, lora_alpha=3, target_modules=["k_proj", "up_proj"], layers_to_transform=[1]),
    "patterns": dict(
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "k_proj", "mlp.up_proj"],
        exclude_modules=["layers.0.self_attn.k_proj"],
        rank_pattern={"layers.1.self_attn.q_proj": 2, "q_proj": 6},
        alpha_pattern={"^model.layers.0.mlp.up_proj": 32},
    ),
    "saved": dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["lm_head", "norm", "embed_tokens"]),
    "embeddings_saved": dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["embed_tokens"]),
    "head_saved": dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["lm_head"]),
    "head": dict(r=2, lora_alpha=4, target_modules=["v_proj", "lm_head"]),
    "embedding": dict(r=2, lora_alpha=4, target_modules=["v_proj", "embed_tokens"]),
    "half": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "pickled": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
}


def load(model):
    return transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()


@torch.no_grad()
def logits(model, ids):
    return model(input_ids=torch.tensor(ids)).logits.float().tolist()


def make(base, out):
    answers = {}
    for name, options in VARIANTS.items():
        torch.manual_seed(len(name))
        model = get_peft_model(load(base), LoraConfig(task_type="CAUSAL_LM", **options)).eval()
        with torch.no_grad():
            for key, value in model.named_parameters():
                if value.requires_grad:
                    value.add_(torch.randn_like(value) * 0.2)
                    if name == "half":
                        value.copy_(value.bfloat16().float())
        expected = logits(model, IDS)
        if name == "half":
            for key, value in model.named_parameters():
                if value.requires_grad:
                    value.data = value.data.bfloat16()
        adapter = os.path.join(out, name)
        model.save_pretrained(adapter, safe_serialization=name != "pickled")
        answers[name] = {"adapter": adapter, "logits": expected}
    state = load(base).state_dict()
    pickled = os.path.join(out, "pickled_model")
    load(base).config.save_pretrained(pickled)
    torch.save(state, os.path.join(pickled, "pytorch_model.bin"))
    return {"ids": IDS, "adapters": answers, "pickled_model": {"model": pickled, "logits": logits(load(base), IDS)}}


def run(cases):
    answers = {}
    for name, case in cases.items():
        model = load(case["model"])
        if case["adapter"]:
            model = PeftModel.from_pretrained(model, case["adapter"]).eval()
        answers[name] = logits(model, case["ids"])
    return answers


if sys.argv[1] == "make":
    print(json.dumps(make(sys.argv[2], sys.argv[3])))
else:
    print(json.dumps(run(json.load(sys.stdin))))
