"""Closed lists for make_molecules.py: functional groups (SMARTS), chemical classes, roles and question wordings."""
import re

from rdkit import Chem

# (name, plural or "" for name + "s", SMARTS, guard). The guard is a wider pattern: while it matches, "it has none" is never claimed.
AMINE = "!$(N[C,c,S,P]=[O,S,N]);!$(N~[!#6;!#1]);!$(NC=[C,N]);!$(NC#N)"
GROUPS = [
    ("carboxylic acid", "", "[#6][CX3](=O)[OX2H1]", "[CX3](=O)[OX2H,O-]"),
    ("carboxylate anion", "", "[#6][CX3](=O)[O-]", "[CX3](=O)[O-]"),
    ("carboxylic ester", "", "[#6,#1;!$(C#N)][CX3](=O)!@[OX2][#6;!$(C=[O,N,S])]", "C(=O)O[#6]"),
    ("lactone", "", "[#6]~[#6X3;R](=O)@[#8X2;R]@[#6;!$([#6]=O)]", "[#6;R](=O)[#8;R]"),
    ("amide", "", "[#6,#1][CX3](=O)!@[NX3;!$(N~[O,N,S])]", "[#6](=O)[#7]"),
    ("lactam", "", "[#6][CX3;R](=O)@[NX3;R;!$(N(C=O)C=O);!$(NN)]", "[#6;R](=O)[#7;R]"),
    ("imide", "", "[#6][CX3](=O)[NX3][CX3](=O)[#6]", "C(=O)NC=O"),
    ("urea group", "", "[NX3][CX3](=O)[NX3]", "[#7][#6](=O)[#7]"),
    ("carbamate", "", "[NX3][CX3](=O)[OX2][#6]", "NC(=O)O"),
    ("thioester", "", "[#6][CX3](=O)[SX2][#6]", "C(=O)S"),
    ("aldehyde", "", "[CX3H1](=O)[#6]", "[CX3H1]=O"),
    ("ketone", "", "[#6][CX3](=O)[#6]", "[#6]~[#6](=O)~[#6]"),
    ("aliphatic hydroxyl group", "", "[CX4][OX2H]", "[C;!$(C=O)][OX2H]"),
    ("phenol hydroxyl group", "", "[c;$(c1ccccc1)][OX2H]", "c[OX2H,O-]"),
    ("phenolate anion", "", "[c;$(c1ccccc1)][O-]", "c[O-]"),
    ("methoxy group", "", "[OX2]([CH3])[#6;!$(C=[O,S,N])]", "[OX2][CH3]"),
    ("methylenedioxy bridge", "", "c1c2OCOc2ccc1", "O[CH2]O"),
    ("epoxide", "", "C1OC1", ""),
    ("hydroperoxide", "", "[#6][OX2][OX2H]", "OO"),
    ("primary aliphatic amine", "", f"[NX3;H2;{AMINE}][CX4]", "[NX4+]"),
    ("secondary amine", "", f"[NX3;H1;{AMINE}]([#6])[#6]", "[$([NX3;H1;!$(N[#6]=[O,S]);!$(NS=O)]),$([NX4+])]"),
    ("tertiary amine", "", f"[NX3;H0;{AMINE}]([#6])([#6])[#6]", "[$([NX3;H0;!$(N[#6]=[O,S]);!$(NS=O);!$(N(=O)=O);!$([N+])]),$([NX4+])]"),
    ("aromatic amino group", "", "[NX3;H2]c", ""),
    ("ammonium group", "", "[NX4;+;!H0]", "[#7+]"),
    ("quaternary ammonium group", "", "[NX4+]([#6])([#6])([#6])[#6]", "[#7+]"),
    ("nitrile", "", "[CX2]#[NX1]", ""),
    ("nitro group", "", "[#6][$([NX3](=O)=O),$([NX3+](=O)[O-])]", "N(~O)~O"),
    ("oxime group", "", "[CX3]=[NX2][OX2]", "C=NO"),
    ("hydrazone group", "", "[CX3]=[NX2][NX3]", "C=NN"),
    ("azo group", "", "[#6][NX2]=[NX2][#6]", "N=N"),
    ("guanidine group", "", "[NX3][CX3](=[NX2,NX3+])[NX3]", "N~C(~N)~N"),
    ("thiol", "", "[#6][SX2H]", "[S-]"),
    ("thioether", "", "[#6;!$(C=[O,S,N])][SX2][#6;!$(C=[O,S,N])]", "[#6]~[#16X2]~[#6]"),
    ("disulfide", "", "[#6][SX2][SX2][#6]", "SS"),
    ("sulfoxide", "", "[#6][$([SX3]=O),$([SX3+][O-])][#6]", "S=O"),
    ("sulfone", "", "[#6][SX4](=O)(=O)[#6]", ""),
    ("sulfonamide group", "", "[#6][SX4](=O)(=O)[NX3]", "S(=O)(=O)[#7]"),
    ("sulfonic acid group", "", "[#6][SX4](=O)(=O)[OX2H]", "S(=O)(=O)O"),
    ("sulfonate anion", "", "[#6][SX4](=O)(=O)[O-]", "S(=O)(=O)O"),
    ("sulfate group", "", "[#6][OX2][SX4](=O)(=O)[OX2H,O-]", "OS(=O)(=O)O"),
    ("phosphate unit", "", "[PX4](=O)([OX2,O-])([OX2,O-])[OX2,O-]", "P"),
    ("aryl fluoride", "", "cF", ""),
    ("aryl chloride", "", "cCl", ""),
    ("aryl bromide", "", "cBr", ""),
    ("aryl iodide", "", "cI", ""),
    ("alkyl chloride", "", "[CX4]Cl", ""),
    ("trifluoromethyl group", "", "[#6]C(F)(F)F", "C(F)(F)F"),
    ("alkene double bond", "", "[CX3;!a]=[CX3;!a]", "C=C"),
    ("carbon-carbon triple bond", "", "[CX2]#[CX2]", ""),
    ("long saturated alkyl tail", "", "[CH3]" + "[CH2]" * 7, "[#6;!R]~[#6;!R]~[#6;!R]~[#6;!R]~[#6;!R]~[#6;!R]~[#6;!R]~[#6;!R]"),
    ("tert-butyl group", "", "[CX4]([CH3])([CH3])([CH3])[#6,#7,#8]", ""),
    ("cyclopropane ring", "", "[CX4]1[CX4][CX4]1", "C1CC1"),
    ("pyridine ring", "", "[nX2,nX3+]1[c;!$(c=O)]cccc1", "n1ccccc1"),
    ("pyrimidine ring", "", "c1cncnc1", ""),
    ("pyrrole ring", "", "c1ccc[nX3]1", "n1cccc1"),
    ("imidazole ring", "", "c1c[nX3]cn1", "c1cncn1"),
    ("triazole ring", "", "[$(n1nncc1),$(n1ncnc1)]", "nn"),
    ("thiazole ring", "", "c1cscn1", ""),
    ("furan ring", "", "c1ccoc1", ""),
    ("thiophene ring", "", "c1ccsc1", ""),
    ("indole unit", "", "c1ccc2[nX3]ccc2c1", "c1ccc2nccc2c1"),
    ("quinoline unit", "", "c1ccc2ncccc2c1", ""),
    ("purine unit", "", "[#7]1~[#6]~[#7]~[#6]2~[#7]~[#6]~[#7]~[#6]2~[#6]1", ""),
    ("naphthalene unit", "", "c1ccc2ccccc2c1", ""),
    ("benzene ring", "", "c1ccccc1", ""),
    ("piperidine ring", "", "[NX3x2,NX4+x2]1[CX4][CX4][CX4][CX4][CX4]1", "[#7]1~[#6]~[#6]~[#6]~[#6]~[#6]1"),
    ("piperazine ring", "", "[NX3x2,NX4+x2]1[CX4][CX4][NX3x2,NX4+x2][CX4][CX4]1", "[#7]1~[#6]~[#6]~[#7]~[#6]~[#6]1"),
    ("pyrrolidine ring", "", "[NX3x2,NX4+x2]1[CX4][CX4][CX4][CX4]1", "[#7]1~[#6]~[#6]~[#6]~[#6]1"),
    ("morpholine ring", "", "[NX3,NX4+]1[CX4][CX4][OX2;r6][CX4][CX4]1", ""),
    ("chromenone core", "", "O=c1ccoc2ccccc12", "O=c1~*~*~o~c2~c1cccc2"),
    ("coumarin core", "", "O=c1ccc2ccccc2o1", ""),
    ("quinone unit", "", "[$(O=C1[#6]=,:[#6]C(=O)[#6]=,:[#6]1),$(O=C1C(=O)[#6]=,:[#6][#6]=,:[#6]1)]", "O=C1~*~*~*~*~*1"),
    ("steroid-type ring system", "", "[#6]1~[#6]~[#6]~[#6]2~[#6](~[#6]1)~[#6]~[#6]~[#6]1~[#6]~2~[#6]~[#6]~[#6]2~[#6]~1~[#6]~[#6]~[#6]~2", ""),
]
PATTERNS = [(n, p or n + "s", Chem.MolFromSmarts(s), Chem.MolFromSmarts(g) if g else None) for n, p, s, g in GROUPS]
PATTERNS.append(("sugar ring", "sugar rings", None, Chem.MolFromSmarts("[$([#8]1~[#6]~[#6]~[#6]~[#6]~1),$([#8]1~[#6]~[#6]~[#6]~[#6]~[#6]~1)]")))
assert all(q is not None for _, _, q, _ in PATTERNS[:-1])
PLURAL = {n: p for n, p, _, _ in PATTERNS}
SINGLE = {"triazole ring": 2, "quinone unit": 2, "steroid-type ring system": 0}  # how matches are turned into a count

