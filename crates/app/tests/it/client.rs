//! The client of other programs, against the real daemon.

use crate::BINARY;
use adjutant_protocol::{Client, ClientError};
use adjutant_testkit::TestEnv;
use serde_json::json;
use std::fs;

#[tokio::test]
async fn a_task_is_listed_and_found_with_its_run() {
    let env = TestEnv::new(BINARY);
    env.run(&["runs"]).expect(0);
    let address = env.daemon_json().unwrap()["address"].as_str().unwrap().to_owned();
    let token = fs::read_to_string(env.home().join("token")).unwrap();
    let client = Client::new(address, token.trim()).unwrap();
    assert_eq!(client.tasks(10).await.unwrap(), []);

    let blueprint = json!({"id": "nothing", "flow": {"kind": "seq", "children": []}});
    let request = json!({"blueprint": {"kind": "inline", "value": blueprint}, "init_ctx": {"a": 1}});
    let done = client.task_run(&serde_json::from_value(request).unwrap()).await.unwrap();
    let tasks = client.tasks(10).await.unwrap();
    assert_eq!((tasks.len(), &tasks[0].id, &tasks[0].input_ctx), (1, &done.task_id, &json!({"a": 1})));
    let found = client.task(&done.task_id).await.unwrap();
    assert_eq!((&found.task, &found.runs[0].id), (&tasks[0], &done.run_id));
    let strange = client.task("../runs?limit=1").await.unwrap_err();
    assert!(matches!(&strange, ClientError::Api { status: 400 | 404, .. }), "{strange:?}");
}
