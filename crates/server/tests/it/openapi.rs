//! The OpenAPI document.

use crate::harness::Daemon;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_serves_the_document_that_is_checked_in() {
    let checked_in = include_str!("../../openapi.json");
    let hint = "`adjutant openapi > crates/server/openapi.json` writes it again";
    assert!(adjutant_server::openapi_json() == checked_in, "the document has changed; {hint}");
    let daemon = Daemon::start().await;
    let served = daemon.send("GET /openapi.json", "").await;
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!((served.status, json(&served.body)), (200, json(checked_in)));
    daemon.stop().await;
}
