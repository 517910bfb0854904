//! The client by which spans go out: whom it trusts, and why the last call of it failed.
//!
//! The exporter says of every failure of the network the same words, so this remembers what it was.

use super::trust;
use crate::reports;
use futures_util::future::BoxFuture;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Why the receiver has taken nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not known to be who it should be.
    Certificate(String),
    /// Anything else.
    Other(String),
}

/// The client; a clone tells the same failures.
#[derive(Debug, Clone)]
pub(super) struct Door {
    http: reqwest::blocking::Client,
    failed: Arc<Mutex<Option<Refusal>>>,
}

impl Door {
    /// Opens it for an address; its receiver is known by the system's authorities and those of the file.
    ///
    /// # Errors
    /// What is wrong with the file, or with the system's certificates.
    pub(super) fn open(endpoint: &str, ca_file: Option<&Path>, timeout: Duration) -> Result<Door, String> {
        let builder =
            reqwest::blocking::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
        let file = ca_file.map(trust::certificates).transpose();
        let file = file.map_err(|error| format!("`telemetry.ca_file` cannot be used: {error}"))?;
        let further: Result<Vec<_>, _> =
            file.iter().flatten().map(|one| reqwest::Certificate::from_der(one)).collect();
        let further = further.map_err(|error| reports::causes(&error))?;
        let builder = match endpoint.starts_with("https://") {
            true => builder.tls_certs_merge(further),
            // A system without certificates can send to a receiver that needs none.
            false => builder.tls_certs_only(further),
        };
        let http = builder.build().map_err(|error| reports::causes(&error))?;
        Ok(Door { http, failed: Arc::default() })
    }

    /// Gives why the last call failed, once.
    pub(super) fn failed(&self) -> Option<Refusal> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: &HttpError) {
        let why = error.downcast_ref::<reqwest::Error>().map_or_else(|| error.to_string(), reports::causes);
        let refusal = match is_about_a_certificate(&**error) {
            true => Refusal::Certificate(why),
            false => Refusal::Other(why),
        };
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }
}

impl HttpClient for Door {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async { self.http.send_bytes(request).await.inspect_err(|error| self.note(error)) })
    }
}

/// Tells whether an error, or one that it holds, says that a certificate does not verify.
fn is_about_a_certificate(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // An error of the network may hold another one that is not its source.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    held.is_some_and(|held| is_about_a_certificate(held))
        || error.source().is_some_and(is_about_a_certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError};
    use std::io::{self, ErrorKind};

    #[test]
    fn an_error_of_the_network_is_looked_into() {
        let certificate = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let alert = rustls::Error::AlertReceived(AlertDescription::AccessDenied);
        for (error, expected) in [
            (io::Error::other(certificate()), true),
            (io::Error::other(io::Error::new(ErrorKind::InvalidData, certificate())), true),
            (io::Error::other(alert), false),
            (io::Error::from(ErrorKind::ConnectionRefused), false),
        ] {
            assert_eq!(is_about_a_certificate(&error), expected, "{error}");
        }
    }
}