# Chemical classes: (what a class phrase of the source must end in, our term, answer class for questions).
CLASSES = [
    (r"bi(flavonoid|flavone)", "biflavonoid", "flavonoid"), (r".*isoflav\w*", "isoflavonoid", "flavonoid"),
    (r".*flavanones?", "flavanone", "flavonoid"), (r".*flavon(ol|e)s?", "flavone", "flavonoid"), (r".*flavan(-3-ol)?s?|catechin", "flavan", "flavonoid"),
    (r"(extended )?flavonoid|anthocyanidin cation|anthocyanin cation|\w*chalcones?|pterocarpans|rotenones?|aurones?", "flavonoid", "flavonoid"),
    (r"(bile acid|bile acid taurine conjugate)", "bile acid", "steroid"), (r"\w*sterols?", "sterol", "steroid"),
    (r"\w*corticosteroid|glucocorticoid|mineralocorticoid", "corticosteroid", "steroid"),
    (r".*steroid( ester| acid| sulfate| glucosiduronic acid| saponin| hormone)?|androstanoid|cholestanoid|ergostanoid|pregnanoid|estrane?oid|stigmastane?oid",
     "steroid", "steroid"),
    (r".*sesquiterpenoid|sesquiterpene( lactone)?", "sesquiterpenoid", "sesquiterpenoid"),
    (r".*diterpen(oid|e)( lactone)?", "diterpenoid", "diterpenoid"), (r".*triterpen(oid|e)( saponin)?|hopanoid", "triterpenoid", "triterpenoid"),
    (r".*monoterpen(oid|e)|iridoids?", "monoterpenoid", "monoterpenoid"), (r"carotenoid|.*carotene|apo carotenoid", "carotenoid", "terpenoid"),
    (r".*pyrrolizidine alkaloid", "pyrrolizidine alkaloid", "alkaloid"), (r".*indole alkaloid( \w+)?", "indole alkaloid", "alkaloid"),
    (r".*isoquinoline alkaloid|aporphine alkaloid|morphinane alkaloid|.*quinoline alkaloid", "isoquinoline-type alkaloid", "alkaloid"),
    (r".*alkaloid", "alkaloid", "alkaloid"), (r"neolignan|.*lignan", "lignan", "lignan"), (r"(?!.*iso).*coumarins?", "coumarin", "coumarin"),
    (r".*xanthones?", "xanthone", "xanthone"), (r".*anthraquinones?", "anthraquinone", "quinone"), (r".*naphthoquinones?|.*benzoquinones?|(?!.*hydro).*quinones", "quinone", "quinone"),
    (r".*stilben(oid|e|ol)s?|resveratrol", "stilbenoid", "stilbenoid"), (r"diarylheptanoid", "diarylheptanoid", "diarylheptanoid"),
    (r"dipeptide( \w+ion)?", "dipeptide", "peptide"), (r"tripeptide( \w+ion)?", "tripeptide", "peptide"), (r"tetrapeptide|pentapeptide|oligopeptide", "oligopeptide", "peptide"),
    (r"(cyclic|homodetic cyclic|cyclo)?( )?peptide( anion| zwitterion)?|cyclodepsipeptide|peptidomimetic", "peptide", "peptide"),
    (r"(?!.*(N-acyl|O-|N-methyl|any ))(.*-)?(alpha-|beta-|gamma-)?amino[ -]acid( zwitterion| anion| cation)?|(non-proteinogenic|polar|aromatic) (amino acid|L-alpha-amino acid)",
     "amino acid", "amino acid"),
    (r"[LD]-\w+ derivative|amino acid derivative|N-(acyl|methyl)-(L-|D-)?(alpha-)?amino acid( anion)?|O-\w+amino acid|N-acylglycine|alpha-amino acid ester|amino acid amide", "amino acid derivative", "amino acid derivative"),
    (r".*fatty acid anion|.*(docosanoid|icosanoid|octadecanoid) anion", "fatty acid anion", "fatty acid anion"),
    (r"prostaglandins? \w+|prostanoid|leukotriene|.*icosanoid|lipoxin", "eicosanoid", "eicosanoid"), (r".*fatty acid", "fatty acid", "fatty acid"),
    (r".*fatty acid (\w+ )?ester|wax ester", "fatty ester", "fatty ester"), (r".*fatty amide|N-\(.*acyl\)ethanolamine", "fatty amide", "fatty amide"), (r".*fatty alcohol", "fatty alcohol", "fatty alcohol"),
    (r".*ascaroside( anion)?", "ascaroside", "ascaroside"), (r".*acyl-?(L-)?carnitine", "acylcarnitine", "acylcarnitine"),
    (r".*(acylglycerol|glyceride|-sn-glycerol)", "glyceride", "glyceride"),
    (r".*(phosphocholine|phosphoethanolamine|phosphatidic acid|glycerophospho\w+|phospholipid)( \w+)?", "phospholipid", "phospholipid"),
    (r".*(ceramide|sphingoid|sphinganine|sphingolipid)( \w+)?", "sphingolipid", "sphingolipid"),
    (r".*ribonucleosides?|.*nucleoside", "nucleoside", "nucleoside"), (r".*nucleotide|.*ribonucleoside \d'?,?\d?'?-\w+phosphate|nucleotide-sugar oxoanion|dTDP-sugar|.*-sugar", "nucleotide", "nucleotide"),
    (r".*disaccharide( derivative)?", "disaccharide", "carbohydrate"), (r".*(tri|tetra|oligo)saccharide( derivative| sulfate)?", "oligosaccharide", "carbohydrate"),
    (r".*monosaccharide|.*aldose|.*ketose|.*hexose|.*pentose|amino sugar", "monosaccharide", "carbohydrate"), (r"aminoglycoside( antibiotic)?", "aminoglycoside", "carbohydrate"),
    (r"macrolide( antibiotic)?", "macrolide", "macrolide"), (r"cephalosporin|penicillin|carbapenems?|.*penicillin( anion)?", "beta-lactam", "beta-lactam"),
    (r"N-sulfonylurea", "sulfonylurea", "sulfonylurea"), (r"sulfonamide( antibiotic)?", "sulfonamide", "sulfonamide"), (r"barbiturates?", "barbiturate", "barbiturate"),
    (r"(bis)?\(?azo\)? compound|monoazo compound|azobenzenes", "azo compound", "azo compound"), (r"organic (thio)?phosphate|organothiophosphate insecticide", "organophosphate", "organophosphate"),
    (r"phthalate ester|phthalic acid (mono|di)ester", "phthalate", "phthalate"), (r".*chlorobiphenyl|polychlorobiphenyl", "polychlorinated biphenyl", "polychlorinated biphenyl"),
    (r".*benzodiazepines?", "benzodiazepine", "benzodiazepine"), (r".*phenothiazines?", "phenothiazine", "phenothiazine"), (r"quinolone( antibiotic)?", "quinolone", "quinolone"),
    (r"carbamate ester", "carbamate ester", "carbamate ester"), (r".*benzoic acids?", "benzoic acid", "benzoic acid"), (r"cinnamic acids|cinnamate ester", "cinnamic acid derivative", "cinnamic acid derivative"),
    (r".*sesterterpenoid", "sesterterpenoid", "terpenoid"), (r"quassinoid", "quassinoid", "triterpenoid"), (r"cyanine dye", "cyanine dye", "cyanine dye"),
    (r"glucosinol\w+|.*glucosinolate", "glucosinolate", "glucosinolate"), (r"benzamides", "benzamide", "benzamide"), (r"benzophenones", "benzophenone", "benzophenone"),
    (r"(organic sodium salt|hydrochloride)( salt)?", "salt", ""), (r"polyketide", "polyketide", ""), (r"polyphenol|phlorotannin", "polyphenol", ""), (r"dicarboxylic acid", "dicarboxylic acid", ""),
]
CLASSES = [(re.compile(p), t, c) for p, t, c in CLASSES]
OVERRIDE = ["steroid", "alkaloid", "phospholipid", "nucleotide", "peptide"]  # a molecule named as several classes takes the first of these, if any

