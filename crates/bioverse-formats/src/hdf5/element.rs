//! Elements of HDF5 datasets: from stored bytes to numbers, booleans and text. Where the bytes come from is unknown here.

use hdf5_pure::{Datatype, DatatypeByteOrder, StringPadding};
use serde_json::Value;

/// What one element of a dataset is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Element {
    /// An integer or a float.
    Number(Number),
    /// An enumeration of `FALSE` and `TRUE`, which is how NumPy's booleans are stored.
    Bool,
    /// Text of a fixed number of bytes.
    Fixed {
        /// Bytes of an element.
        size: usize,
        /// Whether spaces at the end are padding.
        spaces: bool,
    },
    /// Text kept in the file's heap; the element is a reference of [`REFERENCE`] bytes.
    Variable,
    /// A record of named fields.
    Record {
        /// Bytes of an element.
        size: usize,
        /// The fields.
        fields: Vec<Field>,
    },
    /// Anything else, by the words to name it with.
    Other(String),
}

/// Bytes of a reference to text in the heap: length, address, index.
pub(crate) const REFERENCE: usize = 16;

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: String,
    /// Where it begins in the record.
    pub(crate) offset: usize,
    /// What it holds.
    pub(crate) element: Element,
    /// How many of them: 1, or the size of an array.
    pub(crate) count: usize,
}

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    /// Signed, unsigned or floating.
    pub(crate) class: Class,
    /// Bytes: 1, 2, 4 or 8.
    pub(crate) size: usize,
    /// Whether the first byte is the highest.
    pub(crate) big_endian: bool,
}

/// Classes of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Two's complement.
    Signed,
    /// Not negative.
    Unsigned,
    /// IEEE 754 binary16, binary32 or binary64.
    Float,
}

impl Element {
    /// Reads a type.
    pub(crate) fn of(datatype: &Datatype) -> Self {
        match datatype {
            Datatype::Enumeration {
                base_type, members, ..
            } => match (Number::of(base_type), members.len()) {
                (Some(Number { size: 1, .. }), 2)
                    if members.iter().all(|member| {
                        ["FALSE", "TRUE"].contains(&member.name.to_ascii_uppercase().as_str())
                    }) =>
                {
                    Self::Bool
                }
                (Some(number), _) => Self::Number(number),
                (None, _) => Self::Other(datatype.to_string()),
            },
            Datatype::String { size, padding, .. } => Self::Fixed {
                size: *size as usize,
                spaces: *padding == StringPadding::SpacePad,
            },
            Datatype::VariableLength {
                is_string: true, ..
            } => Self::Variable,
            Datatype::Compound { size, members } => Self::Record {
                size: *size as usize,
                fields: members.iter().filter_map(Field::of).collect(),
            },
            other => match Number::of(other) {
                Some(number) => Self::Number(number),
                None => Self::Other(other.to_string()),
            },
        }
    }

    /// Bytes of an element; 0 where unknown.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Number(number) => number.size,
            Self::Bool => 1,
            Self::Fixed { size, .. } | Self::Record { size, .. } => *size,
            Self::Variable => REFERENCE,
            Self::Other(_) => 0,
        }
    }

    /// The value of one element, for numbers, booleans and fixed text; NaN and infinities become null.
    pub(crate) fn value(&self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Number(number) => Some(number.value(bytes)),
            Self::Bool => Some(Value::Bool(bytes.first().is_some_and(|byte| *byte != 0))),
            Self::Fixed { spaces, .. } => Some(Value::String(text(bytes, *spaces))),
            Self::Variable | Self::Record { .. } | Self::Other(_) => None,
        }
    }
}

impl Field {
    fn of(member: &hdf5_pure::CompoundMember) -> Option<Self> {
        let (datatype, count) = match &member.datatype {
            Datatype::Array {
                base_type,
                dimensions,
            } => {
                let count = dimensions
                    .iter()
                    .try_fold(1_usize, |all, n| all.checked_mul(*n as usize))?;
                (&**base_type, count)
            }
            single => (single, 1),
        };
        Some(Self {
            name: member.name.clone(),
            offset: usize::try_from(member.byte_offset).ok()?,
            element: Element::of(datatype),
            count,
        })
    }

    /// Its bytes in a record.
    pub(crate) fn slice<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let size = self.element.size().checked_mul(self.count)?;
        record.get(self.offset..self.offset.checked_add(size)?)
    }
}

impl Number {
    fn of(datatype: &Datatype) -> Option<Self> {
        let (class, size, byte_order) = match datatype {
            Datatype::FixedPoint {
                size,
                byte_order,
                layout,
            } => {
                let bits = Some(u32::from(layout.bit_precision));
                let whole = layout.bit_offset == 0 && bits == size.checked_mul(8);
                let class = match layout.signed {
                    true => Class::Signed,
                    false => Class::Unsigned,
                };
                (whole && [1, 2, 4, 8].contains(size)).then_some((class, *size, byte_order))?
            }
            Datatype::FloatingPoint {
                size,
                byte_order,
                layout,
            } => {
                let (exponent, mantissa) = (layout.exponent_size, layout.mantissa_size);
                let ieee = matches!(
                    (*size, exponent, mantissa),
                    (2, 5, 10) | (4, 8, 23) | (8, 11, 52)
                );
                ieee.then_some((Class::Float, *size, byte_order))?
            }
            _ => return None,
        };
        Some(Self {
            class,
            size: size as usize,
            big_endian: match byte_order {
                DatatypeByteOrder::LittleEndian => false,
                DatatypeByteOrder::BigEndian => true,
                DatatypeByteOrder::Vax => return None,
            },
        })
    }

