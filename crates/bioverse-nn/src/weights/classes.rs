//! Which Python classes a pickle names, found by walking its opcodes without building anything.
//!
//! A pickle is a program: `GLOBAL` and its relatives fetch any function of any installed package, `REDUCE` calls it.
//! Nothing here or in the reader calls anything. What is looked for is whether a file *asks* for more than tensors and
//! plain containers, because such a file is an attack or holds something other than weights. Knows no tensors.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

/// A class that a pickle names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    module: String,
    name: String,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |text: &str| text.chars().take(80).collect::<String>();
        let text = format!("{}.{}", short(&self.module), short(&self.name));
        write!(f, "{}", text.escape_debug())
    }
}

impl Class {
    /// Whether a state dict may name it: what `torch.load(…, weights_only=True)` allows, and plain values of NumPy and
    /// argparse that training scripts leave beside the weights.
    pub(super) fn holds_only_data(&self) -> bool {
        let name = self.name.as_str();
        match self.module.as_str() {
            "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter" | "deque"),
            "builtins" | "__builtin__" => matches!(
                name,
                "set"
                    | "frozenset"
                    | "list"
                    | "dict"
                    | "tuple"
                    | "int"
                    | "float"
                    | "complex"
                    | "str"
                    | "bytes"
                    | "bytearray"
                    | "bool"
                    | "slice"
                    | "object"
            ),
            "torch" => torch_value(name),
            "torch.storage" => matches!(name, "UntypedStorage" | "TypedStorage"),
            "torch._utils" => name.starts_with("_rebuild_"),
            "torch._tensor" => name == "_rebuild_from_type_v2",
            "torch.nn.parameter" => matches!(name, "Parameter" | "Buffer"),
            "torch.serialization" => name == "_get_layout",
            "_codecs" => name == "encode",
            "copyreg" | "copy_reg" => name == "_reconstructor",
            "numpy" => matches!(name, "dtype" | "ndarray"),
            "numpy.core.multiarray" | "numpy._core.multiarray" => {
                matches!(name, "scalar" | "_reconstruct")
            }
            "argparse" => name == "Namespace",
            _ => false,
        }
    }
}

/// Storages, element types and the small value classes of the `torch` module itself.
fn torch_value(name: &str) -> bool {
    const ELEMENTS: [&str; 9] = [
        "float", "bfloat", "int", "uint", "bool", "half", "double", "long", "complex",
    ];
    name.ends_with("Storage")
        || matches!(name, "Size" | "Tensor" | "device" | "short")
        || ELEMENTS.iter().any(|stem| {
            name.strip_prefix(stem)
                .is_some_and(|bits| bits.chars().all(|c| c.is_ascii_digit()))
        })
}

/// Walks one pickle up to and including its `STOP`; returns the first class that is no plain data.
///
/// # Errors
/// The stream ends early, holds an unknown opcode, or names a class in a way that cannot be followed.
pub(super) fn forbidden(stream: &mut impl BufRead) -> io::Result<Option<Class>> {
    let mut walk = Walk::default();
    let mut found = None;
    loop {
        match walk.step(stream)? {
            Step::Stop => return Ok(found),
            Step::Class(class) if found.is_none() && !class.holds_only_data() => {
                found = Some(class);
            }
            Step::Class(_) | Step::Other => {}
        }
    }
}

enum Step {
    Stop,
    Class(Class),
    Other,
}

/// The last two values pushed, as far as they are texts, and the texts in the memo: what `STACK_GLOBAL` reads.
#[derive(Default)]
struct Walk {
    before: Option<String>,
    last: Option<String>,
    memo: HashMap<u32, Option<String>>,
}

/// Longest text that could name a module or class; longer ones are passed over.
const NAME: u64 = 1024;

impl Walk {
    fn step(&mut self, r: &mut impl BufRead) -> io::Result<Step> {
        let [op] = array(r)?;
        match op {
            b'.' => return Ok(Step::Stop),
            b'c' | b'i' => {
                let class = Class {
                    module: line(r)?,
                    name: line(r)?,
                };
                self.push(None);
                return Ok(Step::Class(class));
            }
            0x93 => return self.stack_global(),
            _ => {}
        }
        match op {
            // Texts.
            0x8c => self.text(r, length::<1>)?,
            b'X' | b'T' => self.text(r, length::<4>)?,
            b'U' => self.text(r, length::<1>)?,
            0x8d => self.text(r, length::<8>)?,
            b'V' => {
                let text = line(r)?;
                self.push(Some(text));
            }
            b'S' => {
                let text = line(r)?;
                self.push(Some(text.trim_matches(['\'', '"']).to_owned()));
            }
            // The memo.
            b'p' => self.put(index(&line(r)?)?),
            b'q' => self.put(u32::from(array::<1>(r)?[0])),
            b'r' => self.put(u32::from_le_bytes(array(r)?)),
            0x94 => self.put(u32::try_from(self.memo.len()).unwrap_or(u32::MAX)),
            b'g' => self.get(index(&line(r)?)?),
            b'h' => self.get(u32::from(array::<1>(r)?[0])),
            b'j' => self.get(u32::from_le_bytes(array(r)?)),
            _ => {
                pass(op, r)?;
                self.push(None);
            }
        }
        Ok(Step::Other)
    }

