//! What can go wrong with a request, and whether another attempt may help. How it is told to a person is not known here.

use std::{fmt, io, time::Duration};

use ureq::http::{HeaderMap, Uri};

use super::{
    config::HubConfig,
    http::{CONNECT, text},
};

/// The longest wait between two attempts that nobody asked for.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody is there: no such host, connection refused.
    Unreachable(String),
    /// The connection broke or stalled; another attempt may do.
    Broken(String),
    /// The other side could not prove who it is.
    Insecure(String),
    /// A status that is no success.
    Status(Status),
    /// A web page where data was asked for.
    Page,
    /// An answer that makes no sense.
    Nonsense(String),
}

/// A refusal, with what its headers say about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    /// `404`
    pub code: u16,
    /// `X-Error-Code`, such as `RepoNotFound`.
    pub kind: String,
    /// `Retry-After`
    pub retry_after: Option<Duration>,
}

impl Status {
    /// Reads what the headers say beside the number.
    pub fn of(code: u16, headers: &HeaderMap) -> Self {
        Self {
            code,
            kind: text(headers, "x-error-code").unwrap_or_default().into(),
            retry_after: text(headers, "retry-after").and_then(delay),
        }
    }

    /// Whether it may be over soon: all of the server's failures but that it cannot do what it is asked.
    fn may_pass(&self) -> bool {
        self.code != 501 && matches!(self.code, 408 | 429 | 500..=599)
    }
}

impl Trouble {
    /// What an error of the HTTP library means, met while asking for `url`.
    pub fn of(error: ureq::Error, url: &str, proxy: Option<&str>) -> Self {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, InvalidData, NetworkUnreachable,
        };
        let uri: Option<Uri> = url.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or(url);
        let through = proxy.map_or(String::new(), |proxy| format!(" through the proxy {proxy}"));
        let unreachable =
            |why: &dyn fmt::Display| Self::Unreachable(format!("{host}: {why}{through}"));
        match error {
            ureq::Error::HostNotFound => unreachable(&"no such host"),
            ureq::Error::ConnectionFailed => unreachable(&"no connection"),
            ureq::Error::ConnectProxyFailed(why) => unreachable(&why),
            ureq::Error::InvalidProxyUrl => unreachable(&"HTTPS_PROXY is not an address"),
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
                unreachable(&format_args!("no answer within {} s", CONNECT.as_secs()))
            }
            ureq::Error::Timeout(_) => Self::Broken(format!("{host} sends nothing any more")),
            ureq::Error::Rustls(why) => Self::Insecure(why.to_string()),
            ureq::Error::Tls(why) => Self::Insecure(why.into()),
            ureq::Error::BadUri(why) => Self::Nonsense(format!("`{why}` is no address")),
            ureq::Error::BodyExceedsLimit(limit) => {
                Self::Nonsense(format!("it sends more than {limit} bytes"))
            }
            ureq::Error::Io(error) => match error.kind() {
                ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable => {
                    unreachable(&error)
                }
                // The standard library has no kind for a name that does not resolve.
                _ if error.to_string().contains("lookup address") => unreachable(&"no such host"),
                // That is how a handshake that fails comes through.
                InvalidData => Self::Insecure(error.to_string()),
                _ => Self::Broken(error.to_string()),
            },
            other => Self::Broken(other.to_string()),
        }
    }

    /// How long to wait before another attempt; `None` if another attempt cannot help.
    pub fn wait(&self, failures: usize, config: &HubConfig) -> Option<Duration> {
        let doubled = config.backoff.saturating_mul(1 << failures.min(10));
        let backoff = doubled.min(LONGEST_BACKOFF);
        match self {
            Self::Broken(_) => Some(backoff),
            Self::Status(status) if status.may_pass() => match status.retry_after {
                Some(asked) => (asked <= config.patience).then_some(asked.max(backoff)),
                None => Some(backoff),
            },
            _ => None,
        }
    }
}

/// `Retry-After` in seconds. The form with a date is rare and counts as not given.
fn delay(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::path::Path;

    use super::*;

    #[test]
    fn waiting_helps_only_where_it_can() {
        let config = HubConfig::from_vars(Path::new("/"), &|_| None);
        let status = |code, retry_after: Option<u64>| {
            let retry_after = retry_after.map(Duration::from_secs);
            Trouble::Status(Status {
                code,
                retry_after,
                ..Status::default()
            })
            .wait(0, &config)
        };
        assert_eq!(status(429, Some(3)), Some(Duration::from_secs(3)));
        assert_eq!(status(429, Some(100_000)), None);
        assert_eq!(status(503, None), Some(config.backoff));
        assert_eq!(
            [401, 403, 404, 416].map(|code| status(code, Some(1))),
            [None; 4]
        );
        let broken = Trouble::Broken(String::new());
        assert_eq!(broken.wait(1, &config), Some(config.backoff * 2));
        assert_eq!(broken.wait(99, &config), Some(LONGEST_BACKOFF));
        assert!(
            Trouble::Unreachable(String::new())
                .wait(0, &config)
                .is_none()
        );
    }
}
