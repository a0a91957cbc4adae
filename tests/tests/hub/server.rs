//! A Hub on this machine that serves small repositories in the shapes of the real one, and misbehaves as a test tells it
//! to. It speaks just enough HTTP/1.1, one answer to a connection, and counts the bytes that it sent.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The commit of everything that is served.
pub const COMMIT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// `Range: bytes=from-`
    pub from: Option<usize>,
    pub authorization: Option<String>,
    /// How many requests with this method and path came before.
    pub earlier: usize,
}

/// What is sent back.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection is dropped after so many bytes of the body.
    pub cut: Option<usize>,
    /// Wait after each 16 kB.
    pub slow: Option<Duration>,
}

impl Answer {
    /// A status and a text.
    pub fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    /// With one more header, in place of an earlier one of that name.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.into(), value.to_string()));
        self
    }
}

/// What a test makes of the answer that is right.
pub type Fault = dyn Fn(&Request, Answer) -> Answer + Send + Sync;

/// A running server.
pub struct Server {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    repos: BTreeMap<String, Files>,
    fault: Box<Fault>,
    requests: Mutex<Vec<(Request, usize)>>,
    stopped: AtomicBool,
}

impl Server {
    /// Serves the files of `repos` by `org/name`.
    pub fn new(
        repos: &[(&str, Files)],
        fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            url: url.clone(),
            repos: repos
                .iter()
                .map(|(id, files)| ((*id).to_owned(), files.clone()))
                .collect(),
            fault: Box::new(fault),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                if serving.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = serving.clone();
                // A client that hangs up early is no failure of the server.
                std::thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Self { url, shared }
    }

    /// All requests so far, each with the bytes of body that were sent.
    pub fn requests(&self) -> Vec<(Request, usize)> {
        self.shared.requests.lock().expect("no panic").clone()
    }

    /// Bytes of body sent for GET requests of paths that end so.
    pub fn sent(&self, ending: &str) -> usize {
        let of = |(request, _): &&(Request, usize)| {
            request.method == "GET" && request.path.ends_with(ending)
        };
        self.requests()
            .iter()
            .filter(of)
            .map(|(_, sent)| sent)
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // One last connection ends the wait for the next.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(mut request) = read(&stream)? else {
            return Ok(());
        };
        let index = {
            let mut requests = self.requests.lock().expect("no panic");
            let same = |(other, _): &&(Request, usize)| {
                other.method == request.method && other.path == request.path
            };
            request.earlier = requests.iter().filter(same).count();
            requests.push((request.clone(), 0));
            requests.len() - 1
        };
        let answer = (self.fault)(&request, self.answer(&request));
        write(&mut stream, &request, &answer, |sent| {
            self.requests.lock().expect("no panic")[index].1 += sent;
        })
    }

    fn answer(&self, request: &Request) -> Answer {
        for (id, files) in &self.repos {
            let api = format!("/api/models/{id}");
            if let Some(rest) = request.path.strip_prefix(&api) {
                return match rest.strip_prefix("/revision/") {
                    Some(revision) if ["main", "v1", COMMIT].contains(&revision) => {
                        described(id, files)
                    }
                    Some(_) => Answer::new(404, "{}").with("X-Error-Code", "RevisionNotFound"),
                    None => described(id, files),
                };
            }
            let resolve = format!("/{id}/resolve/");
            if let Some((revision, path)) = request
                .path
                .strip_prefix(&resolve)
                .and_then(|rest| rest.split_once('/'))
            {
                return match files.get(path) {
                    Some(bytes) if ["main", COMMIT].contains(&revision) => {
                        self.file(path, bytes, request.from)
                    }
                    _ => Answer::new(404, "").with("X-Error-Code", "EntryNotFound"),
                };
            }
            let stored = files
                .values()
                .find(|bytes| request.path == format!("/cdn/{}", sha256(bytes)));
            if let Some(bytes) = stored {
                return ranged(bytes, request.from).with("ETag", "\"of-the-store\"");
            }
        }
        Answer::new(404, "{}").with("X-Error-Code", "RepoNotFound")
    }

    fn file(&self, path: &str, bytes: &[u8], from: Option<usize>) -> Answer {
        let answer = match is_large(path) {
            false => ranged(bytes, from).with("ETag", format!("\"{}\"", git(bytes))),
            true => Answer::new(302, "Found")
                // Another host, as with the real Hub: whoever wants to know what the file is has been told already.
                .with(
                    "Location",
                    format!(
                        "{}/cdn/{}",
                        self.url.replace("127.0.0.1", "localhost"),
                        sha256(bytes)
                    ),
                )
                .with("X-Linked-Size", bytes.len())
                .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
                .with("ETag", format!("\"{}\"", git("a pointer".as_bytes()))),
        };
        answer.with("X-Repo-Commit", COMMIT)
    }
}

/// A file is small or lies in the store for large ones.
fn is_large(path: &str) -> bool {
    path.ends_with(".safetensors") || path.ends_with(".bin")
}

fn described(id: &str, files: &Files) -> Answer {
    let siblings = files.iter().map(|(path, bytes)| match is_large(path) {
        true => json!({
            "rfilename": path, "size": bytes.len(), "blobId": git("a pointer".as_bytes()),
            "lfs": { "sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134 },
        }),
        false => json!({ "rfilename": path, "size": bytes.len(), "blobId": git(bytes) }),
    });
    let body = json!({ "id": id, "sha": COMMIT, "gated": false, "siblings": siblings.collect::<Vec<Value>>() });
    Answer::new(200, &body.to_string()).with("Content-Type", "application/json; charset=utf-8")
}

fn ranged(bytes: &[u8], from: Option<usize>) -> Answer {
    let length = bytes.len();
    match from {
        None => Answer {
            status: 200,
            body: bytes.into(),
            ..Answer::default()
        },
        Some(from) if from < length => Answer {
            status: 206,
            body: bytes[from..].into(),
            ..Answer::default()
        }
        .with(
            "Content-Range",
            format!("bytes {from}-{}/{length}", length - 1),
        ),
        Some(_) => Answer::new(416, "").with("Content-Range", format!("bytes */{length}")),
    }
}

fn read(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(None);
    };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut request = Request {
        method,
        path: target.split('?').next().unwrap_or_default().to_owned(),
        from: None,
        authorization: None,
        earlier: 0,
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            return Ok(Some(request));
        };
        match name.to_lowercase().as_str() {
            "range" => {
                request.from = value
                    .strip_prefix("bytes=")
                    .and_then(|range| range.split('-').next()?.parse().ok())
            }
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(None)
}

fn write(
    stream: &mut TcpStream,
    request: &Request,
    answer: &Answer,
    mut sent: impl FnMut(usize),
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    if !answer
        .headers
        .iter()
        .any(|(name, _)| name == "Content-Length")
    {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let body = &answer.body[..answer.cut.unwrap_or(usize::MAX).min(answer.body.len())];
    for piece in body.chunks(16 * 1024) {
        stream.write_all(piece)?;
        sent(piece.len());
        if let Some(wait) = answer.slow {
            std::thread::sleep(wait);
        }
    }
    stream.flush()
}

/// Every file directly in a folder, but those of the golden tests.
pub fn files_of(folder: &Path) -> Files {
    let entries = std::fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| {
        path.file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    entries
        .filter(|path| path.is_file() && !name(path).starts_with("golden"))
        .map(|path| (name(&path), std::fs::read(&path).expect("a readable file")))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// git's name of a file.
pub fn git(bytes: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex(&hasher.finalize())
}
