"""Choosing and joining words for the generators of this folder.

Every choice is a hash of its seed, so that two runs give the same bytes. Knows nothing of molecules, proteins, cells or files' contents.
"""
import gzip
import hashlib
import io
import json
import re

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def h(*parts):
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def pick(options, *seed):
    return options[h(*seed) % len(options)]


def a(phrase):
    """With its indefinite article, by how the first word is said: letter by letter, or as a word."""
    word = re.split(r"[\s(\[]", phrase.lstrip("(["))[0]
    head = word.split("-")[0]
    if re.match(r"(SNARE|SOX|MAP|RING|LIM|RAS|SUMO|FAD|NOD|MYB|FERM|FYVE|HOX|MADS|RAG)", head) or re.match(r"(one|u[ns]i|uro|ubi|us[eu]|ure|ute|eu|UDP|UTP|UMP|U[0-9])", head):
        spoken = False
    elif re.match(r"([FHLMNRSX](?![a-z])|Hsp)", head):
        spoken = True
    else:
        spoken = bool(re.match(r"[aeiouAEIO]|8|11$|18$", head))
    if re.match(r"un[^i]|unim[bp]", head):
        spoken = True
    return ("an " if spoken else "a ") + phrase


def number(n):
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def join(items, last="and"):
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + f" {last} " + items[-1]


def capital(s):
    return s[0].upper() + s[1:]


def lines(path):
    """The objects of a JSONL file, compressed or not."""
    opened = gzip.open(path, "rt", encoding="utf-8") if str(path).endswith(".gz") else open(path, encoding="utf-8")
    with opened as rows:
        return [json.loads(row) for row in rows]


def write(path, rows):
    """JSONL, one object a line; gzip without a time in its header when the name ends in .gz."""
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows).encode()
    if str(path).endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0, compresslevel=9) as out:
            out.write(text)
        text = buffer.getvalue()
    path.write_bytes(text)
    print(f"{path.name}: {len(rows)} rows, {len(text):,} bytes")


def turn(question, answer, records, **fields):
    """An instruction row."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], "records": records, **fields}