# What a molecule must show before it is given a class: any of the groups, and a carbon chain of at least so many atoms.
CLEAR = {"steroid": (["steroid-type ring system"], 0), "fatty acid": (["carboxylic acid"], 6), "fatty acid anion": (["carboxylate anion"], 6),
         "amino acid": (["primary aliphatic amine", "secondary amine", "tertiary amine", "ammonium group", "aromatic amino group"], 0), "sulfonamide": (["sulfonamide group"], 0), "phospholipid": (["phosphate unit"], 8),
         "nucleotide": (["phosphate unit"], 0), "carbohydrate": (["sugar ring"], 0), "quinone": (["quinone unit"], 0), "glyceride": (["carboxylic ester"], 0),
         "peptide": (["amide", "lactam"], 0), "sphingolipid": (["amide", "aliphatic hydroxyl group"], 8)}
IMPLIED = {"purine unit": ["imidazole ring", "pyrimidine ring"], "indole unit": ["pyrrole ring", "benzene ring"], "quinoline unit": ["pyridine ring", "benzene ring"],
           "naphthalene unit": ["benzene ring"], "coumarin core": ["lactone", "benzene ring"], "chromenone core": ["benzene ring"],
           "quinone unit": ["ketone"]}

# Roles: term of the source -> our wording ("" keeps it).
ROLES = dict.fromkeys("""antineoplastic agent|anti-inflammatory agent|environmental contaminant|antibacterial agent|antioxidant|antimicrobial agent|
apoptosis inducer|antifungal agent|herbicide|prodrug|carcinogenic agent|hypoglycemic agent|neuroprotective agent|muscarinic antagonist|
antihypertensive agent|allergen|antiviral agent|mutagen|cofactor|vasodilator agent|sedative|flavouring agent|platelet aggregation inhibitor|acaricide|
alkylating agent|antimetabolite|muscle relaxant|anticonvulsant|antipyretic|dye|bronchodilator agent|fragrance|insecticide|angiogenesis inhibitor|
antiemetic|immunosuppressive agent|nutraceutical|analgesic|hepatoprotective agent|calcium channel blocker|protein synthesis inhibitor|iron chelator|
chelator|surfactant|nematicide|opioid analgesic|neurotoxin|proteasome inhibitor|pheromone|phytotoxin|vasoconstrictor agent|hallucinogen|immunomodulator|
hormone|vitamin|solvent|xenobiotic|plant metabolite|human metabolite|mouse metabolite|bacterial metabolite|fungal metabolite|animal metabolite|
marine metabolite|algal metabolite|rat metabolite|drug metabolite|Escherichia coli metabolite|Penicillium metabolite|Aspergillus metabolite|metabolite|
beta-adrenergic agonist|beta-adrenergic antagonist|serotonergic antagonist|serotonergic agonist|dopamine agonist|dopaminergic antagonist|fungicide|
cyclooxygenase 2 inhibitor|P450 inhibitor|tyrosine kinase inhibitor|plant hormone|plant growth regulator|neurotransmitter|antibiotic|hapten""".replace("\n", "").split("|"), "")
ROLES.update({"Saccharomyces cerevisiae metabolite": "yeast metabolite", "Caenorhabditis elegans metabolite": "nematode metabolite",
              "human xenobiotic metabolite": "human xenobiotic metabolite", "human urinary metabolite": "metabolite found in human urine",
              "human blood serum metabolite": "metabolite found in human serum", "bacterial xenobiotic metabolite": "bacterial xenobiotic metabolite",
              "non-steroidal anti-inflammatory drug": "non-steroidal anti-inflammatory drug", "antibacterial drug": "antibacterial agent",
              "antimalarial": "antimalarial drug", "antiplasmodial drug": "antimalarial drug", "antifungal agrochemical": "crop fungicide",
              "fluorochrome": "fluorescent dye", "histological dye": "histological stain", "chromogenic compound": "chromogenic reagent",
              "EC 3.1.1.7 (acetylcholinesterase) inhibitor": "acetylcholinesterase inhibitor", "EC 3.1.1.8 (cholinesterase) inhibitor": "cholinesterase inhibitor",
              "H1-receptor antagonist": "histamine H1 blocker", "local anaesthetic": "local anaesthetic", "antidepressant": "antidepressant",
              "antiparkinson drug": "antiparkinson drug", "anti-allergic agent": "anti-allergic agent", "anti-arrhythmia drug": "antiarrhythmic drug",
              "volatile oil component": "volatile oil component", "agrochemical": "agrochemical", "radical scavenger": "radical scavenger",
              "sympathomimetic agent": "sympathomimetic agent", "antiviral drug": "antiviral agent", "anti-HIV agent": "anti-HIV agent",
              "non-narcotic analgesic": "non-opioid painkiller", "epitope": "epitope", "drug allergen": "drug allergen"})
ROLES = {k: v or k for k, v in ROLES.items()}

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
HALOGEN = {"F": "fluorine", "Cl": "chlorine", "Br": "bromine", "I": "iodine"}

# Question wordings per kind; {} takes the group or the options.
ASK = {
    "describe": ["Describe <molecule>.", "What can you tell me about <molecule>?", "Give a one-sentence description of <molecule>.",
                 "<molecule> Summarise this molecule.", "How would you describe the molecule <molecule>?"],
    "has_group": ["Does <molecule> contain {}?", "Is there {} in <molecule>?", "<molecule> Does this molecule have {}?", "Can {} be found in <molecule>?"],
    "which_group": ["Which of these does <molecule> contain: {}?", "<molecule> Which one is present: {}?", "One of these is part of <molecule>: {}. Which?",
                    "Pick the feature that <molecule> has: {}."],
    "class": ["What kind of compound is <molecule>?", "Which chemical class does <molecule> belong to?", "<molecule> Name the class of this compound.",
              "Classify <molecule>."],
    "rings": ["How many aromatic rings does <molecule> have?", "<molecule> Count the aromatic rings.", "What is the number of aromatic rings in <molecule>?"],
}
