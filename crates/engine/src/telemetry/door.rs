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

fn is_about_a_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(one) = cause {
        // An error of the network holds another one that is not its source.
        let held = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = one.downcast_ref().or_else(|| held.and_then(|held| held.downcast_ref()));
        if let Some(rustls::Error::InvalidCertificate(_)) = tls {
            return true;
        }
        cause = one.source();
    }
    false
}
