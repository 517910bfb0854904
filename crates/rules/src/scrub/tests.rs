//! Each rule with what it takes and what it leaves, their order, and that a second time changes nothing. The samples are
//! put together here so that no scanner finds them.

use super::{SCRUBBED_BYTES_MAX, Scrubber};
use proptest::prelude::*;

fn random(len: usize) -> String {
    "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYz".chars().cycle().take(len).collect()
}

#[track_caller]
fn check(text: &str, expected: &str, patterns: &[&str]) {
    let mut scrubber = Scrubber::default();
    assert_eq!(scrubber.scrub(text), expected, "{text}");
    let told: Vec<String> = scrubber.changes().into_iter().map(|change| change.pattern).collect();
    assert_eq!(told, patterns, "{text}");
    let mut again = Scrubber::default();
    assert_eq!(again.scrub(expected), expected, "twice: {text}");
    assert!(again.changes().is_empty(), "twice: {text}: {:?}", again.changes());
}

#[test]
fn each_rule_takes_what_it_is_for() {
    let (r16, r20, r36) = (random(16), random(20), random(36));
    let upper = "Q7W2E9R4T6Y1U3I5";
    for (text, expected, pattern) in [
        (
            format!("a\n-----BEGIN RSA PRIVATE KEY-----\nMII{r36}\n-----END RSA PRIVATE KEY-----\nb"),
            "a\n[redacted:private-key]\nb",
            "PemPrivateKey",
        ),
        (format!("-----BEGIN PRIVATE KEY-----\nMII{r36}"), "[redacted:private-key]", "PemPrivateKey"),
        (
            format!("Authorization: Negotiate {r16} more"),
            "Authorization: [redacted:bearer-token]",
            "BearerToken",
        ),
        (
            format!("{{\"authorization\": \"Bearer {r20}\", \"n\": 1}}"),
            "{\"authorization\": \"[redacted:bearer-token]\", \"n\": 1}",
            "BearerToken",
        ),
        (
            format!("sent bearer {r20}, got 401"),
            "sent bearer [redacted:bearer-token], got 401",
            "BearerToken",
        ),
        (format!("got eyJ{r16}.{r16}.{r20}!"), "got [redacted:jwt]!", "JwtToken"),
        (format!("sk-{r16}"), "[redacted:api-key]", "SkApiKey"),
        (format!("(sk-ant-{r36})"), "([redacted:api-key])", "SkApiKey"),
        (format!("sk-or-{r16} sk-proj-{r16}"), "[redacted:api-key] [redacted:api-key]", "SkApiKey"),
        (format!("ghp_{r36}"), "[redacted:github-token]", "GithubToken"),
        (format!("x=ghs_{r36};"), "x=[redacted:github-token];", "GithubToken"),
        (format!("github_pat_{r36}"), "[redacted:github-token]", "GithubToken"),
        (format!("AKIA{upper}"), "[redacted:aws-key]", "AwsKey"),
        (format!("AIza{}", random(35)), "[redacted:google-key]", "GoogleKey"),
        (format!("xoxb-{r20}"), "[redacted:slack-token]", "SlackToken"),
        (
            "postgres://me:hunter2@host:5432/db".into(),
            "postgres://[redacted:conn-string]@host:5432/db",
            "ConnString",
        ),
        ("amqp://me:p@ss@host".into(), "amqp://[redacted:conn-string]@host", "ConnString"),
        ("DB_PASSWORD=hunter 2".into(), "DB_PASSWORD=[redacted:env-secret]", "EnvSecret"),
        ("a\n  export api_key = x\nb".into(), "a\n  export api_key = [redacted:env-secret]\nb", "EnvSecret"),
        ("env HOME=x MY_PASS=short end".into(), "env HOME=x MY_PASS=[redacted:env-secret] end", "EnvSecret"),
        ("run A_TOKEN='a b' it".into(), "run A_TOKEN=[redacted:env-secret] it", "EnvSecret"),
        ("open /home/alice/work/x.rs: gone".into(), "open ~/x.rs: gone", "AbsolutePath"),
        ("/home/alice".into(), "~", "AbsolutePath"),
        ("in \"/srv/a/b\" and /srv/c/d".into(), "in \"~/b\" and ~/d", "AbsolutePath"),
        ("file:///home/alice/work/x".into(), "file://~/x", "AbsolutePath"),
        (r"at C:\Users\alice\x.rs:3".into(), r"at ~\x.rs:3", "WindowsPath"),
        (r"at C:\\Users\\alice\\x.rs".into(), r"at ~\x.rs", "WindowsPath"),
        (r"on \\server\share\x".into(), r"on ~\x", "WindowsPath"),
    ] {
        check(&text, expected, &[pattern]);
    }
}

