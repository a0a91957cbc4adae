//! Files as they come, well and badly named.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use std::io::Write;

const MOL: &str = "water\n  made\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.0000 O   0  0\nM  END\n$$$$\n";

fn detect(name: &str, content: impl AsRef<[u8]>) -> Result<Format> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    Format::detect(&path)
}

#[test]
fn content_comes_before_the_name() {
    let tsv = "smiles\tname\nCCO\tethanol\n";
    for (name, content, expected) in [
        ("a.txt", ">P1\nMKT\n", Format::Fasta),
        ("a", "\n\n>P1\nMKT\n", Format::Fasta),
        ("reads", "@r1\nACGT\n+\nIIII\n", Format::Fasta),
        ("a.fasta", "MKTAYIAK\n", Format::Fasta),
        ("a.dat", "{\"a\":1}\n", Format::Jsonl),
        ("a.csv", "{\"a\":1}\n", Format::Jsonl),
        ("a.json", "[\n {\"a\":1}]", Format::Jsonl),
        ("a.smi", "[Na+].[Cl-] salt\n", Format::Smiles),
        ("a.txt", "[Na+].[Cl-] salt\n", Format::Smiles),
        ("a.txt", "CCO ethanol\nc1ccccc1 benzene\n", Format::Smiles),
        (
            "a.txt",
            "smiles name\nCCO ethanol\nc1ccccc1 benzene\n",
            Format::Smiles,
        ),
        ("a.txt", "CCO\nCCN\n", Format::Text),
        ("a.txt", "Is it (in this case) alive?\n", Format::Text),
        ("a.txt", "one, two\nthree, four, five\n", Format::Text),
        ("a.txt", "", Format::Text),
        ("a.csv", "", Format::Csv),
        ("a.csv", tsv, Format::Tsv),
        ("a.csv", "a;b\n1;2\n", Format::Csv),
        ("a.csv", "a|b\n1|2\n", Format::Csv),
        ("a.txt", "sp|P1|A_X\nsp|P2|B_X\n", Format::Text),
        ("a.tsv", tsv, Format::Tsv),
        ("a.txt", tsv, Format::Tsv),
        ("misnamed", "smiles,text\n\"C,C\",x\n", Format::Csv),
        ("a.csv", "smiles\nCCO\n", Format::Csv),
        ("a.sdf", MOL, Format::Sdf),
        ("a.txt", MOL, Format::Sdf),
    ] {
        assert_eq!(
            detect(name, content).unwrap(),
            expected,
            "{name}: {content:?}"
        );
        let mut gz = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gz.write_all(content.as_bytes()).unwrap();
        let gz = gz.finish().unwrap();
        assert_eq!(
            detect(&format!("{name}.gz"), &gz).unwrap(),
            expected,
            "{name}.gz: {content:?}"
        );
        let zst = zstd::stream::encode_all(content.as_bytes(), 1).unwrap();
        assert_eq!(detect(&format!("{name}.zst"), zst).unwrap(), expected);
    }
    assert_eq!(detect("a", b"PAR1....").unwrap(), Format::Parquet);
}

#[test]
fn what_holds_no_rows_says_what_to_do() {
    let gz = |content: &[u8]| {
        let mut gz = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gz.write_all(content).unwrap();
        gz.finish().unwrap()
    };
    for (name, content, expected) in [
        ("a.npy", b"\x93NUMPY\x01\0".to_vec(), "embeddings = FILE"),
        ("a", b"\x08\0\0\0\0\0\0\0{}      ".to_vec(), "safetensors"),
        ("a.pkl", b"\x80\x04\x95".to_vec(), "pickle"),
        ("a.csv", b"\xff\xfea\0,\0".to_vec(), "iconv -f utf-16"),
        ("a.csv", b"a,b\n1,\0\n".to_vec(), "is no text"),
        (
            "a.gb",
            b"LOCUS       NM_000546  2512 bp  mRNA\n".to_vec(),
            "write it as FASTA",
        ),
        ("a.csv", b"<!DOCTYPE html><html>".to_vec(), "web page"),
        (
            "matrix.mtx",
            b"%%MatrixMarket matrix coordinate\n".to_vec(),
            "give the folder",
        ),
        ("a.parquet.gz", gz(b"PAR1...."), "unpack it first"),
        ("a.h5ad.gz", gz(b"\x89HDF\r\n\x1a\n"), "unpack it first"),
        ("a.h5ad", b"\x89HDF\r\n\x1a\n".to_vec(), "damaged HDF5"),
    ] {
        let error = detect(name, content).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{error}\nshould contain: {expected}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let error = Format::detect(dir.path()).unwrap_err().to_string();
    assert!(error.contains("without `matrix.mtx`"), "{error}");
    std::fs::write(dir.path().join("matrix.mtx"), "").unwrap();
    assert_eq!(Format::detect(dir.path()).unwrap(), Format::TenxMtx);
}
