//! [`Way`]: how connections to the upstream are made: whom TLS trusts, and how long connecting may take.
//!
//! Both may change while the process runs. A new way is for new connections, in new pools: what is under way ends where
//! it began, and no connection that was made under other roots is used again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder};

use super::egress::Egress;
use super::roots::trusting;
use crate::config::files::{self, Mark};
use crate::config::{self, ProxyAuthorization};
use crate::metrics::{CertificateOf, Metrics};
use crate::setup_error::SetupError;

/// How connections are made.
#[derive(Debug)]
pub struct Way {
    pub(super) ca_file: Option<PathBuf>,
    /// Of what `ca_file` and the other files that are named held.
    pub(super) mark: Option<Mark>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) egress: Option<Egress>,
    /// When the certificate that is shown ends, since 1970.
    pub(super) end: Option<Duration>,
    pub(super) connect_timeout: Duration,
}

impl Way {
    /// TLS with the roots of `ca_file`, or the platform's, or Mozilla's where the platform has none. Verification cannot be
    /// switched off.
    ///
    /// # Errors
    ///
    /// If `ca_file` cannot be read or holds no certificate.
    pub fn read(settings: &config::Upstream) -> Result<Self, SetupError> {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(tls) = super::pipes::tls() {
            let connect_timeout = settings.connect_timeout;
            return Ok(Self { ca_file: None, mark: None, tls, egress: None, end: None, connect_timeout });
        }
        // First: what is changed while it is read is found to have changed at the next look.
        let mark = mark(settings);
        let contents = settings.ca_file.as_deref().map(files::contents).transpose();
        let named = |fault: String| match &settings.ca_file {
            Some(file) => SetupError(format!("upstream.ca_file: {} {fault}", file.display())),
            None => SetupError(fault),
        };
        let contents = contents.map_err(named)?;
        let tls = trusting(contents.as_deref()).map_err(named)?;
        let (tls, end) = match &settings.client {
            Some(files) => showing(tls, files)?,
            None => (tls.with_no_client_auth(), None),
        };
        let proxy = settings.proxy.as_ref().filter(|proxy| proxy.is_for(&settings.url));
        Ok(Self {
            ca_file: settings.ca_file.clone(),
            mark,
            tls: Arc::new(tls),
            egress: proxy.map(Egress::read).transpose()?,
            end,
            connect_timeout: settings.connect_timeout,
        })
    }

    /// Shows when the certificate ends that this way shows.
    pub(super) fn show_end(&self, metrics: &Metrics) {
        if let Some(end) = self.end {
            metrics.certificate(CertificateOf::Upstream, end);
        }
    }

    /// Whether connections made by the other are as good as those made by this one.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.mark == other.mark && self.connect_timeout == other.connect_timeout
    }
}

/// Of what the files hold that a way is made of; `None` if there are none.
pub(super) fn mark(settings: &config::Upstream) -> Option<Mark> {
    let proxy = settings.proxy.as_ref();
    let authorization = proxy.and_then(|proxy| match proxy.authorization.as_ref()? {
        ProxyAuthorization::File(file) => Some(file),
        ProxyAuthorization::Given(_) => None,
    });
    let client = settings.client.as_ref();
    let files = [
        settings.ca_file.as_ref(),
        proxy.and_then(|proxy| proxy.ca_file.as_ref()),
        authorization,
        client.map(|client| &client.certificate),
        client.map(|client| &client.key),
    ];
    let marks: Vec<_> =
        files.into_iter().flatten().map(|file| Mark::of_read(&files::contents(file))).collect();
    (!marks.is_empty()).then(|| Mark::of_all(&marks))
}

/// TLS that shows a certificate to whoever asks for one.
fn showing(
    tls: ConfigBuilder<ClientConfig, WantsClientCert>,
    named: &config::ClientCertificate,
) -> Result<(ClientConfig, Option<Duration>), SetupError> {
    let fault =
        |key: &str, file: &Path, fault: String| SetupError(format!("{key}: {} {fault}", file.display()));
    let of_key = |error| fault("upstream.client_key", &named.key, error);
    let chain = files::certificates(&named.certificate)
        .map_err(|error| fault("upstream.client_certificate", &named.certificate, error))?;
    let key = files::private_key(&named.key).map_err(of_key)?;
    let end = chain.first().and_then(files::end_of);
    let tls = tls.with_client_auth_cert(chain, key).map_err(|error| of_key(error.to_string()))?;
    Ok((tls, end))
}
