"""Questions about proteins for make_proteins.py: how they are asked, and which are asked so that no answer is had by its frequency.

Knows the facts of a protein as make_proteins.py lays them out; not where they come from.
"""
import collections

from protein_tables import apart
from wording import a, capital, h, join, pick, turn

ASK = {
    "describe": ["Describe <protein>.", "What can you tell me about <protein>?", "<protein> Describe this protein in one sentence.", "What kind of protein is <protein>?", "How would you describe the protein <protein>?",
                 "<protein> What does this protein do?", "Summarise <protein> in a sentence.", "Look at <protein> and say what it is."],
    "family": ["Which family does <protein> belong to?", "<protein> Name the family of this protein.", "To which protein family would you assign <protein>?", "<protein> What is the family?"],
    "ec_class": ["Which class of enzyme is <protein>?", "<protein> Name the enzyme class.", "What is the main enzyme class of <protein>?", "<protein> Which of the seven EC classes fits?"],
    "location": ["Where does <protein> work?", "<protein> Where is this protein found?", "In which place of the body's cells would you look for <protein>?", "<protein> Name its location."],
    "membrane": ["How many long hydrophobic stretches does <protein> have?", "<protein> How many stretches could span a membrane?", "Count the possible membrane-spanning stretches of <protein>."],
    "is_kind": ["Is <protein> {}?", "<protein> Is this {}?", "Would you call <protein> {}?", "Does <protein> count as {}?"],
    "works_in": ["Is <protein> found in the {}?", "<protein> Does it work in the {}?", "Would you expect <protein> in the {}?"],
    "secreted": ["Is <protein> secreted?", "<protein> Does it work outside of the cell?", "Would you expect <protein> outside of the cell?"],
    "has_motif": ["Does <protein> contain {}?", "<protein> Is there {} in this sequence?", "Can {} be found in <protein>?"],
    "which_kind": ["Which of these is <protein>: {}?", "<protein> One of these fits: {}. Which?", "What is <protein>: {}?"],
}
ASKED_MOTIFS = {"C2H2 zinc finger motifs": "C2H2 zinc finger motifs", "the recognition helix of a homeodomain": "the recognition helix of a homeodomain", "an HExxH metal-binding motif": "an HExxH metal-binding motif",
                "a P-loop for nucleotides": "a P-loop for nucleotides", "an RGD motif": "an RGD motif", "the catalytic loop of a protein kinase": "the catalytic loop of a protein kinase",
                "EF-hand-like calcium loops": "EF-hand-like calcium loops"}
FAR = {"nucleus": {"mitochondrion", "plasma membrane", "outside of the cell"}, "mitochondrion": {"nucleus", "plasma membrane", "outside of the cell"},
       "plasma membrane": {"nucleus", "mitochondrion"}, "outside of the cell": {"nucleus", "mitochondrion"}}  # where a protein of the one place surely is not


def band(f):
    n = f["hydrophobic"]
    return "none" if n == 0 else "one" if n == 1 else "several" if n >= 3 else ""


def spread(known, right, seed, quota, used):
    order = lambda p: (used[p["id"]], h(p["id"], seed))
    yes = sorted((p for p in known if right(p)), key=order)
    no = sorted((p for p in known if not right(p)), key=order)
    k = min(quota, len(yes), len(no))
    return [(p, True) for p in yes[:k]] + [(p, False) for p in no[:k]]


