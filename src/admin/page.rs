//! The dashboard page: files that are part of the binary, always served, without data.
//!
//! The page asks `/api/status` for what it shows, with a token that is kept in its memory alone. Its policy lets it load and
//! ask nothing but this port.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::metrics::AdminPath;
use crate::semantics::validator;

/// Scripts, styles, pictures and questions from this port alone; no inline script, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files and their validators.
#[derive(Debug)]
pub(super) struct Page(Vec<File>);

#[derive(Debug)]
struct File {
    path: AdminPath,
    media_type: &'static str,
    bytes: &'static [u8],
    etag: HeaderValue,
}

impl Default for Page {
    fn default() -> Self {
        let script = "text/javascript; charset=utf-8";
        let style = "text/css; charset=utf-8";
        let files: [(AdminPath, &'static str, &'static [u8]); 6] = [
            (AdminPath::Page, "text/html; charset=utf-8", include_bytes!("page/index.html")),
            (AdminPath::PageStyle, style, include_bytes!("page/page.css")),
            (AdminPath::PageScript, script, include_bytes!("page/page.js")),
            (AdminPath::CallersScript, script, include_bytes!("page/callers.js")),
            (AdminPath::ChartStyle, style, include_bytes!("page/uPlot.min.css")),
            (AdminPath::ChartScript, script, include_bytes!("page/uPlot.iife.min.js")),
        ];
        Self(
            files
                .into_iter()
                .map(|(path, media_type, bytes)| File {
                    path,
                    media_type,
                    bytes,
                    etag: validator::strong_etag_of(bytes),
                })
                .collect(),
        )
    }
}

impl Page {
    /// The file at this path, or 304 if the browser has it; nothing where there is none.
    pub(super) fn answer(&self, path: AdminPath, fields: &HeaderMap) -> Option<Response<Body>> {
        let file = self.0.iter().find(|file| file.path == path)?;
        let is_known = fields.get_all(IF_NONE_MATCH).iter().any(|given| *given == file.etag);
        let body = if is_known { Body::empty() } else { Body::whole(Bytes::from_static(file.bytes)) };
        let mut response = Response::new(body);
        let answered = response.headers_mut();
        let named: [(HeaderName, &'static str); 5] = [
            (CONTENT_TYPE, file.media_type),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
        ];
        for (name, value) in named {
            answered.insert(name, HeaderValue::from_static(value));
        }
        answered.insert(ETAG, file.etag.clone());
        if is_known {
            answered.remove(CONTENT_TYPE);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            answered.insert(CONTENT_LENGTH, HeaderValue::from(file.bytes.len()));
        }
        Some(response)
    }
}
