//! What clients of the family rely on for errors and their reports: cases 19, 23 and 24 of the acceptance.
//!
//! Changed on purpose: a report of an error that nobody knows is 404 with a code, where the family answered 200 and a note;
//! a peer on loopback needs a token like any other. Case 25, by what right reports are filed, is `engine: reports::a_token_is_the_
//! environments_then_the_files_then_the_apps` and `engine: reports::an_apps_token_is_used_again_until_shortly_before_its_
//! end`, against a server that verifies what the App signs and for how long.

use super::reports::{fingerprint, reporting};
use super::{post, told};
use crate::harness::Daemon;
use adjutant_testkit::FakeGithub;
use serde_json::{Value, json};

/// Agrees to the last preview at the door of people, and gives the answer.
async fn agreed(daemon: &Daemon, fingerprint: &str) -> Value {
    let preview = told(daemon, "preview_bug_report", json!({"fingerprint": fingerprint})).await;
    let body = json!({"confirm": true, "preview": preview["hash"]}).to_string();
    let answer = daemon.send(&format!("POST /v1/errors/{fingerprint}/report"), &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn case_19_a_token_opens_the_door_and_a_report_is_previewed_refused_and_bounded() {
    let github = FakeGithub::start();
    let daemon =
        Daemon::with_settings(|settings| reporting(settings, &github, &["it broke".to_owned()])).await;
    let listing = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(post(&daemon, "adj_nobody", &listing).await.status, 401);
    let listed: Value =
        serde_json::from_str(&post(&daemon, &daemon.token, &listing).await.body).expect("JSON");
    assert!(listed["result"]["tools"].as_array().is_some_and(|tools| tools.len() >= 20), "{listed}");

    let unknown =
        daemon.send(&format!("POST /v1/errors/{}/report", "0".repeat(64)), "{\"confirm\": true}").await;
    assert_eq!((unknown.status, unknown.error().code.as_str()), (404, "not_found"));
    let known = fingerprint(&daemon, "it broke").await;
    let shown = daemon.send(&format!("POST /v1/errors/{known}/report"), "{\"confirm\": false}").await;
    let shown: Value = serde_json::from_str(&shown.body).expect("JSON");
    assert_eq!(shown["filed"], json!(false), "{shown}");
    for member in ["title", "body", "labels", "scrub_changes"] {
        assert!(shown["preview"].get(member).is_some(), "{member}: {shown}");
    }
    assert_eq!(github.calls(), []);
    assert_eq!(agreed(&daemon, &known).await["filed"], json!(true));
    let again = agreed(&daemon, &known).await;
    assert_eq!((&again["filed"], &again["rate_limited"]), (&json!(false), &json!(true)), "{again}");
    assert_eq!(github.issues().len(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_each_pattern_is_told_and_nothing_that_it_is_for_is_in_a_preview() {
    // The samples are put together here so that no scanner finds them.
    let drawn = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYz".repeat(2);
    let seeded = [
        ("PemPrivateKey", format!("MII{}", &drawn[..30])),
        ("BearerToken", drawn[..28].to_owned()),
        ("JwtToken", format!("eyJ{}.eyJ{}.{}", &drawn[..12], &drawn[3..15], &drawn[5..20])),
        ("SkApiKey", format!("sk-or-{}", &drawn[..20])),
        ("GithubToken", format!("gho_{}", &drawn[..36])),
        ("AwsKey", "AKIAQ7W2E9R4T6Y1U3I5".to_owned()),
        ("GoogleKey", format!("AIza{}", &drawn[..35])),
        ("SlackToken", format!("xoxp-{}", &drawn[..20])),
        ("ConnString", "someone:hunter2".to_owned()),
        ("EnvSecret", "hunter3".to_owned()),
        ("AbsolutePath", "/home/alice/clients".to_owned()),
        ("WindowsPath", r"C:\Users\alice".to_owned()),
    ];
    let of = |pattern: &str| &seeded.iter().find(|(name, _)| *name == pattern).expect("it is seeded").1;
    let text = format!(
        "it broke\n-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\nAuthorization: Bearer {}\n{} {} {} {} {} {}\n\
         postgres://{}@host/db\nMY_PASSWORD={}\nin {}/acme.rs\nat {}\\x.rs",
        of("PemPrivateKey"),
        of("BearerToken"),
        of("JwtToken"),
        of("SkApiKey"),
        of("GithubToken"),
        of("AwsKey"),
        of("GoogleKey"),
        of("SlackToken"),
        of("ConnString"),
        of("EnvSecret"),
        of("AbsolutePath"),
        of("WindowsPath"),
    );
    let github = FakeGithub::start();
    let long = format!("too long {}", "word ".repeat(10_000));
    let daemon =
        Daemon::with_settings(|settings| reporting(settings, &github, &[text.clone(), long.clone()])).await;
    let known = fingerprint(&daemon, "it broke").await;
    let shown = told(&daemon, "preview_bug_report", json!({"fingerprint": known})).await;
    let told_of: Vec<&str> = shown["scrub_changes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|change| change["pattern"].as_str())
        .collect();
    for (pattern, secret) in &seeded {
        assert!(told_of.contains(pattern), "{pattern}: {told_of:?}");
        assert!(!shown.to_string().contains(&secret.replace('\\', r"\\")), "{pattern}: {shown}");
    }
    assert!(shown["body"].as_str().is_some_and(|body| body.contains("~/acme.rs")), "{shown}");
    let known = fingerprint(&daemon, "too long").await;
    let shown = told(&daemon, "preview_bug_report", json!({"fingerprint": known})).await;
    assert!(shown["body"].as_str().is_some_and(|body| body.len() < 20_000), "{shown}");
    assert!(shown["scrub_changes"].to_string().contains("Truncation"), "{}", shown["scrub_changes"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_24_one_report_of_an_error_a_day_and_ten_of_all_an_hour_over_a_restart() {
    let github = FakeGithub::start();
    let words = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay", "kiwi"];
    let messages = words.map(|word| format!("the {word} broke"));
    let daemon = Daemon::with_settings(|settings| reporting(settings, &github, &messages)).await;
    for word in &words[..10] {
        let known = fingerprint(&daemon, &format!("the {word} broke")).await;
        assert_eq!(agreed(&daemon, &known).await["filed"], json!(true), "{word}");
    }
    let daemon = daemon.restarted_with(|settings| reporting(settings, &github, &[])).await;
    for (word, note) in [("kiwi", "within an hour"), ("ant", "within the last 24 hours")] {
        let known = fingerprint(&daemon, &format!("the {word} broke")).await;
        let limited = agreed(&daemon, &known).await;
        assert_eq!((&limited["filed"], &limited["rate_limited"]), (&json!(false), &json!(true)), "{limited}");
        assert!(limited["note"].as_str().is_some_and(|said| said.contains(note)), "{word}: {limited}");
    }
    assert_eq!(github.issues().len(), 10);
    daemon.stop().await;
}
