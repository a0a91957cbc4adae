//! Vectors in npy, in C and Fortran order. Ids may stand in a text file beside it.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::{
    numbers::{Stored, each},
    vectors::{Vectors, expect_ids, lines, numbered},
};
use crate::{Error, Result};

/// Longest header that is read; the header of a table of vectors has about 100 bytes.
const LONGEST_HEADER: usize = 1 << 16;
/// Most brackets and digits of a header, `{'descr': '<f4', 'shape': (n, d)}`. More brackets are nested deeper than any array
/// of numbers, and with so few digits no product of the shape overflows 64 bits.
const BRACKETS: usize = 8;
const DIGITS: usize = 20;

/// Where the ids of the vectors in `path` may stand, one per line: `x.ids.txt` for `x.npy`.
pub fn ids_file(path: &Path) -> PathBuf {
    path.with_extension("ids.txt")
}

pub(super) fn read(path: &Path, key: Option<&str>) -> Result<Vectors> {
    if let Some(key) = key {
        return Err(Error::file(
            path,
            format!("has no key `{key}`, for npy holds a single array; leave `embeddings_key` out"),
        ));
    }
    let here = |error| Error::io(path, error);
    let file = File::open(path).map_err(here)?;
    let length = file.metadata().map_err(here)?.len();
    let mut file = BufReader::new(file);
    let header = header(path, &mut file)?;
    let (stored, big_endian) = stored(path, &header)?;
    let begin = file.stream_position().map_err(here)?;
    let shape = shape(path, &header, stored, length.saturating_sub(begin))?;
    let (rows, width) = (shape.rows, shape.width);
    let count = rows * shape.several.unwrap_or(1) * width;
    let mut values = vec![0.0; count];
    let fortran = header.order() == Order::Fortran;
    let mut at = 0;
    let put = &mut |value: f32| {
        let to = match fortran {
            true => at % rows * width + at / rows,
            false => at,
        };
        if let Some(place) = values.get_mut(to) {
            *place = value;
        }
        at += 1;
    };
    each(&mut file, stored, big_endian, count, put).map_err(here)?;
    let ids = ids(path, rows)?;
    match shape.several {
        None => Vectors::new(path, ids, width, values),
        Some(several) => Vectors::several(path, ids, &vec![several; rows], width, values),
    }
}

/// `[rows, width]` or `[rows, several, width]`, none of them 0.
struct Shape {
    rows: usize,
    several: Option<usize>,
    width: usize,
}

/// The shape, when the file holds as many bytes of numbers as it claims.
fn shape(path: &Path, header: &NpyHeader, stored: Stored, bytes: u64) -> Result<Shape> {
    let refuse = |problem: String| Err(Error::file(path, problem));
    let shape = header.shape();
    let claimed = shape
        .iter()
        .try_fold(stored.size() as u64, |n, d| n.checked_mul(*d));
    if claimed != Some(bytes) {
        return refuse(format!(
            "claims the shape {shape:?}, but holds {bytes} bytes of numbers; write or fetch it again"
        ));
    }
    if bytes == 0 {
        return refuse(format!(
            "has the shape {shape:?}; a table needs at least one vector"
        ));
    }
    // No dimension is above the number of bytes now.
    let [rows, several, width] = match *shape {
        [rows, width] => [rows, 0, width],
        [rows, several, width] if header.order() == Order::C => [rows, several, width],
        _ => {
            return refuse(format!(
                "has the shape {shape:?}; give one vector per row, [n, d]"
            ));
        }
    }
    .map(|d| usize::try_from(d).unwrap_or(0));
    Ok(Shape {
        rows,
        several: (several > 0).then_some(several),
        width,
    })
}

fn ids(path: &Path, rows: usize) -> Result<Vec<String>> {
    let beside = ids_file(path);
    if !beside.is_file() {
        return Ok(numbered(rows));
    }
    let text = std::fs::read(&beside).map_err(|error| Error::io(&beside, error))?;
    let text = String::from_utf8(text).map_err(|error| {
        Error::file(&beside, format!("is not UTF-8 ({error}); save it as UTF-8"))
    })?;
    expect_ids(
        path,
        &format!("{} beside it", beside.display()),
        lines(&text),
        rows,
    )
}

/// The header, after a look that nothing in it can exhaust its parser.
fn header(path: &Path, file: &mut BufReader<File>) -> Result<NpyHeader> {
    let broken = |problem: String| {
        Error::file(
            path,
            format!("its npy header cannot be read ({problem}); write it again with `numpy.save`"),
        )
    };
    let mut start = vec![];
    let taken = file
        .by_ref()
        .take(12 + LONGEST_HEADER as u64)
        .read_to_end(&mut start);
    taken.map_err(|error| Error::io(path, error))?;
    let (begin, length) = match start.get(6..12) {
        Some(&[1, _, a, b, ..]) => (10_usize, usize::from(u16::from_le_bytes([a, b]))),
        Some(&[2 | 3, _, a, b, c, d]) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        Some(&[version, ..]) => return Err(broken(format!("its version is {version}"))),
        _ => return Err(broken("it is cut short".into())),
    };
    let text = start
        .get(begin..begin.saturating_add(length))
        .ok_or_else(|| broken(format!("it claims {length} bytes of header")))?;
    let brackets = text.iter().filter(|byte| b"([{".contains(byte)).count();
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    if brackets > BRACKETS || digits > DIGITS || !text.is_ascii() {
        return Err(broken("it does not describe a table of numbers".into()));
    }
    file.rewind().map_err(|error| Error::io(path, error))?;
    // The parser's own words are a dump of its stack, of many lines.
    NpyHeader::from_reader(file)
        .map_err(|_| broken("it does not describe an array as numpy does".into()))
}

fn stored(path: &Path, header: &NpyHeader) -> Result<(Stored, bool)> {
    let dtype = header.dtype();
    let kind = match &dtype {
        DType::Plain(plain) if plain.type_char() == TypeChar::Float => match plain.size_field() {
            2 => Some(Stored::F16),
            4 => Some(Stored::F32),
            8 => Some(Stored::F64),
            _ => None,
        }
        .map(|stored| (stored, plain.endianness() == Endianness::Big)),
        _ => None,
    };
    kind.ok_or_else(|| {
        Error::file(
            path,
            format!(
                "holds numbers of the type {}; save the vectors as float32 (`array.astype(\"float32\")`)",
                dtype.descr()
            ),
        )
    })
}
