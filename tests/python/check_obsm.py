#!/usr/bin/env python3
"""Reads copies of h5ad files with one more matrix in `obsm`, and compares them with the files they were made of.

    check_obsm.py FOLDER

`FOLDER/written/NAME` is a copy of `FOLDER/NAME` with `obsm["X_bioverse"]`: cell c has the vector c + i/8 for i in 0..6, and
NaN where c % 5 == 3. Prints how many copies were compared; anything that differs is an error.
"""

import pathlib
import sys
import warnings

import anndata
import h5py
import numpy as np

warnings.filterwarnings("ignore")


def same(a, b, none=False):
    if isinstance(a, h5py.Reference):
        return isinstance(b, h5py.Reference)
    if isinstance(a, h5py.Empty):
        return (isinstance(b, h5py.Empty) or none) and a.dtype == b.dtype
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind in "fc":
        return np.array_equal(a, b, equal_nan=True)
    if a.dtype.names:
        return all(same(a[name], b[name]) for name in a.dtype.names)
    return np.array_equal(a, b)


def check(before, after):
    seen = set()

    def visit(name, node):
        seen.add(name)
        if name.split("/")[0] == "obsm" and not isinstance(before.get("obsm"), h5py.Group):
            return
        other = after[name]
        assert type(other) is type(node), (name, other)
        assert set(node.attrs) == set(other.attrs), (name, set(other.attrs))
        for key in node.attrs:
            assert same(node.attrs[key], other.attrs[key]), (name, key)
        if isinstance(node, h5py.Dataset):
            # What has no value may get one where the encoding says that it is None.
            none = node.attrs.get("encoding-type") == "null"
            assert same(node[()], other[()], none), (name, node[()], other[()])

    before.visititems(visit)
    there = set()
    after.visititems(lambda name, _: there.add(name))
    new = {name for name in there - seen if name.split("/")[0] != "obsm"}
    assert not new, new


def main():
    folder = pathlib.Path(sys.argv[1])
    copies = sorted((folder / "written").glob("*.h5ad"))
    for copy in copies:
        with h5py.File(folder / copy.name) as before, h5py.File(copy) as after:
            check(before, after)
        before, after = anndata.read_h5ad(folder / copy.name), anndata.read_h5ad(copy)
        made = after.obsm["X_bioverse"]
        rows = np.arange(after.n_obs)[:, None] + np.arange(6)[None, :] / 8
        rows = rows.astype(np.float32)
        rows[3::5] = np.nan
        assert made.dtype == np.float32 and made.shape == rows.shape, (copy.name, made.dtype, made.shape)
        assert np.array_equal(made, rows, equal_nan=True), copy.name
        assert set(after.obsm) == set(before.obsm) | {"X_bioverse"}, copy.name
        for key in before.obsm:
            assert np.allclose(np.asarray(before.obsm[key], float), np.asarray(after.obsm[key], float)), (copy.name, key)
        assert before.obs.equals(after.obs) and before.var.equals(after.var), copy.name
        # What was written can be written again.
        after.write_h5ad(folder / "again.h5ad")
        # And be added to by HDF5 itself.
        with h5py.File(copy, "r+") as f:
            for i in range(12):
                f.create_dataset(f"obsm/more{i}", data=np.zeros((after.n_obs, 1)))
                f.create_dataset(f"added{i}", data=np.zeros(3))
            del f["obsm/X_bioverse"]
        assert "more11" in anndata.io.read_elem(h5py.File(copy)["obsm"]), copy.name
    print(len(copies))


if __name__ == "__main__":
    main()
