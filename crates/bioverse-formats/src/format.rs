//! Which format a file has: by content first, by name second. It reads the first 64 KiB and no row.

mod guess;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::{Error, Result, source};

/// A format that can be read as rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// FASTA or FASTQ.
    Fasta,
    /// One molecule a line: SMILES, then optionally a name.
    Smiles,
    /// MDL SD file.
    Sdf,
    /// Separated by commas or semicolons.
    Csv,
    /// Separated by tabs.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// AnnData in HDF5.
    H5ad,
    /// 10x Genomics matrix in HDF5.
    TenxH5,
    /// A folder with `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), each possibly gzipped.
    TenxMtx,
    /// One record a line.
    Text,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 11] = [
        Self::Fasta,
        Self::Smiles,
        Self::Sdf,
        Self::Csv,
        Self::Tsv,
        Self::Jsonl,
        Self::Parquet,
        Self::H5ad,
        Self::TenxH5,
        Self::TenxMtx,
        Self::Text,
    ];

    /// Tells the format of a file from its first bytes (looking through compression) and, where those leave a choice, from
    /// its name.
    ///
    /// # Errors
    /// No such file; content that no format of rows begins with, with what to do about it.
    ///
    /// # Example
    /// ```
    /// # use bioverse_formats::Format;
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("named-badly.txt");
    /// std::fs::write(&path, ">P1 a protein\nMKT\n")?;
    /// assert_eq!(Format::detect(&path)?, Format::Fasta);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detect(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return folder(path);
        }
        let head = source::peek(path)?;
        if let Some(format) = binary(path, &head)? {
            if source::is_packed(path)? {
                let problem = format!(
                    "is compressed {}, which is read from places all over the file; unpack it first (`gunzip --keep`, `unzstd`)",
                    format.name()
                );
                return Err(Error::file(path, problem));
            }
            return Ok(format);
        }
        guess::text(path, &head)
    }

    /// What the extension of a name promises, that of a compression left out; `None` where it says nothing.
    pub fn of_name(path: &Path) -> Option<Self> {
        guess::by_name(path)
    }

    /// The field of a row that holds the record; `None` where the caller must name a column.
    pub fn record_field(self) -> Option<&'static str> {
        match self {
            Self::Fasta => Some("sequence"),
            Self::Smiles | Self::Sdf => Some("smiles"),
            Self::H5ad | Self::TenxH5 | Self::TenxMtx => Some("cell"),
            Self::Text => Some("text"),
            Self::Csv | Self::Tsv | Self::Jsonl | Self::Parquet => None,
        }
    }

    /// The field of a row that names it; `None` where the caller must name a column, or rows have no names.
    pub fn id_field(self) -> Option<&'static str> {
        match self {
            Self::Fasta | Self::Smiles | Self::Sdf => Some("id"),
            Self::H5ad | Self::TenxH5 | Self::TenxMtx => Some("id"),
            Self::Csv | Self::Tsv | Self::Jsonl | Self::Parquet | Self::Text => None,
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fasta => "FASTA",
            Self::Smiles => "SMILES",
            Self::Sdf => "SDF",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Jsonl => "JSONL",
            Self::Parquet => "Parquet",
            Self::H5ad => "h5ad",
            Self::TenxH5 => "10x HDF5",
            Self::TenxMtx => "10x matrix folder",
            Self::Text => "plain text",
        }
    }

    /// Whether its rows are cells of a count matrix.
    pub fn is_cells(self) -> bool {
        matches!(self, Self::H5ad | Self::TenxH5 | Self::TenxMtx)
    }
}

