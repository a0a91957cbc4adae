//! What the Hub says about a repository: the commit a revision stands for, and its files with their sizes and hashes. An
//! answer is not trusted: names that would leave the cache are refused. Nothing is written here.

use serde::Deserialize;

use super::{
    config::HubConfig,
    http::{Http, Method, Reply},
    name::{RepoName, is_commit},
    trouble::{Status, Trouble},
};

/// The longest description of a repository that is read.
const LONGEST_ANSWER: u64 = 64 << 20;

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Relative to the repository's root, checked.
    pub path: String,
    /// In bytes, where it was said.
    pub size: Option<u64>,
    /// The name of its blob, where it was said.
    pub etag: Option<String>,
}

/// A repository at one commit.
#[derive(Debug)]
pub(super) struct RemoteRepo {
    /// Forty hexadecimal digits.
    pub commit: String,
    /// All its files.
    pub files: Vec<RemoteFile>,
}

#[derive(Deserialize)]
struct Answer {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl RemoteFile {
    /// A file of which only the name is known.
    #[cfg(test)]
    pub fn named(path: &str) -> Self {
        Self {
            path: path.into(),
            size: None,
            etag: None,
        }
    }
}

/// The Hub, asked about one repository.
pub(super) struct Api<'a> {
    pub http: &'a Http,
    pub config: &'a HubConfig,
    pub name: &'a RepoName,
}

impl Api<'_> {
    /// The commit that the revision stands for and the files of it.
    pub fn repo(&self) -> Result<RemoteRepo, Trouble> {
        let url = format!(
            "{}/api/{}",
            self.config.endpoint,
            self.name.repo().api_url()
        );
        let with_sizes = format!("{url}?blobs=true");
        let ask = |url: &str| self.patiently(|| read(self.http.ask(Method::Get, url, 0)?));
        let bytes = match ask(&with_sizes) {
            // Some mirrors know no such query; files are asked about one by one then.
            Err(Trouble::Status(Status {
                code: 400 | 404,
                kind,
                ..
            })) if kind.is_empty() => ask(&url)?,
            other => other?,
        };
        parse(&bytes)
    }

    /// Whether the Hub has the repository at any revision.
    pub fn exists(&self) -> bool {
        let url = format!("{}/api/models/{}", self.config.endpoint, self.name.id());
        self.http.ask(Method::Get, &url, 0).is_ok()
    }

    /// A file at a commit, from the byte `from` on.
    pub fn file(
        &self,
        method: Method,
        commit: &str,
        path: &str,
        from: u64,
    ) -> Result<Reply, Trouble> {
        let (endpoint, id, path) = (&self.config.endpoint, self.name.id(), escaped(path));
        let at = |revision: &str| {
            let url = format!("{endpoint}/{id}/resolve/{revision}/{path}");
            self.http.ask(method, &url, from)
        };
        let reply = match at(commit) {
            // Some mirrors know branches only.
            Err(Trouble::Status(Status { code: 404, .. })) if self.name.revision() != commit => {
                at(&self.name.revision().replace('/', "%2F"))
            }
            other => other,
        }?;
        match reply.header("x-repo-commit") {
            Some(other) if other != commit => Err(Trouble::Nonsense(format!(
                "it was asked for commit {commit} and answered with {other}"
            ))),
            _ => Ok(reply),
        }
    }

    /// A file with size and hash, which the server is asked for where the repository's description left them out.
    pub fn described(&self, commit: &str, file: RemoteFile) -> Result<RemoteFile, Trouble> {
        if file.etag.is_some() && file.size.is_some() {
            return Ok(file);
        }
        let ask = |method| self.patiently(|| self.file(method, commit, &file.path, 0));
        let reply = match ask(Method::Head) {
            // Not every mirror answers without a body.
            Err(Trouble::Status(Status {
                code: 404 | 405 | 501,
                ..
            })) => ask(Method::Get)?,
            other => other?,
        };
        if reply.is_page() {
            return Err(Trouble::Page);
        }
        let own = (200..300)
            .contains(&reply.status)
            .then(|| reply.header("content-length"));
        let size = reply.header("x-linked-size").or(own.flatten());
        let etag = reply
            .header("x-linked-etag")
            .or_else(|| reply.header("etag"));
        Ok(RemoteFile {
            size: file.size.or_else(|| size?.trim().parse().ok()),
            etag: match file.etag {
                Some(etag) => Some(etag),
                None => etag.map(blob_name).transpose()?,
            },
            path: file.path,
        })
    }

    /// Repeats what another attempt may help.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut failures = 0;
        loop {
            match ask() {
                Err(trouble) => match trouble.wait(failures, self.config) {
                    Some(wait) if failures + 1 < self.config.attempts => {
                        tracing::debug!("{}: {trouble:?}, asking again in {wait:?}", self.name);
                        std::thread::sleep(wait);
                        failures += 1;
                    }
                    _ => return Err(trouble),
                },
                reply => return reply,
            }
        }
    }
}

