//! Structures of classic HDF5 files as bytes: object headers, groups, float arrays, text attributes. Numbers are those of the
//! HDF5 File Format Specification, version 1.0/2.0 structures (III.A–III.E, IV.A). Nothing here touches a file.

/// An address that points nowhere.
pub(super) const NOWHERE: u64 = u64::MAX;

/// Bytes of an entry in a symbol table node.
pub(super) const ENTRY: usize = 40;

/// Texts of the attributes, in one heap collection: 1 `array`, 2 its version, 3 `dict`, 4 its version.
const TEXTS: [&str; 4] = ["array", "0.2.0", "dict", "0.1.0"];

/// Bytes of a heap collection; the least that HDF5 allows.
const COLLECTION: usize = 4096;

/// A heap collection with the texts of the attributes.
pub(super) fn collection() -> Vec<u8> {
    let mut bytes = b"GCOL\x01\0\0\0".to_vec();
    put(&mut bytes, COLLECTION as u64);
    for (index, text) in (1_u16..).zip(TEXTS) {
        bytes.extend(index.to_le_bytes());
        bytes.extend([1, 0, 0, 0, 0, 0]);
        put(&mut bytes, text.len() as u64);
        bytes.extend(text.as_bytes());
        pad(&mut bytes);
    }
    // The rest is free space: object 0, whose size includes its own header.
    let free = COLLECTION - bytes.len();
    bytes.extend([0; 8]);
    put(&mut bytes, free as u64);
    bytes.resize(COLLECTION, 0);
    bytes
}

/// The header of a contiguous float32 dataset `[rows, width]` with its data at `data`; `texts` is the collection's address.
pub(super) fn dataset(rows: u64, width: u64, data: u64, texts: u64) -> Vec<u8> {
    let mut space = vec![1, 2, 0, 0, 0, 0, 0, 0];
    put(&mut space, rows);
    put(&mut space, width);
    // IEEE 754 binary32, little-endian: sign at bit 31, exponent of 8 bits at 23 with bias 127, mantissa of 23 at 0.
    let mut kind = vec![0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23];
    kind.extend(127_u32.to_le_bytes());
    // Allocated late, written if set, defined as zero.
    let fill = vec![2, 2, 2, 1, 0, 0, 0, 0];
    let mut layout = vec![3, 1];
    put(&mut layout, data);
    put(&mut layout, rows.saturating_mul(width).saturating_mul(4));
    header(vec![
        (0x01, space),
        (0x03, kind),
        (0x05, fill),
        (0x08, layout),
        (0x0c, attribute("encoding-type", texts, 1)),
        (0x0c, attribute("encoding-version", texts, 2)),
    ])
}

/// The header of a group whose names are in the B-tree and heap at these addresses.
pub(super) fn group(tree: u64, heap: u64, texts: u64) -> Vec<u8> {
    let mut table = vec![];
    put(&mut table, tree);
    put(&mut table, heap);
    header(vec![
        (0x11, table),
        (0x0c, attribute("encoding-type", texts, 3)),
        (0x0c, attribute("encoding-version", texts, 4)),
    ])
}

/// An attribute whose value is text of variable length (UTF-8): the `index`th object of the collection at `texts`.
fn attribute(name: &str, texts: u64, index: u32) -> Vec<u8> {
    let kind = [
        0x19, 1, 1, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0,
    ];
    let space = [1, 0, 0, 0, 0, 0, 0, 0];
    let length = TEXTS.get(index as usize - 1).map_or(0, |text| text.len());
    let mut bytes = vec![1, 0];
    for size in [name.len() + 1, kind.len(), space.len()] {
        bytes.extend(u16::try_from(size).unwrap_or(0).to_le_bytes());
    }
    bytes.extend(name.as_bytes());
    bytes.push(0);
    pad(&mut bytes);
    bytes.extend(kind);
    pad(&mut bytes);
    bytes.extend(space);
    bytes.extend(u32::try_from(length).unwrap_or(0).to_le_bytes());
    put(&mut bytes, texts);
    bytes.extend(index.to_le_bytes());
    bytes
}

/// An object header with messages of these types.
fn header(messages: Vec<(u16, Vec<u8>)>) -> Vec<u8> {
    let count = u16::try_from(messages.len()).unwrap_or(0);
    let mut body = vec![];
    for (kind, mut message) in messages {
        pad(&mut message);
        body.extend(kind.to_le_bytes());
        body.extend(u16::try_from(message.len()).unwrap_or(0).to_le_bytes());
        body.extend([0; 4]);
        body.extend(message);
    }
    let mut bytes = vec![1, 0];
    bytes.extend(count.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

/// A local heap header for `size` bytes at `data`, none of them free.
pub(super) fn heap(size: u64, data: u64) -> Vec<u8> {
    let mut bytes = b"HEAP\0\0\0\0".to_vec();
    put(&mut bytes, size);
    put(&mut bytes, 1);
    put(&mut bytes, data);
    bytes
}

/// A symbol table node with room for `room` entries.
pub(super) fn node(entries: &[[u8; ENTRY]], room: usize) -> Vec<u8> {
    let mut bytes = b"SNOD\x01\0".to_vec();
    bytes.extend(u16::try_from(entries.len()).unwrap_or(0).to_le_bytes());
    entries.iter().for_each(|entry| bytes.extend(entry));
    bytes.resize(8 + room * ENTRY, 0);
    bytes
}

/// A B-tree leaf with room for `room` children, each given with the heap offset of its last name.
pub(super) fn tree(children: &[(u64, u64)], room: usize) -> Vec<u8> {
    let mut bytes = b"TREE\0\0".to_vec();
    bytes.extend(u16::try_from(children.len()).unwrap_or(0).to_le_bytes());
    put(&mut bytes, NOWHERE);
    put(&mut bytes, NOWHERE);
    put(&mut bytes, 0);
    for (address, last) in children {
        put(&mut bytes, *address);
        put(&mut bytes, *last);
    }
    bytes.resize(24 + 8 + room * 16, 0);
    bytes
}

/// An entry of a symbol table node that names the object at `header`.
pub(super) fn entry(name: u64, header: u64) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    let fields = name.to_le_bytes().into_iter().chain(header.to_le_bytes());
    for (byte, value) in bytes.iter_mut().zip(fields) {
        *byte = value;
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend(value.to_le_bytes());
}

/// Fills up to a multiple of 8.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}
