//! Requests: redirects, time limits, proxies, the token. What is asked for, and what an answer means, is not known here.

use std::{net::IpAddr, path::Path, time::Duration};

use ureq::{
    Agent, Body, Proxy,
    http::{HeaderMap, Request, Uri, header},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{
    config::HubConfig,
    trouble::{Status, Trouble},
};
use crate::error::{Error, Result};

/// Redirects followed before giving up.
const REDIRECTS: usize = 10;

/// For a name to be resolved and a connection to be made.
pub(super) const CONNECT: Duration = Duration::from_secs(15);

/// What the Hub says about a file in its own answer, before it redirects to the bytes.
const FILE_HEADERS: [&str; 4] = ["x-repo-commit", "x-linked-etag", "x-linked-size", "etag"];

/// How a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Headers and body.
    Get,
    /// Headers of the first answer that is not redirected within the same site.
    Head,
}

/// An answer with status 2xx, or 3xx of one that was not to be followed.
pub(super) struct Reply {
    /// Its status.
    pub status: u16,
    /// Headers of the last answer, laid over those of the redirects that led to it: the Hub names a file's hash where it
    /// redirects, not where the bytes are.
    pub headers: HeaderMap,
    /// Bytes, unread.
    pub body: Body,
}

impl Reply {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// Whether it is a web page, as those make that stand between a machine and the Hub.
    pub fn is_page(&self) -> bool {
        self.header("content-type")
            .is_some_and(|kind| kind.trim_start().to_lowercase().starts_with("text/html"))
    }
}

/// Speaks HTTP for one endpoint.
pub(super) struct Http {
    agent: Agent,
    token: Option<String>,
    /// Scheme, host and port that the token is for.
    home: Option<String>,
    proxy: Option<String>,
}

impl Http {
    /// Proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`, …).
    pub fn new(config: &HubConfig) -> Result<Self> {
        let mut tls = TlsConfig::builder();
        if let Some(file) = &config.certificates {
            tls = tls.root_certs(authorities(file)?);
        }
        // This machine is reached without help.
        let proxy = Proxy::try_from_env().filter(|_| !is_loopback(&config.endpoint));
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls.build())
            .user_agent(concat!("bioverse/", env!("CARGO_PKG_VERSION")))
            // A compressed body has another length and no ranges.
            .accept_encoding("identity")
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(config.stall))
            .timeout_per_read(Some(config.stall))
            .proxy(proxy.clone())
            .build()
            .into();
        Ok(Self {
            proxy: proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())),
            token: config.token.clone(),
            home: origin(&config.endpoint),
            agent,
        })
    }

    /// One attempt, redirects followed. `from` asks for the bytes from there on.
    pub fn ask(&self, method: Method, url: &str, from: u64) -> Result<Reply, Trouble> {
        let mut url = url.to_owned();
        let mut headers = HeaderMap::new();
        for _ in 0..REDIRECTS {
            let answer = self.once(method, &url, from)?;
            let status = answer.status().as_u16();
            let (parts, body) = answer.into_parts();
            let location = text(&parts.headers, "location").map(str::to_owned);
            let next = match (status, location) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => Some(resolved(&url, &location)?),
                _ => None,
            };
            headers = lay(&headers, parts.headers);
            match next {
                // The hash stands in the Hub's own answer; where it points to is asked for bytes only.
                Some(next) if method == Method::Get => url = next,
                Some(next) if origin(&next) == origin(&url) && !describes_a_file(&headers) => {
                    url = next
                }
                Some(_) => {
                    return Ok(Reply {
                        status,
                        headers,
                        body,
                    });
                }
                None if (200..300).contains(&status) => {
                    return Ok(Reply {
                        status,
                        headers,
                        body,
                    });
                }
                None => return Err(Trouble::Status(Status::of(status, &headers))),
            }
        }
        Err(Trouble::Nonsense(format!(
            "it redirects more than {REDIRECTS} times"
        )))
    }

    fn once(
        &self,
        method: Method,
        url: &str,
        from: u64,
    ) -> Result<ureq::http::Response<Body>, Trouble> {
        let mut request = match method {
            Method::Get => Request::get(url),
            Method::Head => Request::head(url),
        };
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| origin(url) == self.home) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(()).map_err(|error| match self.token {
            // The only header of ours that people write.
            Some(_) => Trouble::Nonsense(format!(
                "the request cannot be written ({error}); check HF_TOKEN and HF_ENDPOINT"
            )),
            None => Trouble::Nonsense(format!(
                "the request cannot be written ({error}); check HF_ENDPOINT"
            )),
        })?;
        self.agent
            .run(request)
            .map_err(|error| Trouble::of(error, url, self.proxy.as_deref()))
    }
}

