//! What is a secret and what is none, as tables. The samples are put together here so that no scanner finds them.

use super::{redact, redact_value, secret_at};
use adjutant_model::Value;
use proptest::prelude::*;
use serde_json::json;

fn random(len: usize) -> String {
    "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYz".chars().cycle().take(len).collect()
}

fn secrets() -> Vec<(String, &'static str)> {
    let upper = "Q7W2E9R4T6Y1U3I5";
    vec![
        (format!("sk-ant-{}", random(40)), "anthropic-key"),
        (format!("sk-proj-{}", random(40)), "openai-key"),
        (format!("sk-{}", random(48)), "openai-key"),
        (format!("ghp_{}", random(36)), "github-token"),
        (format!("gho_{}", random(36)), "github-token"),
        (format!("github_pat_{}", random(60)), "github-token"),
        (format!("glpat-{}", random(20)), "gitlab-token"),
        (format!("AKIA{upper}"), "aws-key"),
        (format!("ASIA{upper}"), "aws-key"),
        (format!("AIza{}", random(35)), "google-key"),
        (format!("ya29.{}", random(60)), "google-key"),
        (format!("xoxb-{}", random(40)), "slack-token"),
        (format!("xapp-{}", random(40)), "slack-token"),
        (format!("sk_live_{}", random(24)), "stripe-key"),
        (format!("whsec_{}", random(32)), "stripe-key"),
        (format!("npm_{}", random(36)), "package-token"),
        (format!("pypi-{}", random(60)), "package-token"),
        (format!("hf_{}", random(34)), "package-token"),
        (format!("eyJ{}.eyJ{}.{}", random(20), random(40), random(40)), "jwt"),
        (format!("eyJ{}.{}.{}", random(20), random(40), random(40)), "jwt"),
        (format!("sk-or-{}", random(16)), "openai-key"),
    ]
}

#[test]
fn a_secret_is_found_wherever_it_stands() {
    for (secret, kind) in secrets() {
        for around in [
            "%",
            "key: %",
            "\"%\"",
            "{\"a\":\"%\"}",
            "(%)",
            "x=%;",
            "line\n%\nline",
            "line\\n%\\tline",
            "curl -u %:",
        ] {
            let text = around.replace('%', &secret);
            let redacted = redact(&text);
            assert!(!redacted.contains(&secret), "{text}: {redacted}");
            assert!(redacted.contains("[redacted:"), "{text}: {redacted} ({kind})");
        }
        assert_eq!(redact(&secret), format!("[redacted:{kind}]"));
    }
}

