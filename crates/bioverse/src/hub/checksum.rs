//! What the name of a blob promises about its bytes. The Hub names large files by their sha256 and small ones as git does.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The hash that a blob's name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checksum {
    /// sha256 of the bytes.
    Sha256(String),
    /// sha1 of `blob <length>\0` and the bytes, git's name of a file.
    Git(String),
}

impl Checksum {
    /// Read off an etag; `None` if it is no hash, as behind some mirrors.
    pub fn of_etag(etag: &str) -> Option<Self> {
        let hex = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match etag.len() {
            64 if hex => Some(Self::Sha256(etag.to_lowercase())),
            40 if hex => Some(Self::Git(etag.to_lowercase())),
            _ => None,
        }
    }

    /// What the file has and should not have; `None` if it is what was promised.
    pub fn difference(&self, file: &Path) -> io::Result<Option<String>> {
        let (kind, expected, found) = match self {
            Self::Sha256(hash) => ("sha256", hash, digest(file, Sha256::new())?),
            Self::Git(hash) => {
                let mut hasher = Sha1::new();
                hasher.update(format!("blob {}\0", file.metadata()?.len()));
                ("git hash", hash, digest(file, hasher)?)
            }
        };
        Ok((found != *expected).then(|| format!("{kind} {found} instead of {expected}")))
    }
}

/// Lower-case hex digest of a file after what `hasher` was already fed, streamed.
fn digest<D: Digest>(file: &Path, mut hasher: D) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn hashes_of_standard_examples() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        std::fs::write(&file, "abc").unwrap();
        let sha256 = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        let right = Checksum::of_etag(sha256).unwrap();
        assert_eq!(right.difference(&file).unwrap(), None);
        // `git hash-object` of the word hello and a line feed.
        std::fs::write(&file, "hello\n").unwrap();
        let git = Checksum::of_etag("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        assert_eq!(git.difference(&file).unwrap(), None);
        let text = right.difference(&file).unwrap().unwrap();
        assert!(
            text.starts_with("sha256 5891b5b5") && text.contains("ba7816bf"),
            "{text}"
        );
        std::fs::write(&file, "hello").unwrap();
        assert!(git.difference(&file).unwrap().is_some());
    }

    #[test]
    fn other_etags_promise_nothing() {
        for etag in [
            "",
            "abc",
            "5d41402abc4b2a76b9719d911017c592",
            &"g".repeat(40),
        ] {
            assert_eq!(Checksum::of_etag(etag), None, "{etag}");
        }
    }
}