    fn push(&mut self, text: Option<String>) {
        self.before = std::mem::replace(&mut self.last, text);
    }

    fn put(&mut self, index: u32) {
        self.memo.insert(index, self.last.clone());
    }

    fn get(&mut self, index: u32) {
        let text = self.memo.get(&index).cloned().flatten();
        self.push(text);
    }

    fn text<R: BufRead>(
        &mut self,
        r: &mut R,
        length: impl Fn(&mut R) -> io::Result<u64>,
    ) -> io::Result<()> {
        let length = length(r)?;
        if length > NAME {
            skip(r, length)?;
            self.push(None);
            return Ok(());
        }
        let mut bytes = Vec::new();
        r.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.push(Some(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(())
    }

    fn stack_global(&mut self) -> io::Result<Step> {
        match (self.before.take(), self.last.take()) {
            (Some(module), Some(name)) => Ok(Step::Class(Class { module, name })),
            _ => Err(invalid("it names a class in a roundabout way".to_owned())),
        }
    }
}

/// Reads past the arguments of an opcode that neither names a class nor holds a text.
fn pass(op: u8, r: &mut impl BufRead) -> io::Result<()> {
    match op {
        b'K' | 0x80 | 0x82 => skip(r, 1),
        b'M' | 0x83 => skip(r, 2),
        b'J' | 0x84 => skip(r, 4),
        b'G' | 0x95 => skip(r, 8),
        0x8a | b'C' => length::<1>(r).and_then(|n| skip(r, n)),
        0x8b | b'B' => length::<4>(r).and_then(|n| skip(r, n)),
        0x8e | 0x96 => length::<8>(r).and_then(|n| skip(r, n)),
        b'I' | b'L' | b'F' | b'P' => line(r).map(drop),
        b'(' | b'0' | b'1' | b'2' | b'N' | b'Q' | b'R' | b'a' | b'b' | b'd' | b'}' | b'e'
        | b'l' | b']' | b'o' | b's' | b't' | b')' | b'u' => Ok(()),
        0x81 | 0x85..=0x89 | 0x8f..=0x92 | 0x97 | 0x98 => Ok(()),
        other => Err(invalid(format!("{other:#04x} is no pickle opcode"))),
    }
}

fn array<const N: usize>(r: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    r.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A little-endian length of `N` bytes, at most 8.
fn length<const N: usize>(r: &mut impl BufRead) -> io::Result<u64> {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(array::<N>(r)?) {
        *to = from;
    }
    Ok(u64::from_le_bytes(bytes))
}

fn skip(r: &mut impl BufRead, length: u64) -> io::Result<()> {
    match io::copy(&mut r.by_ref().take(length), &mut io::sink())? == length {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Longest line of the text opcodes.
const LINE: u64 = 1 << 20;

fn line(r: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    r.by_ref().take(LINE).read_until(b'\n', &mut bytes)?;
    match bytes.pop() {
        Some(b'\n') => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn index(text: &str) -> io::Result<u32> {
    let index = text.trim().parse();
    index.map_err(|_| invalid(format!("`{}` is no place in the memo", text.escape_debug())))
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn found(pickle: &[u8]) -> Option<String> {
        forbidden(&mut &*pickle)
            .unwrap()
            .map(|class| class.to_string())
    }

    #[test]
    fn every_way_of_naming_a_class_is_seen() {
        let cases: [(&[u8], &str); 6] = [
            (b"cposix\nsystem\n(S'id'\ntR.", "posix.system"),
            (b"\x80\x02}cos\nsystem\n0.", "os.system"),
            (b"(S'id'\nios\nsystem\n.", "os.system"),
            (
                b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
                "os.system",
            ),
            (
                b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93.",
                "os.system",
            ),
            (
                b"\x80\x02ctorch.storage\n_load_from_bytes\n.",
                "torch.storage._load_from_bytes",
            ),
        ];
        for (pickle, class) in cases {
            assert_eq!(found(pickle).as_deref(), Some(class));
        }
    }

    #[test]
    fn what_torch_save_writes_passes() {
        for pickle in [
            &b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."[..],
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00ctorch\nFloatStorage\nq\x01.",
            b"\x80\x02ctorch\nfloat16\nctorch\nbfloat16\nctorch\nint64\nctorch\nSize\n.",
            b"\x80\x02c__builtin__\nset\n.",
        ] {
            assert_eq!(found(pickle), None);
        }
        assert_eq!(found(b"ctorch\nload\n.").as_deref(), Some("torch.load"));
        assert_eq!(
            found(b"ctorch\nfloat_power\n.").as_deref(),
            Some("torch.float_power")
        );
        assert_eq!(
            found(b"cbuiltins\neval\n.").as_deref(),
            Some("builtins.eval")
        );
    }

    #[test]
    fn a_class_out_of_nowhere_an_unknown_opcode_and_an_early_end_are_errors() {
        for pickle in [
            &b"\x80\x04NN\x93."[..],
            b"\x80\x02\xff.",
            b"\x80\x02cos\nsys",
            b"\x80\x02X\xff\xff\xff\x7fabc",
            b"",
        ] {
            assert!(forbidden(&mut &*pickle).is_err(), "{pickle:?}");
        }
    }
}
