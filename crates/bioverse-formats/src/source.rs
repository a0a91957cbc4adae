//! Bytes of a file, decompressed when its content says that it is compressed (gzip, bgzip, zstd), whatever its name.
//! What the bytes mean is unknown here.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use crate::{Error, Result};

/// Bytes that are read ahead, and so the most that [`peek`] shows.
pub(crate) const AHEAD: usize = 1 << 16;

/// First bytes of compressed files and archives that are not read, with what to do about each.
const ELSEWHERE: [(&[u8], &str); 7] = [
    (
        b"BZh",
        "is compressed with bzip2; unpack it first (`bunzip2 --keep`), or pack it with gzip or zstd",
    ),
    (
        b"\xfd7zXZ\0",
        "is compressed with xz; unpack it first (`unxz --keep`), or pack it with gzip or zstd",
    ),
    (
        b"PK\x03\x04",
        "is a zip archive; unpack it (`unzip`) and give the file inside",
    ),
    (
        b"PK\x05\x06",
        "is an empty zip archive; give the file that should have been inside",
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        "is a 7z archive; unpack it and give the file inside",
    ),
    (
        b"Rar!\x1a\x07",
        "is a RAR archive; unpack it and give the file inside",
    ),
    (
        b"\x04\x22\x4d\x18",
        "is compressed with lz4; unpack it first (`unlz4 --keep`), or pack it with gzip or zstd",
    ),
];

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

/// Opens a file for reading; compressed content is decompressed on the way. Gzip may have several members, as bgzip writes
/// them; zstd may have several frames.
///
/// # Errors
/// No such file; a folder; an archive, or content compressed in a way that is not read.
///
/// # Example
/// ```
/// # use std::io::Read;
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("proteins.fasta");
/// # std::fs::write(&path, ">P1\nMKT\n")?;
/// let mut text = String::new();
/// bioverse_formats::source::open(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, ">P1\nMKT\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    if path.is_dir() {
        return Err(Error::file(
            path,
            "is a folder; give the file in it that holds the rows",
        ));
    }
    let about = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !about.is_file() {
        // The format is told by a first look, after which a pipe has lost what was looked at.
        return Err(Error::file(
            path,
            "is a pipe or a device, which can be read only once; write its content to a file first",
        ));
    }
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut file = BufReader::with_capacity(AHEAD, file);
    let head = file.fill_buf().map_err(|error| Error::io(path, error))?;
    refuse(path, head)?;
    let packing = packing(head);
    let unpacked: Box<dyn Read + Send> = match packing {
        Packing::None => return Ok(Box::new(file)),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Packing::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(file);
            Box::new(decoder.map_err(|error| broken(path, &error))?)
        }
    };
    let mut unpacked = Ahead::new(unpacked);
    let head = unpacked.fill_buf().map_err(|error| broken(path, &error))?;
    refuse(path, head)?;
    match self::packing(head) {
        Packing::None => Ok(Box::new(unpacked)),
        _ => Err(Error::file(
            path,
            "is compressed twice; unpack it once (`gunzip`, `unzstd`)",
        )),
    }
}

/// Whether the file itself is compressed; formats that are read from places all over the file must not be.
pub(crate) fn is_packed(path: &Path) -> Result<bool> {
    let mut head = vec![];
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    file.take(4)
        .read_to_end(&mut head)
        .map_err(|error| Error::io(path, error))?;
    Ok(packing(&head) != Packing::None)
}

/// The first bytes of what [`open`] gives, up to [`AHEAD`].
pub(crate) fn peek(path: &Path) -> Result<Vec<u8>> {
    let mut head = vec![];
    let read = open(path)?.take(AHEAD as u64).read_to_end(&mut head);
    match read {
        // What could be unpacked is enough to tell a format by; the reader will say where it breaks off.
        Err(error) if head.is_empty() => Err(broken(path, &error)),
        _ => Ok(head),
    }
}

/// An error of reading content. Content that breaks off is the user's to mend, whatever kind of error it is to the reader.
pub(crate) fn broken(path: &Path, error: &io::Error) -> Error {
    Error::file(
        path,
        format!(
            "cannot be read to its end ({error}); it may be cut short, so fetch or write it again"
        ),
    )
}

fn packing(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        // A frame to be skipped; tools that pack in parallel begin with one.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
        _ => Packing::None,
    }
}

/// First names in zip archives that are files of other programs.
const ZIPPED: [(&[u8], &str); 4] = [
    (
        b"data.pkl",
        "holds weights of PyTorch; give it where a model is asked for",
    ),
    (
        b"[Content_Types].xml",
        "is an Excel workbook; save the sheet as CSV",
    ),
    (
        b".npy",
        "is an npz archive; save the one array that is needed as npy",
    ),
    (b".zgroup", "is a zarr store; write it as h5ad"),
];

