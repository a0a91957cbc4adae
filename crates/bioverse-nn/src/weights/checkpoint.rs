//! PyTorch checkpoints (`torch.save`): the tensors in them by name, found without running a line of Python.
//!
//! A checkpoint is a pickle, which is a program; it is read as data, and one that asks for anything but tensors and plain
//! containers is refused by name. Bytes are read from the file when a tensor is asked for.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchReader, Tensor};
use safetensors::Dtype;
use zip::{ZipArchive, read::ZipReadOptions};

use super::classes::{Class, forbidden};
use crate::error::{Error, Result};

/// Under which keys training programs put the parameters among optimiser states and counters, the most telling first.
const NESTED: [&str; 8] = [
    "model_state_dict",
    "state_dict",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "checkpoint",
];

/// Deepest nest of such keys looked into.
const DEPTH: usize = 4;

/// What `DistributedDataParallel` and compiled models write before every name.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Whether a file is a checkpoint, by its extension; whether it is a whole one shows when it is opened.
pub(super) fn is_one(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("bin" | "pt" | "pth" | "ckpt"))
}

/// The parameters of a checkpoint by name, not read yet.
pub(super) fn open(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    refuse_code(path)?;
    let broken = |error| Error::format(path, sentence(&error));
    let whole = PytorchReader::read_pickle_data(path, None).map_err(broken)?;
    let place = nested(&whole);
    drop(whole);
    let all = PytorchReader::new(path).map_err(broken)?.into_tensors();
    let inside = all.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(&place)?.to_owned();
        Some((name, tensor))
    });
    let tensors = unwrapped(inside.collect());
    match tensors.is_empty() {
        false => Ok(tensors),
        true => Err(Error::format(
            path,
            "holds no tensors; give the file that the model's parameters were saved to",
        )),
    }
}

/// The bytes of a tensor, little-endian and in row-major order.
///
/// A file may promise a tensor far larger than itself (compressed, or one value repeated): that is refused, not built.
pub(super) fn read(path: &Path, tensor: &Tensor) -> Result<Vec<u8>, String> {
    let whole = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if tensor.byte_len() as u64 > whole {
        return Err(format!(
            "would take {} bytes, more than its whole file has ({whole}); save it again without compression and without \
             `expand`",
            tensor.byte_len()
        ));
    }
    let bytes = tensor.read();
    let bytes = bytes.map_err(|e| format!("cannot be read ({e}); download the file again"))?;
    Ok(match cfg!(target_endian = "big") {
        true => swapped(&bytes, tensor.dtype().size()),
        false => bytes,
    })
}

/// The reader gives numbers as the machine has them.
fn swapped(bytes: &[u8], size: usize) -> Vec<u8> {
    let values = bytes.chunks(size);
    values
        .flat_map(|value| value.iter().rev().copied())
        .collect()
}

/// How safetensors calls a type.
pub(super) fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

fn sentence(error: &dyn std::fmt::Display) -> String {
    format!(
        "is truncated, damaged or no PyTorch checkpoint ({error}); download it again, or save it anew with `torch.save`"
    )
}

/// The dotted path, with a final dot, under which the parameters lie where they are not at the top.
fn nested(whole: &PickleValue) -> String {
    let (mut place, mut value) = (String::new(), whole);
    for _ in 0..DEPTH {
        let PickleValue::Dict(entries) = value else {
            break;
        };
        let inner = NESTED.iter().find_map(|key| match entries.get(*key) {
            Some(inner @ PickleValue::Dict(_)) => Some((key, inner)),
            _ => None,
        });
        let Some((key, inner)) = inner else { break };
        place.push_str(key);
        place.push('.');
        value = inner;
    }
    place
}

/// Without what every name begins with, if that is a wrapper's name.
fn unwrapped(tensors: HashMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
    while let Some(prefix) = WRAPPERS.into_iter().find(|prefix| {
        let longer = |name: &String| name.starts_with(prefix) && name.len() > prefix.len();
        !tensors.is_empty() && tensors.keys().all(longer)
    }) {
        tensors = tensors
            .into_iter()
            .map(|(name, tensor)| {
                let name = name.strip_prefix(prefix).unwrap_or(&name).to_owned();
                (name, tensor)
            })
            .collect();
    }
    tensors
}

/// Refuses a file that names Python functions, or classes of its own.
fn refuse_code(path: &Path) -> Result<()> {
    let mut file = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
    let found = match kind(&mut file).map_err(|e| Error::io(path, e))? {
        Kind::Zip => in_zip(file),
        Kind::Stream => in_stream(&mut file),
        Kind::Other(problem) => return Err(Error::format(path, problem)),
    };
    match found {
        Ok(None) => Ok(()),
        Ok(Some(class)) => Err(Error::format(path, refused(&class))),
        Err(error) => Err(Error::format(path, sentence(&error))),
    }
}

fn refused(class: &Class) -> String {
    format!(
        "asks for the Python object `{class}`, so loading it as Python does could run code; nothing was run and nothing \
         loaded. If you trust who made it, save `model.state_dict()` alone, best as safetensors"
    )
}

/// What a file is by its first bytes.
enum Kind {
    Zip,
    Stream,
    Other(&'static str),
}

/// The file is left at its beginning.
fn kind(file: &mut BufReader<File>) -> io::Result<Kind> {
    let mut head = Vec::new();
    file.by_ref().take(300).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(match head.as_slice() {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Kind::Zip,
        head if head.get(257..262) == Some(b"ustar") => Kind::Other(
            "is a TAR checkpoint of PyTorch before 0.1.10; load it with PyTorch and save its state dict again",
        ),
        [_, _, _, _, _, _, _, _, b'{', ..] => {
            Kind::Other("is a safetensors file by its content; rename it to *.safetensors")
        }
        head if head.starts_with(b"version https://git-lfs") => Kind::Other(
            "is a pointer of Git LFS and not the weights; fetch them with `git lfs pull`",
        ),
        _ => Kind::Stream,
    })
}

/// The pickle of a zip archive is one entry, `…/data.pkl`.
fn in_zip(file: BufReader<File>) -> io::Result<Option<Class>> {
    let mut archive = ZipArchive::new(file).map_err(io::Error::other)?;
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .filter(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
        .collect();
    for name in names {
        let Some(index) = archive.index_for_name(&name) else {
            continue;
        };
        // The sum is checked when the entry is read for its tensors.
        let options = ZipReadOptions::new().ignore_crc32(true);
        let entry = archive.by_index_with_options(index, options);
        let entry = entry.map_err(io::Error::other)?;
        let mut pickle = BufReader::new(entry.take(pytorch_reader::MAX_PICKLE_SIZE));
        if let Some(class) = forbidden(&mut pickle)? {
            return Ok(Some(class));
        }
    }
    Ok(None)
}

/// A file of PyTorch before 1.6 begins with three small pickles, then comes the object, then the keys of its storages; a
/// plain pickle is one.
fn in_stream(file: &mut BufReader<File>) -> io::Result<Option<Class>> {
    /// 0x1950a86a20f9469cfc6c, in bytes and in decimal.
    const MAGIC: [&[u8]; 2] = [
        &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19],
        b"119547037146038801333356",
    ];
    let head = file.fill_buf()?;
    let head = head.get(..64).unwrap_or(head);
    let has = |magic: &&[u8]| head.windows(magic.len()).any(|bytes| bytes == *magic);
    let pickles = if MAGIC.iter().any(has) { 5 } else { 1 };
    for _ in 0..pickles {
        if let Some(class) = forbidden(file)? {
            return Ok(Some(class));
        }
    }
    Ok(None)
}
