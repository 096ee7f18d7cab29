//! What the vendor's edge adds to every answer: its own fields, its robot cookie, gzip where the client takes it.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, ETAG, SERVER, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::Body as _;

use crate::body::Body;

/// The edge in front of the API.
#[derive(Debug)]
pub(super) struct Edge {
    on: bool,
    seed: u64,
    answers: AtomicU64,
}

/// What the edge has to know of a request when its answer comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    gzip: bool,
    cookie: bool,
    head: bool,
}

impl Client {
    pub(super) fn of(method: &Method, fields: &HeaderMap) -> Self {
        let texts = |name| fields.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        Self {
            gzip: texts(ACCEPT_ENCODING).any(takes_gzip),
            cookie: texts(COOKIE).any(|text| text.contains("__cf_bm=")),
            head: method == Method::HEAD,
        }
    }
}

/// RFC 9110 §12.5.3: `gzip` is named, and not with a weight of zero.
fn takes_gzip(list: &str) -> bool {
    list.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case("gzip") && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
    })
}

/// Below this a compressed body is no smaller.
const WORTH_COMPRESSING: usize = 48;

impl Edge {
    pub(super) const fn on(seed: u64) -> Self {
        Self { on: true, seed, answers: AtomicU64::new(0) }
    }

    /// No edge: answers leave as they are.
    pub(super) const fn off() -> Self {
        Self { on: false, seed: 0, answers: AtomicU64::new(0) }
    }

    /// The answer as it leaves: with the edge's fields, encoded, and without a body for HEAD.
    pub(super) fn finish(&self, client: Client, mut answer: Response<Body>) -> Response<Body> {
        if self.on {
            if client.gzip {
                answer = compressed(answer);
            }
            self.sign(client, answer.headers_mut());
        }
        if client.head { without_body(answer) } else { answer }
    }

    fn sign(&self, client: Client, fields: &mut HeaderMap) {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let ray = mix(self.seed ^ number);
        fields.insert(SERVER, HeaderValue::from_static("cloudflare"));
        fields.insert("cf-cache-status", HeaderValue::from_static("DYNAMIC"));
        fields.insert("cf-ray", valid(format!("{ray:016x}-FRA")));
        if !client.cookie {
            let cookie = mix(ray);
            fields.append(
                SET_COOKIE,
                valid(format!("__cf_bm={cookie:016x}; path=/; HttpOnly; Secure; SameSite=None")),
            );
        }
    }
}

fn valid(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hexadecimal digits and constants are valid field values")
}

/// Whole bodies of a worthwhile size; a stream, and what is encoded already, stays as it is.
fn compressed(answer: Response<Body>) -> Response<Body> {
    let worthwhile = |body: &Bytes| body.len() >= WORTH_COMPRESSING;
    if answer.headers().contains_key(CONTENT_ENCODING) || answer.status().is_redirection() {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let body = match body {
        Body::Whole(Some(plain)) if worthwhile(&plain) => {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
            head.headers.remove(CONTENT_LENGTH);
            weaken(&mut head.headers);
            Body::whole(gzip(&plain))
        }
        other => other,
    };
    Response::from_parts(head, body)
}

/// Another representation may not keep a strong validator (RFC 9110 §8.8.1).
fn weaken(fields: &mut HeaderMap) {
    let weak = fields
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
        .filter(|tag| !tag.starts_with("W/"))
        .and_then(|tag| HeaderValue::try_from(format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        fields.insert(ETAG, weak);
    }
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("a Vec takes all that is written").into()
}

fn without_body(answer: Response<Body>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact()
        && !head.status.is_redirection()
        && head.status != http::StatusCode::NO_CONTENT
    {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Body::empty())
}

/// SplitMix64's finalizer: neighbours in, strangers out.
const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http::StatusCode;
    use http_body_util::BodyExt;

    use super::super::answer::json;
    use super::*;

    fn client(method: Method, fields: &[(&'static str, &'static str)]) -> Client {
        let fields = fields
            .iter()
            .map(|&(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Client::of(&method, &fields)
    }

    fn long_answer() -> Response<Body> {
        json(StatusCode::OK, Bytes::from(vec![b' '; 500]))
    }

    #[test]
    fn gzip_is_taken_where_it_is_named_with_a_weight_above_zero() {
        for (accept, taken) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accept), taken, "{accept}");
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_gzip_gets_it() {
        let edge = Edge::on(1);
        let answer = edge.finish(client(Method::GET, &[("accept-encoding", "gzip")]), long_answer());
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        let encoded = answer.into_body().collect().await.unwrap().to_bytes();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&encoded[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, vec![b' '; 500]);
    }

    #[test]
    fn the_cookie_is_set_unless_the_client_has_it() {
        let edge = Edge::on(1);
        let set = |fields| {
            edge.finish(client(Method::GET, fields), long_answer()).headers().contains_key(SET_COOKIE)
        };
        assert!(set(&[]));
        assert!(set(&[("cookie", "a=b")]));
        assert!(!set(&[("cookie", "a=b; __cf_bm=1")]));
    }

    #[test]
    fn head_gets_the_length_and_no_body() {
        let answer = Edge::off().finish(client(Method::HEAD, &[]), long_answer());
        assert_eq!(answer.headers()[CONTENT_LENGTH], "500");
        assert!(answer.body().is_end_stream());
        assert!(!answer.headers().contains_key(SERVER));
    }
}
