//! A folder with `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), each of which may be compressed.

use std::path::{Path, PathBuf};

use super::{
    Barcodes, Features,
    coordinates::Coordinates,
    stream::{Orientation, Stream},
};
use crate::{
    Error, Format, Options, Result, Rows,
    lines::{Line, Lines},
    matrix::{Cells, Counts, Entry, Turned},
};

/// Entries that are looked at to see how a matrix is sorted.
const LOOK: usize = 1 << 18;

/// Names that are held, at most.
const LINES: usize = 1 << 26;

/// The cells of a folder with `matrix.mtx`.
pub(crate) fn mtx(path: &Path, options: &Options) -> Result<Rows> {
    let matrix = find(path, &["matrix.mtx"])?;
    let file = Coordinates::open(&matrix)?;
    let most = file.shape.0.max(file.shape.1);
    let barcodes = first_fields(&find(path, &["barcodes.tsv"])?, most)?;
    let features = features(&find(path, &["features.tsv", "genes.tsv"])?, most)?;
    let (cells, genes) = (barcodes.len(), features.ids.len());
    let orientation = orientation(&file, cells, genes)?;
    let integer = file.integer;
    let counts: Box<dyn Counts> = match sorted(&matrix, orientation)? {
        true => Box::new(Stream::new(file, orientation, cells)),
        false => Box::new(Turned::new(cells, |visit| {
            let mut file = Coordinates::open(&matrix)?;
            while let Some((row, column, value)) = file.next()? {
                let (cell, gene) = orientation.split(row, column);
                visit(Entry::new(cell, gene, value))?;
            }
            Ok(())
        })?),
    };
    let genes = features.genes(path, options.gene_field.as_deref(), integer)?;
    let labels = Box::new(Barcodes(barcodes));
    let rows = Cells::new(path, cells, genes, counts, labels);
    Ok(Rows::new(path, Format::TenxMtx, Some(cells), rows))
}

fn find(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    let all = names
        .iter()
        .flat_map(|name| ["", ".gz", ".zst"].map(|ending| folder.join(format!("{name}{ending}"))));
    let mut all = all.filter(|path| path.is_file());
    all.next().ok_or_else(|| {
        Error::file(
            folder,
            format!(
                "there is no `{}` (or .gz); a 10x matrix is a folder with matrix.mtx, barcodes.tsv and features.tsv, so copy \
                 all three",
                names.join("` or `")
            ),
        )
    })
}

fn orientation(file: &Coordinates, cells: usize, genes: usize) -> Result<Orientation> {
    match file.shape {
        shape if shape == (genes, cells) => Ok(Orientation::GenesByCells),
        shape if shape == (cells, genes) => Ok(Orientation::CellsByGenes),
        (rows, columns) => Err(file.error(&format!(
            "the matrix has {rows} rows and {columns} columns, but there are {genes} features and {cells} barcodes; the three \
             files must be of one matrix"
        ))),
    }
}

/// Whether entries are sorted by cell, as far as a look tells.
fn sorted(matrix: &Path, orientation: Orientation) -> Result<bool> {
    let mut file = Coordinates::open(matrix)?;
    let mut last = 0;
    for _ in 0..LOOK {
        // What is wrong in the file is said when its cells are read, after those that are right.
        let Ok(Some((row, column, _))) = file.next() else {
            break;
        };
        let (cell, _) = orientation.split(row, column);
        if cell < last {
            return Ok(false);
        }
        last = cell;
    }
    Ok(true)
}

fn features(path: &Path, most: usize) -> Result<Features> {
    let mut features = Features::default();
    let mut typed = true;
    each_line(path, most, |line| {
        let mut fields = line.split('\t');
        let id = fields.next().unwrap_or_default();
        features.ids.push(id.to_owned());
        features.names.push(fields.next().unwrap_or(id).to_owned());
        let kind = fields.next();
        typed &= kind.is_some();
        features.types.push(kind.unwrap_or_default().to_owned());
    })?;
    if !typed {
        features.types.clear();
    }
    Ok(features)
}

fn first_fields(path: &Path, most: usize) -> Result<Vec<String>> {
    let mut all = vec![];
    each_line(path, most, |line| {
        all.push(line.split('\t').next().unwrap_or_default().to_owned());
    })?;
    Ok(all)
}

/// Lines up to the last that is not empty: an empty line between others would shift all after it, so it counts.
///
/// More than twice as many as the longer side of the matrix are not read: the file is another one then, or wants to fill the
/// memory.
fn each_line(path: &Path, most: usize, mut visit: impl FnMut(&str)) -> Result<()> {
    let mut lines = Lines::open(path)?;
    let most = most.saturating_mul(2).min(LINES);
    let mut empty = 0;
    loop {
        let number = lines.number() + 1;
        match lines.next()? {
            None => return Ok(()),
            Some(_) if number > most => {
                let problem = format!(
                    "there are more than {most} lines, but the matrix has fewer rows and columns; the three files must be of \
                     one matrix"
                );
                return Err(Error::file(path, problem));
            }
            Some(Line::Text("")) => empty += 1,
            Some(Line::Text(line)) => {
                (0..empty).for_each(|_| visit(""));
                empty = 0;
                visit(line);
            }
            Some(Line::Binary | Line::Long) => {
                let problem = format!("line {number} is no UTF-8 text; write the file again");
                return Err(Error::file(path, problem));
            }
        }
    }
}
