//! What a shelf is of, and the key of a row on it. What the parts mean is for callers to say.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The key of a row: the first half of a sha256.
pub type Key = [u8; 16];

/// The key of something that is given by `parts`. Each part goes in with its length, so that no two lists are alike.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

/// What the rows of a shelf come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// `records` or `texts`.
    pub kind: String,
    /// What people know it by: a modality, `texts`.
    pub name: String,
    /// The model, as it was named when the shelf was made. Two names of the same files share a shelf.
    pub model: String,
    /// Everything that decides what a row holds.
    pub identity: BTreeMap<String, String>,
}

impl About {
    /// `<name>-<12 digits of the hash of kind and identity>`.
    pub fn shelf_name(&self) -> String {
        let identity = self.identity.iter().flat_map(|(name, value)| [name, value]);
        let parts = std::iter::once(&self.kind).chain(identity);
        let key = key(parts.map(|part| part.as_bytes()));
        let hex = key[..6].iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        format!("{}-{hex}", self.name)
    }
}
