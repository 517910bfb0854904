//! The one thread that sends spans, a batch at a time, and gives up what the receiver does not take.
//!
//! It is a thread, because the client that it has blocks. Whoever gives a batch waits for how that went, so there is
//! never more than one batch in memory.

use super::TelemetryMeters;
use crate::settings::TelemetrySettings;
use futures_util::FutureExt;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A receiver that does not answer for so long takes nothing.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where a receiver takes traces.
const TRACES: &str = "/v1/traces";

/// A batch, and who waits for how it went.
type Batch = (Vec<SpanData>, oneshot::Sender<()>);

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Sender {
    batches: mpsc::Sender<Batch>,
}

impl Sender {
    /// Starts the thread; it ends when nobody can give it anything any more.
    pub(super) fn start(
        settings: &TelemetrySettings,
        version: &str,
        meters: TelemetryMeters,
    ) -> Option<Sender> {
        let endpoint = endpoint(settings.endpoint.as_deref()?);
        let settings = settings.clone();
        let version = version.to_owned();
        let (batches, mut given) = mpsc::channel::<Batch>(1);
        let work = move || {
            let exporter = match exporter(&endpoint, &settings, version) {
                Ok(exporter) => exporter,
                Err(error) => return tracing::error!(%endpoint, %error, "no traces can be sent"),
            };
            let mut is_refused = false;
            while let Some((spans, told)) = given.blocking_recv() {
                let count = spans.len() as u64;
                // The client blocks, so it is done at once.
                let refusal = match exporter.export(spans).now_or_never() {
                    Some(Ok(())) => None,
                    Some(Err(error)) => Some(error.to_string()),
                    None => Some("it was not done at once".to_owned()),
                };
                match &refusal {
                    None => drop(meters.sent.inc_by(count)),
                    Some(_) => drop(meters.dropped.inc_by(count)),
                }
                match (&refusal, is_refused) {
                    (Some(error), false) => {
                        tracing::warn!(%endpoint, %error, "the receiver of traces takes none; they are dropped and counted");
                    }
                    (None, true) => tracing::info!(%endpoint, "the receiver of traces takes them again"),
                    (Some(_), true) | (None, false) => {}
                }
                is_refused = refusal.is_some();
                // Whoever waited may have gone.
                told.send(()).ok();
            }
        };
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(work);
        thread.map_err(|error| tracing::error!(%error, "no traces can be sent")).ok()?;
        Some(Sender { batches })
    }

    /// Sends a batch; returns when it was taken or given up. False when nothing can be sent any more.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> bool {
        let (told, done) = oneshot::channel();
        self.batches.send((spans, told)).await.is_ok() && done.await.is_ok()
    }
}

/// Gives the address of a receiver's traces.
fn endpoint(said: &str) -> String {
    let said = said.trim_end_matches('/');
    if said.ends_with(TRACES) { said.to_owned() } else { format!("{said}{TRACES}") }
}

fn exporter(
    endpoint: &str,
    settings: &TelemetrySettings,
    version: String,
) -> Result<SpanExporter, ExporterBuildError> {
    let internal = |error: reqwest::Error| ExporterBuildError::InternalFailure(error.to_string());
    let client = reqwest::blocking::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(internal)?;
    let headers = settings.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .with_headers(headers)
        // What is not taken is given up, so that a receiver that is away holds up nothing, not even the next batch.
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name(settings.service_name.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", version))
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_where_receivers_take_them() {
        for (said, goes) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://a.b/otlp", "https://a.b/otlp/v1/traces"),
            ("https://a.b/v1/traces", "https://a.b/v1/traces"),
        ] {
            assert_eq!(endpoint(said), goes);
        }
    }
}
