//! Names of models on the Hub: `org/name`, `org/name@revision`. Whether there is such a model is not known here.

use std::{fmt, path::Path};

use hf_hub::{Repo, RepoType};

/// The branch that a name without a revision means.
const DEFAULT_REVISION: &str = "main";

/// The longest `org/name`.
const LONGEST: usize = 96;

/// A repository of models, and which state of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoName {
    id: String,
    revision: Option<String>,
}

impl RepoName {
    /// `org/name` or `org/name@revision`, if `given` is one. A revision is a branch, a tag, `refs/pr/3` or a commit.
    ///
    /// ```
    /// use bioverse::hub::RepoName;
    /// let name = RepoName::parse("facebook/esm2_t6_8M_UR50D@main").unwrap();
    /// assert_eq!((name.id(), name.revision()), ("facebook/esm2_t6_8M_UR50D", "main"));
    /// assert!(RepoName::parse("models/pocket/lm").is_none());
    /// ```
    pub fn parse(given: &str) -> Option<Self> {
        let (id, revision) = match given.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (given, None),
        };
        let (org, name) = id.split_once('/')?;
        let fine = is_part(org) && is_part(name) && id.len() <= LONGEST && !id.ends_with(".git");
        (fine && revision.is_none_or(is_revision)).then(|| Self {
            id: id.into(),
            revision: revision.map(str::to_owned),
        })
    }

    /// The name in a path, if it is one.
    pub fn of(given: &Path) -> Option<Self> {
        Self::parse(given.to_str()?)
    }

    /// `org/name`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What was asked for, else `main`.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// Whether the revision is a commit, which never changes.
    pub fn is_pinned(&self) -> bool {
        is_commit(self.revision())
    }

    /// The same repository at one commit.
    pub fn at(&self, commit: &str) -> Self {
        Self {
            id: self.id.clone(),
            revision: Some(commit.into()),
        }
    }

    /// The line that fetches it with Python's tool.
    pub fn python_command(&self) -> String {
        match &self.revision {
            None => format!("huggingface-cli download {}", self.id),
            Some(revision) => format!("huggingface-cli download {} --revision {revision}", self.id),
        }
    }

    /// For the crate that knows folders and addresses.
    pub(super) fn repo(&self) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, self.revision().into())
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            None => f.write_str(&self.id),
            Some(revision) => write!(f, "{}@{revision}", self.id),
        }
    }
}

/// Forty hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 40 && text.bytes().all(hex)
}

/// The rule of the Hub for one side of the slash.
fn is_part(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let ends = [part.bytes().next(), part.bytes().last()];
    part.bytes().all(|byte| word(byte) || b"-.".contains(&byte))
        && ends.iter().all(|end| end.is_some_and(word))
        && !part.contains("--")
        && !part.contains("..")
}

/// A revision becomes a file below `refs` and a piece of an address: nothing that could leave either.
fn is_revision(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    let part = |part: &str| !part.is_empty() && part != "." && !part.contains("..");
    text.len() <= 200
        && text.split('/').all(part)
        && text.bytes().all(|byte| plain(byte) || byte == b'/')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_are_told_from_paths() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (given, id, revision) in [
            (
                "facebook/esm2_t6_8M_UR50D",
                "facebook/esm2_t6_8M_UR50D",
                "main",
            ),
            ("a/b@v1.0", "a/b", "v1.0"),
            ("a/b@refs/pr/3", "a/b", "refs/pr/3"),
            ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", "main"),
            (&format!("a/b@{commit}"), "a/b", commit),
        ] {
            let name = RepoName::parse(given).expect(given);
            assert_eq!((name.id(), name.revision()), (id, revision));
            assert_eq!(name.to_string(), given);
            assert_eq!(name.is_pinned(), revision == commit);
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        let long = format!("a/{}", "b".repeat(96));
        for given in [
            "",
            "lm",
            "/",
            "a/",
            "/a",
            "./a",
            "../a",
            "a/..",
            "a/b/c",
            "/abs/path",
            "~/x",
            "a b/c",
            "a/b@",
            "a/b@../x",
            "a/b@x/../../y",
            "a/b@/x",
            "a/b@x y",
            "a/b@x?y",
            "a/b@x\\y",
            "a/b--c",
            "a/b.git",
            "-a/b",
            "a/.b",
            "https://huggingface.co/a/b",
            "a\\b",
            "ä/b",
            &long,
        ] {
            assert_eq!(RepoName::parse(given), None, "{given}");
        }
    }

    #[test]
    fn the_line_for_python_names_the_revision_if_there_is_one() {
        let line = |given: &str| RepoName::parse(given).unwrap().python_command();
        assert_eq!(line("a/b"), "huggingface-cli download a/b");
        assert_eq!(line("a/b@v1"), "huggingface-cli download a/b --revision v1");
    }
}
