//! How `/metrics` is asked for: in which of its two formats, and whether packed. And [`Pages`]: how often it is written.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::sync::Mutex;
use tokio::task::JoinError;

use crate::body::Body;
use crate::metrics::Exposition;

/// Writes the page, for one asker at a time and for all that came meanwhile together.
///
/// To write and pack it takes milliseconds, which the control thread has not: every miss waits for that thread. It is done on
/// another, one page after the other, so that who asks in a loop has one thread busy and no more. An answer is never older than
/// its request: who comes while a page is written waits for the next one, with all others who do. A page of up to a second ago
/// would spare more, and would tell who reads a counter behind its own request that nothing happened.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// How often it was asked for.
    asked: AtomicU64,
    /// The latest of each kind. Held while one is written.
    latest: Arc<Mutex<[Latest; KINDS]>>,
}

/// Formats, times packed or not.
const KINDS: usize = 4;

/// The latest page of a kind.
#[derive(Clone, Debug, Default)]
struct Latest {
    /// It was begun when so many had asked.
    asked: u64,
    page: Page,
}

/// A page as it is sent.
#[derive(Clone, Debug, Default)]
struct Page {
    bytes: Bytes,
    is_packed: bool,
}

impl Pages {
    /// The answer: OpenMetrics where it is asked for and not less than the classic format is, packed where that is asked for.
    ///
    /// # Errors
    ///
    /// If the process ends meanwhile.
    pub(super) async fn answer(
        &self,
        fields: &HeaderMap,
        render: impl FnOnce(Exposition) -> String + Send + 'static,
        whole: impl FnOnce(StatusCode, &'static str, Bytes) -> Response<Body>,
    ) -> Result<Response<Body>, JoinError> {
        let format = format(fields);
        let page = self.page(format, coding(fields), render).await?;
        let length = HeaderValue::from(page.bytes.len());
        let mut response = whole(StatusCode::OK, format.content_type(), page.bytes);
        let answered = response.headers_mut();
        answered.insert(CONTENT_LENGTH, length);
        answered.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        if page.is_packed {
            answered.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }

    async fn page(
        &self,
        format: Exposition,
        coding: Coding,
        render: impl FnOnce(Exposition) -> String + Send + 'static,
    ) -> Result<Page, JoinError> {
        let kind = 2 * usize::from(format == Exposition::OpenMetrics) + usize::from(coding == Coding::Gzip);
        let mine = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut latest = Arc::clone(&self.latest).lock_owned().await;
        if latest[kind].asked >= mine {
            return Ok(latest[kind].page.clone());
        }
        let asked = self.asked.load(Ordering::Relaxed);
        // It takes the lock along: where its asker leaves, the next one still waits for its end.
        let writing = tokio::task::spawn_blocking(move || {
            let page = Page::of(render(format).into(), coding);
            latest[kind] = Latest { asked, page: page.clone() };
            page
        });
        writing.await
    }
}

impl Page {
    fn of(text: Bytes, coding: Coding) -> Self {
        let packed = if coding == Coding::Gzip { pack(&text) } else { None };
        let is_packed = packed.is_some();
        Self { bytes: packed.unwrap_or(text), is_packed }
    }
}

/// How an answer is coded (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
}

/// RFC 9110 §12.5.1, as far as two formats need it. Whoever asks for neither gets the classic one, which everything reads.
fn format(fields: &HeaderMap) -> Exposition {
    let (mut open, mut classic) = (0, 0);
    for (range, parameters, weight) in weighed(fields, ACCEPT) {
        match range {
            "application/openmetrics-text" if is_of_a_version(parameters) => open = open.max(weight),
            "text/plain" => classic = classic.max(weight),
            _ => {}
        }
    }
    if open > 0 && open >= classic { Exposition::OpenMetrics } else { Exposition::Classic }
}

/// Whether the version that is asked for, if one is, is one that is written here. The one before 1.0.0 reads the same.
fn is_of_a_version(parameters: &str) -> bool {
    let version =
        parameters.split(';').filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case("version").then(|| value.trim().trim_matches('"'))
        });
    version.is_none_or(|version| matches!(version, "1.0.0" | "0.0.1"))
}

