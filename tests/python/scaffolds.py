"""Bemis-Murcko scaffolds by RDKit: one SMILES a line on standard input, a list of {smiles, scaffold} on standard output."""

import json
import sys

try:
    from rdkit import Chem, RDLogger
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()

RDLogger.DisableLog("rdApp.*")
found = []
for line in sys.stdin:
    molecule = Chem.MolFromSmiles(line.strip())
    if molecule is not None:
        found.append({"smiles": line.strip(), "scaffold": MurckoScaffoldSmiles(mol=molecule, includeChirality=False)})
print(json.dumps(found))