#[test]
fn the_rules_go_in_their_order_and_tell_how_often() {
    let token = format!("ghp_{}", random(36));
    let text = format!(
        "/srv/a/b {token} https://x:{token}@h/y {token}\nTOKEN={token}\nAuthorization: Bearer {token}"
    );
    let mut scrubber = Scrubber::default();
    let scrubbed = scrubber.scrub(&text);
    assert!(!scrubbed.contains("ghp_"), "{scrubbed}");
    let told: Vec<_> = scrubber.changes().into_iter().map(|c| format!("{} {}", c.pattern, c.hint)).collect();
    assert_eq!(
        told,
        [
            "BearerToken bearer token or authorization header (1)",
            "GithubToken GitHub token (4)",
            "ConnString user and password of an address (1)",
            "AbsolutePath absolute path (1)",
        ]
    );
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "",
        "the store refuses writes",
        "the disk that holds the store failed",
        "run_01a1fccc7ee1746ea43799c78cf9fe1b",
        "550e8400-e29b-41d4-a716-446655440000",
        "sk-learn is a library, a task-force-of-many-more-words is none",
        "https://example.com/a/b?c=d",
        "crates/engine/src/runs/owner.rs:504",
        "a/b and 1/2, s/x/y/",
        "bearer of news",
        "count=3 state=open",
        "HOME=x",
        "xoxo",
        "eyJhbGci",
        "C: drive",
        "git@github.com:org/repo.git",
    ] {
        check(text, text, &[]);
    }
}

#[test]
fn a_long_text_is_cut_at_a_character_and_not_within_a_mark() {
    for text in ["ä".repeat(20_000), "x ".repeat(20_000), format!("{}ghp_{}", "y ".repeat(8_185), random(36))]
    {
        let mut scrubber = Scrubber::default();
        let scrubbed = scrubber.scrub(&text);
        assert!(scrubbed.len() <= SCRUBBED_BYTES_MAX && scrubbed.ends_with("\n[cut]"), "{}", scrubbed.len());
        assert!(!scrubbed.contains("[redacted:g") || scrubbed.contains("[redacted:github-token]"));
        assert_eq!(scrubber.changes().last().map(|change| change.pattern.as_str()), Some("Truncation"));
        assert_eq!(Scrubber::default().scrub(&scrubbed), scrubbed, "twice");
    }
}

fn seeds() -> Vec<String> {
    vec![
        format!("sk-ant-{}", random(40)),
        format!("ghp_{}", random(36)),
        "AKIAQ7W2E9R4T6Y1U3I5".to_owned(),
        format!("AIza{}", random(35)),
        format!("xoxb-{}", random(40)),
        format!("eyJ{}.eyJ{}.{}", random(20), random(40), random(40)),
    ]
}

proptest! {
    #[test]
    fn a_secret_among_any_text_goes_and_a_second_time_changes_nothing(
        before in "[ -~\\n]{0,80}", after in "\\PC{0,60}", which in 0..6_usize,
    ) {
        let secret = seeds().swap_remove(which);
        let scrubbed = Scrubber::default().scrub(&format!("{before} {secret} {after}"));
        prop_assert!(!scrubbed.contains(&secret), "{}", scrubbed);
        prop_assert_eq!(Scrubber::default().scrub(&scrubbed), scrubbed.clone());
    }
}
