//! Bytes of a file as f32, whatever floating-point numbers they hold. Which file and why is unknown here.

use std::io::{self, Read};

use arrow_array::types::{ArrowPrimitiveType, Float16Type};

/// IEEE half precision.
pub(super) type F16 = <Float16Type as ArrowPrimitiveType>::Native;

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    F16,
    Bf16,
    F32,
    F64,
}

impl Stored {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn decode(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::F16, &[a, b]) => F16::from_le_bytes([a, b]).to_f32(),
            (Self::Bf16, &[a, b]) => f32::from_le_bytes([0, 0, a, b]),
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::F64, &[a, b, c, d, e, f, g, h]) => {
                f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
            }
            // Every caller cuts by `size`.
            _ => f32::NAN,
        }
    }
}

/// Reads `count` numbers and hands them over one by one; the file must have them, nothing is allocated for a claim.
pub(super) fn each(
    reader: &mut dyn Read,
    stored: Stored,
    big_endian: bool,
    count: usize,
    take: &mut dyn FnMut(f32),
) -> io::Result<()> {
    let size = stored.size();
    let mut buffer = vec![0; size * count.clamp(1, 1 << 16)];
    let mut left = count;
    while left > 0 {
        let now = left.min(1 << 16);
        let piece = buffer.get_mut(..now * size).unwrap_or_default();
        reader.read_exact(piece)?;
        for number in piece.chunks_exact_mut(size) {
            if big_endian {
                number.reverse();
            }
            take(stored.decode(number));
        }
        left -= now;
    }
    Ok(())
}