    /// Whether it holds integers.
    pub(crate) fn is_integer(self) -> bool {
        self.class != Class::Float
    }

    fn bits(self, bytes: &[u8]) -> u64 {
        let fold = |all: u64, byte: &u8| (all << 8) | u64::from(*byte);
        let bytes = bytes.iter().take(self.size);
        match self.big_endian {
            true => bytes.fold(0, fold),
            false => bytes.rev().fold(0, fold),
        }
    }

    fn signed(self, bytes: &[u8]) -> i64 {
        let unused = 64 - 8 * u32::try_from(self.size).unwrap_or(8).clamp(1, 8);
        self.bits(bytes).cast_signed() << unused >> unused
    }

    /// One number; integers above 2^53 are rounded.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "documented rounding; the bits of a narrow float fit its type"
    )]
    pub(crate) fn float(self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        match (self.class, self.size) {
            (Class::Signed, _) => self.signed(bytes) as f64,
            (Class::Unsigned, _) => bits as f64,
            (Class::Float, 2) => half(bits as u16),
            (Class::Float, 4) => f64::from(f32::from_bits(bits as u32)),
            (Class::Float, _) => f64::from_bits(bits),
        }
    }

    /// One integer; floats are cut, and what does not fit is at the end of the range.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, as documented")]
    pub(crate) fn integer(self, bytes: &[u8]) -> i64 {
        match self.class {
            Class::Signed => self.signed(bytes),
            Class::Unsigned => i64::try_from(self.bits(bytes)).unwrap_or(i64::MAX),
            Class::Float => self.float(bytes) as i64,
        }
    }

    /// One number as JSON, exactly; NaN and infinities become null.
    pub(crate) fn value(self, bytes: &[u8]) -> Value {
        match self.class {
            Class::Signed => Value::from(self.signed(bytes)),
            Class::Unsigned => Value::from(self.bits(bytes)),
            Class::Float => Value::from(self.float(bytes)),
        }
    }
}

/// An IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2_f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2_f64.powi(i32::from(exponent) - 15),
    };
    sign * magnitude
}

/// Text of a fixed-size field: up to the first NUL, without padding.
pub(crate) fn text(bytes: &[u8], spaces: bool) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = String::from_utf8_lossy(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes));
    match spaces {
        true => text.trim_end_matches(' ').to_owned(),
        false => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(class: Class, size: usize, big_endian: bool) -> Number {
        Number {
            class,
            size,
            big_endian,
        }
    }

    #[test]
    fn numbers_of_every_width_and_order() {
        let cases: [(Class, &[u8], f64); 10] = [
            (Class::Signed, &[0xff], -1.0),
            (Class::Unsigned, &[0xff], 255.0),
            (Class::Signed, &[0xfe, 0xff], -2.0),
            (Class::Unsigned, &[0x34, 0x12], 4660.0),
            (Class::Signed, &[0, 0, 0, 0x80], -2_147_483_648.0),
            (Class::Unsigned, &[1, 0, 0, 0, 1, 0, 0, 0], 4_294_967_297.0),
            (Class::Float, &[0x00, 0x3c], 1.0),
            (Class::Float, &[0x01, 0x80], -5.960_464_477_539_063e-8),
            (Class::Float, &[0, 0, 0x20, 0xc0], -2.5),
            (Class::Float, &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 1.5),
        ];
        for (class, bytes, expected) in cases {
            let little = number(class, bytes.len(), false);
            assert_eq!(little.float(bytes), expected, "{class:?} {bytes:?}");
            let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
            let big = number(class, bytes.len(), true);
            assert_eq!(big.float(&reversed), expected, "big {class:?} {bytes:?}");
        }
    }

    #[test]
    fn half_precision_extremes() {
        assert_eq!(half(0x7bff), 65504.0);
        assert_eq!(half(0x7c00), f64::INFINITY);
        assert!(half(0x7e00).is_nan());
        assert_eq!(half(0x0400), 2_f64.powi(-14));
    }

    #[test]
    fn integers_stay_exact_and_nan_is_null() {
        let large = 9_007_199_254_740_993_i64;
        let signed = number(Class::Signed, 8, false);
        assert_eq!(signed.value(&large.to_le_bytes()), Value::from(large));
        assert_eq!(signed.integer(&large.to_le_bytes()), large);
        let unsigned = number(Class::Unsigned, 8, false);
        assert_eq!(
            unsigned.value(&u64::MAX.to_le_bytes()),
            Value::from(u64::MAX)
        );
        let float = number(Class::Float, 8, false);
        assert_eq!(float.value(&f64::NAN.to_le_bytes()), Value::Null);
    }

    #[test]
    fn fixed_text_loses_its_padding() {
        assert_eq!(text(b"CD3D\0\0", false), "CD3D");
        assert_eq!(text(b"CD3D  ", true), "CD3D");
        assert_eq!(text(b"CD3D  ", false), "CD3D  ");
        assert_eq!(text(b"", false), "");
    }
}
