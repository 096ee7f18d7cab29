//! [`Tls`]: connections to the store under TLS, with files that are followed.
//!
//! The files are read at each connect and compared by what they hold. Where they cannot be used, for one of a pair may have
//! been exchanged before the other, what was used last goes on being used.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{StoreError, StoreErrorKind};
use crate::config::files::{self, Mark};
use crate::config::{ClientCertificate, StoreAddress};
use crate::lock::Mutex;
use crate::upstream::roots::trusting;

/// What TLS to the store goes by.
#[derive(Debug)]
pub(super) struct Tls {
    ca_file: Option<PathBuf>,
    client: Option<ClientCertificate>,
    kept: Mutex<Option<Kept>>,
}

/// What was used last, and what the files held then.
#[derive(Clone, Debug)]
struct Kept {
    marks: Vec<Mark>,
    config: Arc<ClientConfig>,
}

impl Tls {
    pub(super) const fn new(ca_file: Option<PathBuf>, client: Option<ClientCertificate>) -> Self {
        Self { ca_file, client, kept: Mutex::new(None) }
    }

    /// The handshake, with a server whose certificate must name its host.
    pub(super) async fn over(
        &self,
        stream: TcpStream,
        address: &StoreAddress,
    ) -> Result<TlsStream<TcpStream>, StoreError> {
        let failed = |detail: String| StoreError::new(StoreErrorKind::Tls, format!("{address}: {detail}"));
        let name = ServerName::try_from(address.host.clone()).map_err(|fault| failed(fault.to_string()))?;
        let connector = TlsConnector::from(self.config().map_err(failed)?);
        connector.connect(name, stream).await.map_err(|fault| failed(fault.to_string()))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let client = self.client.as_ref().map(|client| [&client.certificate, &client.key]);
        let named = self.ca_file.iter().chain(client.into_iter().flatten());
        let contents: Vec<_> = named.map(|path| files::contents(path)).collect();
        let marks: Vec<_> = contents.iter().map(Mark::of_read).collect();
        let mut kept = self.kept.lock();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.marks == marks) {
            return Ok(Arc::clone(&kept.config));
        }
        match (self.build(contents), kept.as_ref()) {
            (Ok(config), _) => {
                *kept = Some(Kept { marks, config: Arc::clone(&config) });
                Ok(config)
            }
            (Err(_), Some(kept)) => Ok(Arc::clone(&kept.config)),
            (Err(fault), None) => Err(fault),
        }
    }

    /// The contents are those of the roots, if they are named, and then of certificate and key.
    fn build(&self, contents: Vec<Result<Vec<u8>, String>>) -> Result<Arc<ClientConfig>, String> {
        let contents = contents.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut contents = contents.iter().map(Vec::as_slice);
        let roots = self.ca_file.as_ref().and_then(|_| contents.next());
        let trusting = trusting(roots).map_err(|fault| format!("shared.ca_file {fault}"))?;
        let config = match (contents.next(), contents.next()) {
            (Some(chain), Some(key)) => {
                let chain = files::certificates_of(chain);
                let chain = chain.map_err(|fault| format!("shared.client_certificate {fault}"))?;
                let unusable = |fault: String| format!("shared.client_key {fault}");
                let key = files::private_key_of(key).map_err(unusable)?;
                trusting.with_client_auth_cert(chain, key).map_err(|fault| unusable(fault.to_string()))?
            }
            _ => trusting.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}