/// A folder is a count matrix or a mistake.
fn folder(path: &Path) -> Result<Format> {
    let matrix = |dir: &Path| {
        ["matrix.mtx", "matrix.mtx.gz", "matrix.mtx.zst"]
            .map(|name| dir.join(name))
            .iter()
            .any(|file| file.is_file())
    };
    if matrix(path) {
        return Ok(Format::TenxMtx);
    }
    let inner = [
        "filtered_feature_bc_matrix",
        "filtered_gene_bc_matrices",
        "raw_feature_bc_matrix",
    ];
    let below = inner
        .iter()
        .map(|name| path.join(name))
        .find(|dir| dir.is_dir());
    Err(Error::file(
        path,
        match below {
            Some(dir) => format!("is a folder; give the one in it that holds `matrix.mtx`, such as {}", dir.display()),
            None => "is a folder without `matrix.mtx`; give a file, or a folder that 10x Genomics' programs wrote".into(),
        },
    ))
}

/// Formats that are no text, and binary content that is none of them.
fn binary(path: &Path, head: &[u8]) -> Result<Option<Format>> {
    const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
    // The signature of HDF5 may follow a block of the user's own, of 512 bytes or a doubling of it.
    let hdf5 = [0, 512, 1024, 2048, 4096]
        .into_iter()
        .any(|at| head.get(at..).is_some_and(|head| head.starts_with(HDF5)));
    if hdf5 {
        return matrix(path).map(Some);
    }
    if head.starts_with(b"PAR1") {
        return Ok(Some(Format::Parquet));
    }
    let vectors =
        "holds vectors, not records; give it where embeddings are asked for (`embeddings = FILE`)";
    let weights =
        head.get(8) == Some(&b'{') && head.get(2..8).is_some_and(|zeros| zeros.ends_with(&[0; 4]));
    let problem = match head {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => vectors,
        _ if weights => "is a safetensors file; give it where a model or embeddings are asked for",
        [0x80, 2..=5, ..] => {
            "is a Python pickle, which can run code when it is opened; save the data as CSV, Parquet or h5ad"
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "is UTF-16 text; save it as UTF-8 (`iconv -f utf-16 -t utf-8 FILE`)"
        }
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => {
            "is an Arrow (Feather) file; save it as Parquet"
        }
        _ if head.starts_with(b"%PDF") => "is a PDF; give a data file",
        _ if head.contains(&0) => {
            "is no text and no format that is read; give FASTA, SMILES, SDF, CSV, JSONL, Parquet, h5ad or a 10x matrix"
        }
        _ => return Ok(None),
    };
    Err(Error::file(path, problem))
}

/// Which kind of matrix an HDF5 file holds.
fn matrix(path: &Path) -> Result<Format> {
    if source::is_packed(path)? {
        return Ok(Format::H5ad);
    }
    let refuse = |error: hdf5_pure::Error| {
        let problem = format!("is a damaged HDF5 file ({error}); fetch or write it again");
        Error::file(path, problem)
    };
    let file = hdf5_pure::File::open_streaming(path).map_err(refuse)?;
    let root = file.root();
    let mut names = root.groups().map_err(refuse)?;
    names.extend(root.datasets().map_err(refuse)?);
    let has = |name: &str| names.iter().any(|found| found == name);
    if has("obs") && has("var") {
        return Ok(Format::H5ad);
    }
    // Before version 3 of 10x's programs, the matrix stood in a group named after the genome.
    let holds = |group: &String| {
        let inside = root.group(group).and_then(|group| group.datasets());
        inside.is_ok_and(|inside| {
            ["barcodes", "indptr"]
                .iter()
                .all(|name| inside.iter().any(|found| found == name))
        })
    };
    if names.iter().any(holds) {
        return Ok(Format::TenxH5);
    }
    let problem = if has("mod") {
        "is a MuData file; write one of its modalities as h5ad (`mdata.mod[NAME].write_h5ad(FILE)`)"
    } else if has("row_attrs") && has("col_attrs") {
        "is a loom file; write it as h5ad (`scanpy.read_loom(FILE).write_h5ad(…)`)"
    } else {
        "is HDF5, but neither an AnnData file (`obs`, `var`, `X`) nor a 10x matrix (`matrix/barcodes`)"
    };
    Err(Error::file(path, problem))
}