class Asked:
    """The questions about the proteins of one side."""

    def __init__(self, proteins, side):
        self.mine, self.test = [p for p in proteins if p["split"] == side], side == "test"
        self.rows, self.used = collections.defaultdict(list), collections.Counter()
        self.quota = 7 if self.test else 24

    def add(self, p, kind, answer, fill=""):
        ask = pick(ASK[kind], p["id"], kind, fill).format(fill)
        self.rows[p["id"]].append(turn(ask, answer, [["protein", p["seq"]]], group=p["group"], split=p["split"], kind=kind))
        self.used[p["id"]] += 1

    def families(self, families):
        for family in sorted(families):
            for p in sorted((p for p in self.mine if p["f"]["family"] == family), key=lambda p: h(p["id"], "family"))[:4 if self.test else 9]:
                self.add(p, "family", f"It is {a(family)}.")

    def named(self, kind, value, say, rank):
        """Answers out of a closed set, none more often than the one that is so many places from the most frequent."""
        by = collections.defaultdict(list)
        for p in self.mine:
            if value(p["f"]):
                by[value(p["f"])].append(p)
        cap = min(sorted(map(len, by.values()), reverse=True)[min(rank, len(by)) - 1], 20 if self.test else 70)
        for answer, some in sorted(by.items()):
            if len(some) >= 3:
                for p in sorted(some, key=lambda p: (self.used[p["id"]], h(p["id"], kind)))[:cap]:
                    self.add(p, kind, say(answer))

    def kinds(self, kinds):
        for kind in kinds:
            known = [p for p in self.mine if p["f"]["kind"] == kind or p["f"]["kind"] and apart(kind, p["f"]["kind"])]
            for p, yes in spread(known, lambda p: p["f"]["kind"] == kind, kind, self.quota, self.used):
                self.add(p, "is_kind", f"Yes, it is {a(kind)}." if yes else f"No, it is not {a(kind)}.", a(kind))

    def places(self):
        for place in FAR:
            known = [p for p in self.mine if len(p["f"]["places"]) == 1 and (p["f"]["places"][0] == place or p["f"]["kind"] and p["f"]["places"][0] in FAR[place])]
            for p, yes in spread(known, lambda p: p["f"]["places"] == [place], place, self.quota, self.used):
                if place == "outside of the cell":
                    self.add(p, "secreted", "Yes, it is secreted." if yes else "No, it is not secreted.")
                else:
                    self.add(p, "works_in", f"Yes, it works in the {place}." if yes else f"No, it does not work in the {place}.", place)

    def motifs(self):
        for name, said in sorted(ASKED_MOTIFS.items()):
            for p, yes in spread(self.mine, lambda p: name in p["f"]["motifs"], name, 5 if self.test else self.quota, self.used):
                self.add(p, "has_motif", f"Yes, it contains {said}." if yes else f"No, it does not contain {said}.", said)

    def one_of_three(self, kinds):
        """A running balance keeps each kind right about as often as it is wrong twice over."""
        balance = collections.Counter()
        for p in sorted(self.mine, key=lambda p: h(p["id"], "which")):
            right = p["f"]["kind"]
            if right not in kinds or self.used[p["id"]] > (4 if self.test else 2) or balance[right] > 3:
                continue
            wrong = sorted((k for k in kinds if apart(k, right)), key=lambda k: (-balance[k], h(p["id"], k)))[:2]
            balance[right] += 2
            balance.subtract(wrong)
            options = sorted([right] + wrong, key=lambda k: h(p["id"], k, "shuffle"))
            self.add(p, "which_kind", capital(a(right)) + ".", join([a(k) for k in options], "or"))


def questions(proteins, side, families, kinds, short):
    asked = Asked(proteins, side)
    for p in asked.mine:
        asked.add(p, "describe", short(p["id"], p["f"]))
    asked.families(families)
    asked.named("ec_class", lambda f: f["ec_class"], lambda x: f"It is {a(x)}.", 3)
    asked.named("location", lambda f: f["places"][0] if len(f["places"]) == 1 else "", lambda x: "It works outside of the cell." if x == "outside of the cell" else f"It is found in the {x}.", 4)
    asked.named("membrane", band, lambda x: x.capitalize() + ".", 3)
    asked.kinds(kinds)
    asked.places()
    asked.motifs()
    asked.one_of_three(kinds)
    return [row for p in asked.mine for row in asked.rows[p["id"]]]