/// RFC 9110 §12.5.3.
fn coding(fields: &HeaderMap) -> Coding {
    let weight = |of: &str| {
        weighed(fields, ACCEPT_ENCODING).find(|(coding, ..)| *coding == of).map(|(.., weight)| weight)
    };
    let weight = weight("gzip").or_else(|| weight("x-gzip")).or_else(|| weight("*"));
    if weight.is_some_and(|weight| weight > 0) { Coding::Gzip } else { Coding::Identity }
}

/// The members of a list with weights: what is named, its parameters, and its weight in thousandths (RFC 9110 §12.4.2). One
/// whose weight cannot be read weighs nothing.
fn weighed(fields: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = (&str, &str, u32)> {
    let lines = fields.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|member| {
        let (named, parameters) = member.split_once(';').unwrap_or((member, ""));
        let weight = parameters.split(';').find_map(|parameter| {
            parameter.trim().strip_prefix("q=").or_else(|| parameter.trim().strip_prefix("Q="))
        });
        (named.trim(), parameters, weight.map_or(1000, thousandths))
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
fn thousandths(weight: &str) -> u32 {
    weight
        .parse::<f64>()
        .ok()
        .filter(|weight| (0.0..=1.0).contains(weight))
        .map_or(0, |weight| (weight * 1000.0) as u32)
}

fn pack(page: &[u8]) -> Option<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(page).and_then(|()| packer.finish()).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    /// However many ask at once, few pages are written, and none is older than its request.
    #[tokio::test]
    async fn metrics_that_are_asked_for_at_once_are_one_page_and_never_an_old_one() {
        let pages = Pages::default();
        let (open, gate) = std::sync::mpsc::channel();
        let write = |text: &'static str| pages.page(Exposition::Classic, Coding::Gzip, |_| text.to_owned());
        let slow = pages.page(Exposition::Classic, Coding::Gzip, move |_| {
            gate.recv().unwrap();
            "first".to_owned()
        });
        // Each is polled once, in this order, before the gate opens.
        let open = async { open.send(()).unwrap() };
        let (first, second, third, fourth, ()) =
            tokio::join!(biased; slow, write("second"), write("third"), write("fourth"), open);
        let [first, second, third, fourth] = [first, second, third, fourth].map(|page| page.unwrap().bytes);
        assert_eq!(first, pack(b"first").unwrap());
        assert_eq!(second, pack(b"second").unwrap(), "the first was begun before the second was asked for");
        assert_eq!([third.as_ptr(), fourth.as_ptr()], [second.as_ptr(); 2], "one in memory for who waited");
        let next = write("next").await.unwrap().bytes;
        assert_eq!(next, pack(b"next").unwrap(), "who asks behind its end gets another");
    }

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        use Exposition::{Classic, OpenMetrics};
        for (accept, expected) in [
            // Prometheus 2.42, and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            // One that is to scrape the classic format.
            ("text/plain;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", Classic),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain",
                Classic,
            ),
            ("*/*", Classic),
            ("", Classic),
            ("text/html,application/xhtml+xml,application/xml;q=0.9", Classic),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Classic),
            ("application/openmetrics-text;q=0", Classic),
            ("application/openmetrics-text;q=0.1,text/plain", Classic),
            ("application/openmetrics-text;q=7", Classic),
        ] {
            assert_eq!(format(&asking(ACCEPT, accept)), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Classic);
    }

    #[test]
    fn packed_is_what_is_asked_for_packed() {
        for (accept, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("zstd", false),
        ] {
            let coding = coding(&asking(ACCEPT_ENCODING, accept));
            assert_eq!(coding == Coding::Gzip, expected, "{accept}");
        }
        assert_eq!(coding(&HeaderMap::new()), Coding::Identity);
    }
}
