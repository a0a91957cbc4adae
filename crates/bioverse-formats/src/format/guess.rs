//! Which format a text has. Some contents say it themselves; where they do not, the name decides, and where that does not
//! either, the look of the first lines.

use std::path::Path;

use super::Format;
use crate::{Error, Result, smiles, table};

/// Lines that are looked at.
const LINES: usize = 20;

/// The format of a text that begins with `head`.
pub(super) fn text(path: &Path, head: &[u8]) -> Result<Format> {
    let whole = head.len() < crate::source::AHEAD;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let head = String::from_utf8_lossy(head);
    let lines = first_lines(&head, whole);
    let named = by_name(path);
    if let Some(format) = by_content(path, &head, &lines, named)? {
        return Ok(format);
    }
    Ok(match named {
        // Some programs write semicolons or tabs and call it CSV.
        Some(Format::Csv) => by_delimiter(&head),
        // Those are known by their content, which this is not.
        Some(format @ (Format::Parquet | Format::H5ad)) => {
            let problem = format!(
                "is called {} but is not; fetch or write it again",
                format.name()
            );
            return Err(Error::file(path, problem));
        }
        Some(format) => format,
        None if looks_like_smiles(&lines) => Format::Smiles,
        None if is_table(&head, whole) => by_delimiter(&head),
        None => Format::Text,
    })
}

/// What an extension promises, that of a compression left out.
pub(super) fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let packed = [".gz", ".bgz", ".bgzf", ".zst", ".zstd"];
    let name = packed
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "fa" | "fasta" | "faa" | "fna" | "ffn" | "fas" | "fq" | "fastq" | "mpfa" => {
            Some(Format::Fasta)
        }
        "smi" | "smiles" | "ism" | "can" => Some(Format::Smiles),
        "sdf" | "sd" | "mol" => Some(Format::Sdf),
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
        "parquet" => Some(Format::Parquet),
        "h5ad" => Some(Format::H5ad),
        _ => None,
    }
}

/// Contents that say what they are, whatever the name.
fn by_content(
    path: &Path,
    head: &str,
    lines: &[&str],
    named: Option<Format>,
) -> Result<Option<Format>> {
    let start = head.trim_start();
    let refuse = |problem: &str| Err(Error::file(path, problem));
    if lines.iter().any(|line| line.starts_with("%%MatrixMarket")) {
        return refuse(
            "is the matrix of a 10x folder; give the folder, which also holds the barcodes and the genes",
        );
    }
    let lower = start.get(..64).unwrap_or(start).to_ascii_lowercase();
    if lower.starts_with("<!doctype") || lower.starts_with("<html") {
        return refuse(
            "is a web page, perhaps the error message of a download; fetch the file again",
        );
    }
    if start.starts_with("LOCUS ") {
        return refuse(
            "is a GenBank file, which is not read; write it as FASTA, in Python: Bio.SeqIO.convert(path, \"genbank\", new, \"fasta\")",
        );
    }
    // The fourth line of a molecule says its version; a record of SDF may begin with anything.
    let version = lines
        .get(3)
        .is_some_and(|line| line.ends_with("V2000") || line.ends_with("V3000"));
    if version {
        return Ok(Some(Format::Sdf));
    }
    let chemistry = matches!(named, Some(Format::Smiles));
    Ok(match start.bytes().next() {
        Some(b'{') => Some(Format::Jsonl),
        // `[` begins both a JSON array and an atom such as `[Na+]`.
        Some(b'[') if !chemistry && is_array(start) => Some(Format::Jsonl),
        Some(b'>') if !matches!(named, Some(Format::Csv | Format::Tsv)) => Some(Format::Fasta),
        Some(b'@') if lines.get(2).is_some_and(|line| line.starts_with('+')) => Some(Format::Fasta),
        _ => None,
    })
}

/// Whether `[` opens a list of JSON.
fn is_array(text: &str) -> bool {
    let inside = text.trim_start_matches('[').trim_start();
    inside.starts_with(['{', '"', ']']) || inside.is_empty() || text.starts_with("[[")
}

/// The lines that are certainly whole.
fn first_lines(head: &str, whole: bool) -> Vec<&str> {
    let complete = match (whole, head.rfind('\n')) {
        (false, Some(end)) => &head[..end],
        _ => head,
    };
    complete.lines().take(LINES).collect()
}

fn by_delimiter(head: &str) -> Format {
    let first = head.lines().find(|line| !line.trim().is_empty());
    match table::delimiter(first.unwrap_or_default()) {
        b'\t' => Format::Tsv,
        _ => Format::Csv,
    }
}

/// Whether the first token of every line is a SMILES string, and one of them is more than letters, as words are.
fn looks_like_smiles(lines: &[&str]) -> bool {
    let lines: Vec<&str> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let (header, rest) = match lines.as_slice() {
        [first, rest @ ..] if smiles::is_header(first) => (true, rest),
        all => (false, all),
    };
    let token = |line: &&str| {
        line.split([' ', '\t'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let tokens: Vec<String> = rest.iter().map(token).collect();
    // A header of several columns is that of a table, which names more than the molecule.
    let columns = lines.first().map_or(0, |first| first.split('\t').count());
    !(tokens.is_empty() || header && columns > 2)
        && tokens.iter().any(|token| smiles::has_structure(token))
        && tokens.iter().all(|token| smiles::parses(token))
}

/// Whether every record of the first lines has as many fields as the first, and more than one.
fn is_table(head: &str, whole: bool) -> bool {
    let first = head
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let delimiter = table::delimiter(first);
    if delimiter == b'|' {
        // Lists of names have bars too (`sp|P69905|HBA_HUMAN`).
        return false;
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(head.as_bytes());
    let records: Vec<csv::StringRecord> = reader
        .records()
        .take(LINES + 1)
        .map_while(std::result::Result::ok)
        .collect();
    // What was read last may be cut.
    let known = match whole || records.len() > LINES {
        true => records.len(),
        false => records.len().saturating_sub(1),
    };
    let Some((header, rest)) = records.get(..known).and_then(<[_]>::split_first) else {
        return false;
    };
    let names: std::collections::BTreeSet<&str> = header.iter().map(str::trim).collect();
    let named = names.len() == header.len() && header.iter().all(|name| name.len() <= 64);
    named
        && header.len() > 1
        && !rest.is_empty()
        && rest.iter().all(|record| record.len() == header.len())
}
