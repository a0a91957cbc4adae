"""Golden folders of the family `chat`: templates in the styles found on the hub, conversations, and what transformers makes
of them: rendered text, ids, and which ids an assistant writes.

    python make_chat.py            # writes chat/<style> beside this file
    python make_chat.py --verify   # compares what is there with what transformers gives now

Tokenizers are those of the model folders beside this file; no pretrained file is involved. A record stands in the text as
`<molecule>` or `<protein>`; the reference sees `[BIO]` as often as it has soft tokens.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import transformers
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
SOFT = {"molecule": 2, "protein": 1}

CHATML = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{%- endif %}\n"
    "{%- for m in messages %}\n"
    "    {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}"
)
CHATML_BLOCKS = (
    "{%- for m in messages %}\n"
    "    {%- if m.role == 'assistant' %}\n"
    "        {{- '<|im_start|>assistant\\n' }}\n"
    "        {%- generation %}{{- m.content + '<|im_end|>' }}{%- endgeneration %}\n"
    "        {{- '\\n' }}\n"
    "    {%- else %}\n"
    "        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\n"
    "    {%- endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
CHATML_LAST = (
    "{%- for m in messages %}\n"
    "    {{- '<|im_start|>' + m.role + '\\n' }}\n"
    "    {%- if m.role == 'assistant' and loop.last %}\n"
    "        {%- generation %}{{- m.content + '<|im_end|>\\n' }}{%- endgeneration %}\n"
    "    {%- else %}{{- m.content + '<|im_end|>\\n' }}{%- endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
HEADERS = (
    "{{- bos_token }}\n"
    "{%- for message in messages %}\n"
    "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}\n"
)
HEADERS_BLOCKS = (
    "{{- bos_token }}\n"
    "{%- for message in messages %}\n"
    "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\n"
    "    {%- if message['role'] == 'assistant' %}\n"
    "        {%- generation %}{{- message['content'] | trim }}{%- endgeneration %}{{- '<|eot_id|>' }}\n"
    "    {%- else %}{{- message['content'] | trim + '<|eot_id|>' }}{%- endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}\n"
)
ROLES = (
    "{%- if messages[0]['role'] != 'system' %}{{- '<|start_of_role|>system<|end_of_role|>You are small.<|end_of_text|>\\n' }}{%- endif %}\n"
    "{%- for message in messages %}\n"
    "    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}\n"
    "    {%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}\n"
    "{%- endfor %}"
)
TAGS = (
    "{% for message in messages %}\n"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token }}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
    "{% endfor %}"
)
INST = (
    "{%- if messages[0].role == 'system' %}{%- set system = messages[0].content %}{%- set turns = messages[1:] %}\n"
    "{%- else %}{%- set system = none %}{%- set turns = messages %}{%- endif %}\n"
    "{{- bos_token }}\n"
    "{%- for m in turns %}\n"
    "    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('turns must alternate') }}{%- endif %}\n"
    "    {%- if m.role == 'user' %}\n"
    "        {{- '[INST] ' + (system + '\\n\\n' if loop.first and system is not none else '') + m.content + ' [/INST]' }}\n"
    "    {%- else %}{{- ' ' + m.content + eos_token }}{%- endif %}\n"
    "{%- endfor %}"
)

# style: (tokenizer of this folder, template, end of an answer)
STYLES = {
    "chatml": ("qwen3", CHATML, "<|im_end|>"),
    "chatml_generation": ("qwen3", CHATML_BLOCKS, "<|im_end|>"),
    "chatml_last_only": ("qwen3", CHATML_LAST, "<|im_end|>"),
    "headers": ("llama", HEADERS, "<|eot_id|>"),
    "headers_generation": ("llama", HEADERS_BLOCKS, "<|eot_id|>"),
    "roles": ("granite", ROLES, "<|end_of_text|>"),
    "tags": ("mistral", TAGS, "</s>"),
    "inst": ("mistral", INST, "</s>"),
}


def turns(*said):
    roles = ["user", "assistant"]
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]


SYSTEM = [{"role": "system", "content": "Answer as a chemist would."}]
CONVERSATIONS = {
    "one exchange": (turns("What is aspirin?", "A mild acid."), []),
    "three exchanges": (turns("Hi.", "Hello.", "Is water polar?", "Yes, it is.", "And oil?", "No."), []),
    "system": (SYSTEM + turns("What is aspirin?", "A mild acid.", "Sure?", "Quite."), []),
    "white space": (turns("  What is it?\n", "\n A salt.  ", "Sure? ", " Yes.\n\n"), []),
    "several lines": (turns("List two.", "1. NaCl\n2. KCl\n\nThese are salts."), []),
    "other scripts": (turns("Was ist das?", "Ein Stoff: β-Carotin, 水 (H₂O) …"), []),
    "two modalities": (
        SYSTEM + turns("Does <molecule> bind <protein>?", "Yes, as <molecule> does.", "And <protein>?", "It does not."),
        [["molecule", "CCO"], ["protein", "MKT"], ["molecule", "CCN"], ["protein", "MKV"]],
    ),
    "record first": (turns("<protein> <molecule>", "<molecule>"), [["protein", "MKT"], ["molecule", "C"], ["molecule", "CC"]]),
    "records side by side": (turns("<molecule><molecule>: which is heavier?", "The second."), [["molecule", "C"], ["molecule", "CC"]]),
}


def reference(text):
    for name, count in SOFT.items():
        text = text.replace(f"<{name}>", "[BIO]" * count)
    return text


def spans(tok, messages, end):
    """Character ranges of the answers, by rendering every beginning of the conversation."""
    render = lambda n, prompt: tok.apply_chat_template(messages[:n], tokenize=False, add_generation_prompt=prompt)
    whole, found = render(len(messages), False), []
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            start, stop = len(render(i, True)), len(render(i + 1, False))
            assert whole[:start] == render(i, True) and whole[:stop] == render(i + 1, False)
            found.append((start, start + whole[start:stop].rindex(end) + len(end)))
    return found


def mask_of(tok, whole, found, bio):
    encoded = tok(whole, add_special_tokens=False, return_offsets_mapping=True)
    inside = lambda a, b: any(start <= a < stop for start, stop in found)
    return encoded["input_ids"], [int(id != bio and inside(a, b)) for id, (a, b) in zip(encoded["input_ids"], encoded["offset_mapping"])]


def with_end(tok, whole, ids, mask, end):
    """The reference's block mask, the end marker behind a block added, white space behind one inside a block left out. The
    reference also stops at the first token of a block's last character; here all of that character's tokens count."""
    mask, end = list(mask), tok.convert_tokens_to_ids(end)
    offsets = tok(whole, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for i in range(1, len(ids)):
        if mask[i - 1] and (ids[i] == end or offsets[i] == offsets[i - 1]):
            mask[i] = 1
        if mask[i] and ids[i - 1] == end and not tok.decode([ids[i]]).strip():
            mask[i] = 0
    return mask


def case(tok, style, name, messages, records, end):
    template = tok.chat_template
    seen = [{**m, "content": reference(m["content"])} for m in messages]
    whole = tok.apply_chat_template(seen, tokenize=False)
    bio = tok.convert_tokens_to_ids("[BIO]")
    ids = tok.apply_chat_template(seen, tokenize=True, return_dict=False)
    if "generation %}" in template:
        both = tok.apply_chat_template(seen, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        assert list(both["input_ids"]) == ids
        blocks = list(both["assistant_masks"])
        learnt = with_end(tok, whole, ids, blocks, end)
        mask = [int(m and id != bio) for m, id in zip(learnt, ids)]
    else:
        again, mask = mask_of(tok, whole, spans(tok, seen, end), bio)
        assert again == ids, (style, name)
        blocks = None
    asked = seen[: max(i for i, m in enumerate(seen) if m["role"] != "assistant") + 1]
    question = tok.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    out = {"case": name, "messages": messages, "records": records, "rendered": whole, "question": question}
    key = name.replace(" ", "_")
    tensors = {f"{key}.ids": ids, f"{key}.mask": mask,
               f"{key}.question_ids": tok.apply_chat_template(asked, tokenize=True, add_generation_prompt=True, return_dict=False)}
    if blocks is not None:
        tensors[f"{key}.reference_mask"] = blocks
    return out, {name: np.asarray(values, dtype=np.int64) for name, values in tensors.items()}


def make(style, out):
    source, template, end = STYLES[style]
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / source / "tokenizer.json", out)
    config = json.loads((HERE / source / "tokenizer_config.json").read_text())
    config["chat_template"] = template
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    tok = transformers.PreTrainedTokenizerFast.from_pretrained(out)
    cases, tensors = [], {}
    for name, (messages, records) in CONVERSATIONS.items():
        one, values = case(tok, style, name, messages, records, end)
        cases.append(one)
        tensors |= values
    golden = {
        "family": "chat", "about": f"chat template in the style `{style}` on the tokenizer of ../../{source}",
        "versions": {"transformers": transformers.__version__}, "tolerance": {"atol": 0.0, "rtol": 0.0},
        "soft_len": SOFT, "bio": "[BIO]", "generation_blocks": "generation %}" in template, "cases": cases,
        "tensors": {name: {"shape": list(value.shape), "dtype": "I64"} for name, value in tensors.items()},
    }
    (out / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    save_file(tensors, out / "golden.safetensors")
    return golden, tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "chat")
    parser.add_argument("--verify", action="store_true")
    args = parser.parse_args()
    for style in STYLES:
        if not args.verify:
            golden, _ = make(style, args.out / style)
            print(style, len(golden["cases"]), "conversations")
            continue
        there = args.out / style
        scratch = args.out.parent / f".{style}.verify"
        golden, tensors = make(style, scratch)
        stored = load_file(there / "golden.safetensors")
        same = golden["cases"] == json.loads((there / "golden.json").read_text())["cases"]
        same = same and stored.keys() == tensors.keys() and all((stored[k] == tensors[k]).all() for k in stored)
        shutil.rmtree(scratch)
        print(style, "agrees" if same else "DIFFERS")
        if not same:
            sys.exit(1)


if __name__ == "__main__":
    main()