fn refuse(path: &Path, head: &[u8]) -> Result<()> {
    let zipped = head.get(..256).unwrap_or(head);
    let holds = |name: &[u8]| zipped.windows(name.len()).any(|part| part == name);
    let known = ZIPPED
        .iter()
        .find(|(name, _)| head.starts_with(b"PK\x03\x04") && holds(name));
    if let Some((_, problem)) = known {
        return Err(Error::file(path, *problem));
    }
    let known = ELSEWHERE.iter().find(|(magic, _)| head.starts_with(magic));
    if let Some((_, problem)) = known {
        return Err(Error::file(path, *problem));
    }
    if head.get(257..262) == Some(b"ustar") {
        let problem = "is a tar archive; unpack it (`tar xf`) and give the file or folder inside";
        return Err(Error::file(path, problem));
    }
    Ok(())
}

/// A buffered reader that fills its buffer whole, so that its first bytes tell what follows. (A decoder may give a few bytes
/// at a time, and an empty member gives none although more follow.)
struct Ahead {
    inner: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    failed: Option<io::Error>,
}

impl Ahead {
    fn new(inner: Box<dyn Read + Send>) -> Self {
        Self {
            inner,
            buffer: Vec::with_capacity(AHEAD),
            start: 0,
            failed: None,
        }
    }
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let read = (&mut self.inner)
                .take(AHEAD as u64)
                .read_to_end(&mut self.buffer);
            match read {
                // What came before the break is given first.
                Err(error) if !self.buffer.is_empty() => self.failed = Some(error),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(self.buffer.get(self.start..).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.buffer.len());
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let n = available.read(into)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(text, 1).unwrap()
    }

    fn read(content: &[u8]) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("named.bz2");
        std::fs::write(&path, content).unwrap();
        let mut text = String::new();
        let mut source = open(&path)?;
        source
            .read_to_string(&mut text)
            .map_err(|error| broken(&path, &error))?;
        Ok(text)
    }

    #[test]
    fn content_decides_how_it_is_unpacked() {
        let long = "some text\n".repeat(50_000);
        for text in ["", "x", ">P1\nMKT\n", long.as_str()] {
            assert_eq!(read(text.as_bytes()).unwrap(), text);
            assert_eq!(read(&gzip(text.as_bytes())).unwrap(), text);
            assert_eq!(read(&zstd(text.as_bytes())).unwrap(), text);
        }
    }

    #[test]
    fn members_and_frames_follow_one_another() {
        // bgzip ends with an empty member, and may begin with one.
        let members = [gzip(b""), gzip(b"a\n"), gzip(b"b\n"), gzip(b"")].concat();
        assert_eq!(read(&members).unwrap(), "a\nb\n");
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let frames = [skipped, zstd(b"a\n"), zstd(b""), zstd(b"b\n")].concat();
        assert_eq!(read(&frames).unwrap(), "a\nb\n");
    }

    #[test]
    fn what_is_not_read_says_what_to_do() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let long = zstd(&b"0123456789 ".repeat(9000));
        let whole: Vec<u8> = (0..90_000u32)
            .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let gz = gzip(&whole);
        for (content, expected) in [
            (b"BZh91AY".to_vec(), "bunzip2"),
            (b"\xfd7zXZ\0\0".to_vec(), "unxz"),
            (b"PK\x03\x04....".to_vec(), "unzip"),
            (b"\x04\x22\x4d\x18....".to_vec(), "lz4"),
            (
                b"PK\x03\x04....archive/data.pkl".to_vec(),
                "weights of PyTorch",
            ),
            (
                b"PK\x03\x04....[Content_Types].xml".to_vec(),
                "save the sheet as CSV",
            ),
            (tar.clone(), "tar xf"),
            (gzip(&tar), "tar xf"),
            (gzip(b"PK\x03\x04"), "unzip"),
            (gzip(&gzip(b"x")), "compressed twice"),
            (gz[..gz.len() / 2].to_vec(), "cannot be read to its end"),
            (gz[..5].to_vec(), "cannot be read to its end"),
            (long[..long.len() - 3].to_vec(), "cannot be read to its end"),
        ] {
            let error = read(&content).unwrap_err().to_string();
            assert!(
                error.contains(expected),
                "{error}\nshould contain: {expected}"
            );
            assert!(error.contains("named.bz2: "), "{error}");
        }
        #[cfg(unix)]
        {
            let error = open(Path::new("/dev/null")).map(drop).unwrap_err();
            assert!(error.to_string().contains("only once"), "{error}");
        }
        let error = read(b"x")
            .and_then(|_| open(Path::new("nowhere")).map(drop))
            .unwrap_err();
        assert!(matches!(error, Error::Io { .. }));
    }
}