#[test]
fn a_secret_behind_its_name_goes_and_its_name_stays() {
    let secret = random(24);
    for (text, expected) in [
        ("API_KEY=%", "API_KEY=[redacted:secret]"),
        ("export DB_PASSWORD='hunter22'", "export DB_PASSWORD='[redacted:secret]'"),
        ("password: hunter22", "password: [redacted:secret]"),
        ("{\"token\": \"%\"}", "{\"token\": \"[redacted:secret]\"}"),
        ("{\\\"client_secret\\\":\\\"%\\\"}", "{\\\"client_secret\\\":\\\"[redacted:secret]\\\"}"),
        ("aws_secret_access_key = %", "aws_secret_access_key = [redacted:secret]"),
        ("Authorization: Bearer %", "Authorization: Bearer [redacted:bearer]"),
        ("Authorization: %", "Authorization: [redacted:bearer]"),
        ("{\"authorization\": \"Negotiate %\"}", "{\"authorization\": \"Negotiate [redacted:bearer]\"}"),
        ("https://%@example.org/a.git", "https://[redacted:password]@example.org/a.git"),
        ("export SIGNING_KEY=%", "export SIGNING_KEY=[redacted:secret]"),
        ("DB_PASS='%'", "DB_PASS='[redacted:secret]'"),
        (
            "-----BEGIN ED25519 PRIVATE KEY-----\n%\n-----END ED25519 PRIVATE KEY-----",
            "[redacted:private-key]",
        ),
        ("postgres://user:hunter22@host/db", "postgres://user:[redacted:password]@host/db"),
        ("https://x:%@github.com/a/b", "https://x:[redacted:password]@github.com/a/b"),
        ("-----BEGIN RSA PRIVATE KEY-----\\nMIIE%\\n-----END RSA PRIVATE KEY-----", "[redacted:private-key]"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl%\n%", "[redacted:private-key]"),
    ] {
        let text = text.replace('%', &secret);
        assert_eq!(redact(&text), expected, "{text}");
        assert_eq!(redact(&redact(&text)), expected, "twice");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "",
        "the tests pass",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "tree 6fc9242c0521ab3d9e8c7f60a1b2c3d4e5f60718",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "run_01a1fccc7ee1746ea43799c78cf9fe1b",
        "550e8400-e29b-41d4-a716-446655440000",
        "src/token/parser.rs:12: unexpected token",
        "let token = parser.next_token();",
        "max_tokens: 4096",
        "tokens: 123456, tokens_out=7890123",
        "token=$GITHUB_TOKEN",
        "password: ${DB_PASSWORD}",
        "secret: <your secret here>",
        "api_key = os.environ['KEY']",
        "key: value",
        "the key is under the mat",
        "keyboard: mechanical",
        "monkey=banana",
        "http://localhost:8080/path",
        "https://example.com/a:b@c",
        "git@github.com:org/repo.git",
        "sk-learn is a library",
        "task-force-one",
        "basic idea",
        "bearer of news",
        "password is required",
        "token_count=12",
        "Secret::new(text)",
        "passwd: null",
        "/etc/passwd:x",
        "std::env::var(\"API_KEY\")",
        "eyJhbGci",
        "access_key_id",
        "authorization: required for all of these routes",
        "cache_key=a1B2c3D4e5F6g7H8",
        "PRIMARY_KEY = $SIGNING_KEY_OF_A_BUILD",
        "ssh://build-and-release@host/a",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn a_value_loses_the_texts_of_its_secret_members_and_nothing_else() {
    let secret = random(30);
    let value = Value::from(json!({
        "env": {"API_TOKEN": secret, "HOME": "/home/a", "n": 7},
        "list": ["plain", format!("ghp_{}", random(36))],
        "password": "hunter22", "token": "short", "usage": {"input_tokens": "123456"},
    }));
    let redacted = redact_value(&value).expect("it has secrets");
    assert_eq!(
        redacted,
        Value::from(json!({
            "env": {"API_TOKEN": "[redacted:secret]", "HOME": "/home/a", "n": 7},
            "list": ["plain", "[redacted:github-token]"],
            "password": "[redacted:secret]", "token": "short", "usage": {"input_tokens": "123456"},
        }))
    );
    assert_eq!(redact_value(&redacted), None, "twice");
    assert_eq!(redact_value(&Value::from(json!({"a": [1, "b"]}))), None);
}

#[test]
fn the_first_secret_of_a_value_is_pointed_at() {
    let token = format!("ghp_{}", random(36));
    for (value, expected) in [
        (json!({"a": ["plain", {"b/c": token}], "password": "hunter22"}), Some("/a/1/b~1c")),
        (json!({"a": 1, "password": "hunter22"}), Some("/password")),
        (json!(token), Some("")),
        (json!({"a": ["plain"]}), None),
    ] {
        assert_eq!(secret_at(&Value::from(value.clone())).as_deref(), expected, "{value}");
    }
}

proptest! {
    #[test]
    fn a_secret_among_any_text_never_stays(
        before in "\\PC{0,60}", after in "\\PC{0,60}", which in 0..21_usize,
    ) {
        let (secret, _) = secrets().swap_remove(which);
        let text = format!("{before} {secret} {after}");
        let redacted = redact(&text).into_owned();
        prop_assert!(!redacted.contains(&secret), "{}", redacted);
        prop_assert_eq!(redact(&redacted).into_owned(), redacted.clone());
    }
}