/// The certificates of a PEM file.
fn authorities(file: &Path) -> Result<RootCerts> {
    let bytes = std::fs::read(file).map_err(|error| Error::io(file, error))?;
    let certificates: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(Error::Input(format!(
            "{} holds no certificate; REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE name PEM files, unset them to trust \
             the usual authorities",
            file.display()
        ))),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}

/// The headers of an answer, with what an earlier one said about the file: where the bytes lie, the etag is that of
/// another server.
fn lay(earlier: &HeaderMap, mut later: HeaderMap) -> HeaderMap {
    for name in FILE_HEADERS {
        if let Some(value) = earlier.get(name) {
            later.insert(name, value.clone());
        }
    }
    later
}

/// Whether the Hub has said what a file is, wherever its bytes are.
fn describes_a_file(headers: &HeaderMap) -> bool {
    let has = |name: &str| headers.contains_key(name);
    has("x-linked-etag") || (has("etag") && has("x-repo-commit"))
}

/// A header as text, if it is any.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_lowercase();
    let default = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(default);
    Some(format!("{scheme}://{}:{port}", uri.host()?.to_lowercase()))
}

/// Whether an address is on this machine.
fn is_loopback(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Where `location` leads from `url`.
fn resolved(url: &str, location: &str) -> Result<String, Trouble> {
    let nonsense =
        || Trouble::Nonsense(format!("it redirects to `{location}`, which is no address"));
    if location.starts_with("http://") || location.starts_with("https://") {
        // Whoever begins in secret does not go on in the open.
        return match url.starts_with("https://") && location.starts_with("http://") {
            true => Err(Trouble::Insecure(format!(
                "it redirects to `{location}`, which is not encrypted"
            ))),
            false => Ok(location.to_owned()),
        };
    }
    let uri: Uri = url.parse().map_err(|_| nonsense())?;
    let (scheme, authority) = (uri.scheme_str(), uri.authority());
    let (Some(scheme), Some(authority)) = (scheme, authority) else {
        return Err(nonsense());
    };
    match location.strip_prefix("//") {
        Some(rest) => Ok(format!("{scheme}://{rest}")),
        None if location.starts_with('/') => Ok(format!("{scheme}://{authority}{location}")),
        None => {
            let folder = uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            Ok(format!("{scheme}://{authority}{folder}/{location}"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        let from = "https://hub.example/a/b/resolve/main/x.json?download=1";
        for (location, expected) in [
            ("https://cdn.example/x", "https://cdn.example/x"),
            ("/c/x", "https://hub.example/c/x"),
            ("y.json", "https://hub.example/a/b/resolve/main/y.json"),
            ("//cdn.example/x", "https://cdn.example/x"),
        ] {
            assert_eq!(resolved(from, location).unwrap(), expected);
        }
        assert!(matches!(
            resolved(from, "http://cdn.example/x"),
            Err(Trouble::Insecure(_))
        ));
        assert!(resolved("http://127.0.0.1:80/x", "http://127.0.0.1:81/y").is_ok());
    }

    #[test]
    fn this_machine_is_told_from_others() {
        for here in [
            "http://127.0.0.1:80",
            "http://localhost/x",
            "http://[::1]:8080/",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for other in [
            "https://huggingface.co",
            "http://10.0.0.1",
            "http://localhost.example",
            "x",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn the_token_is_for_one_origin() {
        assert_eq!(
            origin("https://Hub.example/x"),
            origin("https://hub.example:443/y")
        );
        for other in [
            "http://hub.example/x",
            "https://cdn.hub.example/x",
            "https://hub.example:444/x",
            "hub.example",
        ] {
            assert_ne!(origin("https://hub.example/x"), origin(other), "{other}");
        }
    }
}
