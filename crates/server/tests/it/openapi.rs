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

#[test]
fn every_operation_declares_what_each_route_can_answer() {
    let document: Value = serde_json::from_str(&adjutant_server::openapi_json()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            // Without a token nothing is looked up.
            let door: &[&str] = if path == "/v1/healthz" { &["403"] } else { &["401", "403", "503"] };
            let body: &[&str] = if operation.get("requestBody").is_some() { &["400", "413"] } else { &[] };
            let said: &[&str] = if operation.get("parameters").is_some() { &["400"] } else { &[] };
            for status in door.iter().chain(body).chain(said) {
                assert!(
                    operation["responses"].get(status).is_some(),
                    "{method} {path} does not declare {status}"
                );
            }
        }
    }
}