/// The whole of an answer that is data.
fn read(mut reply: Reply) -> Result<Vec<u8>, Trouble> {
    if reply.is_page() {
        return Err(Trouble::Page);
    }
    let read = reply.body.with_config().limit(LONGEST_ANSWER).read_to_vec();
    let bytes = read.map_err(|error| Trouble::of(error, "the Hub", None))?;
    match bytes.trim_ascii_start().starts_with(b"<") {
        true => Err(Trouble::Page),
        false => Ok(bytes),
    }
}

fn parse(bytes: &[u8]) -> Result<RemoteRepo, Trouble> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| {
        Trouble::Nonsense(format!(
            "its description of the repository does not parse ({error})"
        ))
    })?;
    let commit = answer.sha.unwrap_or_default();
    if !is_commit(&commit) {
        return Err(Trouble::Nonsense(format!(
            "it gives `{commit}` for a commit"
        )));
    }
    let files = answer.siblings.into_iter().map(checked);
    Ok(RemoteRepo {
        commit,
        files: files.collect::<Result<_, _>>()?,
    })
}

fn checked(sibling: Sibling) -> Result<RemoteFile, Trouble> {
    let Sibling {
        rfilename,
        size,
        blob_id,
        lfs,
    } = sibling;
    if !stays_inside(&rfilename) {
        return Err(Trouble::Nonsense(format!(
            "it names a file {rfilename:?}, which would be written outside of its folder"
        )));
    }
    // A large file is named by its bytes, not by the pointer that git keeps in its place.
    let (etag, size) = match lfs {
        Some(lfs) => (lfs.sha256, lfs.size.or(size)),
        None => (blob_id, size),
    };
    Ok(RemoteFile {
        path: rfilename,
        size,
        etag: etag.as_deref().map(blob_name).transpose()?,
    })
}

/// Whether a name stays below the folder it is joined to, on any system.
fn stays_inside(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let plain = |c: char| !c.is_control() && c != '\\' && c != ':';
    path.len() < 1024 && path.chars().all(plain) && path.split('/').all(part)
}

/// An etag as Python's tools make a file name of it.
fn blob_name(etag: &str) -> Result<String, Trouble> {
    let etag = etag.trim();
    let name = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match !name.is_empty() && name.len() <= 128 && name.bytes().all(plain) {
        true => Ok(name.into()),
        false => Err(Trouble::Nonsense(format!("it gives the hash {etag:?}"))),
    }
}

/// A path in an address.
fn escaped(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_told() {
        for fine in [
            "config.json",
            "1_Pooling/config.json",
            "a b.txt",
            "..x/y",
            ".gitattributes",
        ] {
            assert!(stays_inside(fine), "{fine}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            ".",
            "a/./b",
            "..\\x",
            "C:\\x",
            "C:x",
            "a\0b",
        ] {
            assert!(!stays_inside(bad), "{bad:?}");
        }
    }

    #[test]
    fn etags_become_file_names_or_nothing() {
        for (etag, name) in [("\"abc\"", "abc"), ("W/\"a1-b\"", "a1-b"), (" abc ", "abc")] {
            assert_eq!(blob_name(etag).unwrap(), name);
        }
        for bad in ["", "\"\"", "../x", "a/b", "a.lock", "a b"] {
            assert!(blob_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_hold_any_name() {
        assert_eq!(escaped("a b/ü#?.json"), "a%20b/%C3%BC%23%3F.json");
    }

    #[test]
    fn the_hash_of_a_large_file_is_that_of_its_bytes() {
        let sibling = |json: &str| checked(serde_json::from_str(json).unwrap()).unwrap();
        let small = sibling(r#"{"rfilename": "config.json", "size": 3, "blobId": "b1"}"#);
        assert_eq!((small.size, small.etag.as_deref()), (Some(3), Some("b1")));
        let large = sibling(
            r#"{"rfilename": "m.safetensors", "size": 9, "blobId": "b2", "lfs": {"sha256": "s", "size": 9, "pointerSize": 1}}"#,
        );
        assert_eq!((large.size, large.etag.as_deref()), (Some(9), Some("s")));
        let bare = sibling(r#"{"rfilename": "config.json"}"#);
        assert_eq!((bare.size, bare.etag), (None, None));
    }
}
