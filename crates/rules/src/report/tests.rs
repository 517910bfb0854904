//! Which errors are the same, what an issue says, and what is admitted.

use super::{
    Admission, CRATES, HOUR_MS, Limit, SAME_ERROR_MS, admission, consent_hash, crate_of, draft, fingerprint,
    is_fingerprint, location, marker, normalised, repository, summary,
};
use adjutant_model::Timestamp;
use adjutant_model::report::{ErrorRecord, Filing, FilingState};

#[test]
fn what_differs_each_time_is_left_out_of_a_message() {
    for (message, expected) in [
        ("plain words", "plain words"),
        ("  spaced\n\tout ", "spaced out"),
        ("after 12 of 345 tries", "after <n> of <n> tries"),
        ("took 1.5s", "took <n>.<n>s"),
        ("took 15ms", "took <n>ms"),
        ("run run_01a1fccc7ee1746ea43799c78cf9fe1b is left", "run <id> is left"),
        ("goal g-0123456789abcdef", "goal <id>"),
        ("session 550e8400-e29b-41d4-a716-446655440000 ended", "session <id> ended"),
        ("tree 6fc9242c0521ab3d9e8c7f60a1b2c3d4e5f60718", "tree <n>"),
        ("at 0xdeadBEEF12", "at <n>"),
        ("open /home/a/b.txt: gone", "open <path>: gone"),
        ("open ~/b.txt: gone", "open <path>: gone"),
        ("in crates/engine/src/x.rs", "in <path>"),
        (r"in C:\Users\a\b.txt", "in <path>"),
        ("asked http://127.0.0.1:4100/v1/runs", "asked http:/<path>:<path>"),
        ("token [redacted:github-token] refused", "token <secret> refused"),
        ("a face and a decade", "a face and a decade"),
        ("größer als 3", "größer als <n>"),
    ] {
        assert_eq!(normalised(message), expected, "{message}");
        assert_eq!(normalised(&normalised(message)), normalised(message), "twice: {message}");
    }
}

#[test]
fn equal_errors_have_one_fingerprint_and_others_another() {
    let one = fingerprint("adjutant_engine::runs", "run 7 failed", Some("a.rs:1"));
    assert!(is_fingerprint(&one));
    assert_eq!(one, fingerprint("adjutant_engine::runs", "run 8 failed", Some("a.rs:1")));
    for other in [
        fingerprint("adjutant_engine::goals", "run 7 failed", Some("a.rs:1")),
        fingerprint("adjutant_engine::runs", "run 7 ended", Some("a.rs:1")),
        fingerprint("adjutant_engine::runs", "run 7 failed", Some("a.rs:2")),
        fingerprint("adjutant_engine::runs", "run 7 failed", None),
        fingerprint("adjutant_engine::run", "s run 7 failed", Some("a.rs:1")),
    ] {
        assert_ne!(one, other);
    }
    for wrong in ["", "abc", &one[1..], &one.to_uppercase(), &format!("{one}0"), &"g".repeat(64)] {
        assert!(!is_fingerprint(wrong), "{wrong}");
    }
}

#[test]
fn a_place_is_named_without_what_only_this_machine_has() {
    for (file, line, expected) in [
        ("crates/engine/src/x.rs", Some(7), "crates/engine/src/x.rs:7"),
        ("/home/a/.cargo/registry/src/index/tokio-1.2/src/x.rs", Some(7), "tokio-1.2/src/x.rs:7"),
        (r"C:\a\b\c\d.rs", None, "b/c/d.rs"),
        ("/x.rs", None, "x.rs"),
    ] {
        assert_eq!(location(file, line), expected, "{file}");
    }
    for (file, expected) in [
        ("crates/engine/src/plane.rs", Some("adjutant_engine")),
        ("/src/adjutant/crates/app/src/main.rs", Some("adjutant")),
        ("crates/evil/src/x.rs", None),
        ("src/lib.rs", None),
        ("mycrates/engine/src/x.rs", None),
    ] {
        assert_eq!(crate_of(file).as_deref(), expected, "{file}");
    }
}

fn error() -> ErrorRecord {
    let (target, message, place) = ("adjutant_engine::runs::owner", "the run cannot\nbe written", "a.rs:7");
    ErrorRecord {
        fingerprint: fingerprint(target, message, Some(place)),
        target: target.to_owned(),
        version: "0.1.0".to_owned(),
        message: message.to_owned(),
        fields: "error=the disk is full\n".to_owned(),
        location: Some(place.to_owned()),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        occurrences: 3,
        first_seen_at: Timestamp::from_unix_ms(1_000),
        last_seen_at: Timestamp::from_unix_ms(2_000),
        scrub_changes: Vec::new(),
    }
}

#[test]
fn an_issue_says_what_was_where_how_often_and_on_what() {
    let error = error();
    let draft = draft(&error);
    assert_eq!(draft.title, "[adjutant_engine::runs::owner] the run cannot be written");
    assert_eq!(summary(&error), format!("{} (a.rs:7)", draft.title));
    assert_eq!(draft.labels, ["bug", "auto-reported", "adjutant-engine"]);
    let expected = format!(
        "{}\nAn error that Adjutant met, as its user has agreed to tell.\n\n| | |\n| --- | --- |\n\
         | crate | adjutant_engine::runs::owner 0.1.0 |\n| system | linux x86_64 |\n\
         | seen | 3 times, 1970-01-01T00:00:01.000Z to 1970-01-01T00:00:02.000Z |\n| where | a.rs:7 |\n\n\
         ```text\nthe run cannot\nbe written\n```\n\n```text\nerror=the disk is full\n```\n",
        marker(&error.fingerprint)
    );
    assert_eq!(draft.body, expected);
}

#[test]
fn what_an_error_says_stays_text_and_passes_for_no_other_error() {
    let other = marker(&"0".repeat(64));
    let mut error = error();
    error.message = format!("```\n{other}\n@everyone ````x\u{1b}[2J");
    error.location = Some("a|b`c\n<!--".to_owned());
    let draft = draft(&error);
    assert!(!draft.body.contains(&other), "{}", draft.body);
    assert!(draft.body.contains("\n`````text\n```\n"), "{}", draft.body);
    assert!(draft.body.contains("| where | a/b c  !-- |"), "{}", draft.body);
    assert!(!draft.body.contains('\u{1b}') && !draft.title.contains(['\n', '\u{1b}']));
    error.message = "ü".repeat(500);
    assert_eq!(super::draft(&error).title.chars().count(), 200);
    error.target = "elsewhere::x".to_owned();
    assert_eq!(super::draft(&error).labels, ["bug", "auto-reported"]);
}

#[test]
fn consent_names_every_word_and_where_it_goes() {
    let draft = draft(&error());
    let hash = consent_hash(Some("https://api.github.com o/r"), &draft);
    assert!(is_fingerprint(&hash));
    let mut other = draft.clone();
    other.title.push('x');
    let mut labelled = draft.clone();
    labelled.labels.pop();
    for different in [
        consent_hash(Some("https://api.github.com o/other"), &draft),
        consent_hash(None, &draft),
        consent_hash(Some("https://api.github.com o/r"), &other),
        consent_hash(Some("https://api.github.com o/r"), &labelled),
    ] {
        assert_ne!(hash, different);
    }
}

fn filing(fingerprint: &str, state: FilingState, owner: &str, begun_ms: u64) -> Filing {
    Filing {
        id: format!("{fingerprint}-{begun_ms}"),
        fingerprint: fingerprint.to_owned(),
        preview: "p".to_owned(),
        state,
        owner: owner.to_owned(),
        begun_at: Timestamp::from_unix_ms(0).plus_ms(begun_ms),
        issue: None,
    }
}

#[test]
fn one_report_of_an_error_is_filed_a_day_and_ten_of_all_an_hour() {
    use FilingState::{Begun, Failed, Filed, Uncertain};
    let at = |ms: u64| Timestamp::from_unix_ms(0).plus_ms(ms);
    let of_day = Admission::Limited(Limit::SameError { until: at(SAME_ERROR_MS) });
    let filed = [filing("a", Filed, "d1", 0)];
    for (fingerprint, now, expected) in [
        ("a", 0, of_day),
        ("a", SAME_ERROR_MS - 1, of_day),
        ("a", SAME_ERROR_MS, Admission::New),
        ("b", 0, Admission::New),
    ] {
        assert_eq!(admission(&filed, fingerprint, "d1", at(now)), expected, "{fingerprint} {now}");
    }
    let ten: Vec<Filing> = (0..10).map(|n| filing(&format!("f{n}"), Filed, "d1", n)).collect();
    let hourly = Admission::Limited(Limit::Hourly { until: at(HOUR_MS) });
    assert_eq!(admission(&ten, "x", "d1", at(20)), hourly);
    assert_eq!(admission(&ten, "x", "d1", at(HOUR_MS)), Admission::New, "the first is an hour ago");
    assert_eq!(admission(&ten[1..], "x", "d1", at(20)), Admission::New);
    let same_first = Admission::Limited(Limit::SameError { until: at(SAME_ERROR_MS) });
    assert_eq!(admission(&ten, "f0", "d1", at(20)), same_first, "the error's own limit is told first");
    let failed = [filing("a", Failed, "d1", 0)];
    assert_eq!(admission(&failed, "a", "d1", at(1)), Admission::New);
    let uncertain = [filing("a", Uncertain, "d1", 0)];
    assert_eq!(admission(&uncertain, "a", "d1", at(1)), Admission::Again(&uncertain[0]));
    let begun = [filing("a", Begun, "d1", 0)];
    assert_eq!(admission(&begun, "a", "d1", at(1)), Admission::Limited(Limit::UnderWay));
    assert_eq!(admission(&begun, "a", "d2", at(1)), Admission::Again(&begun[0]), "its daemon is gone");
}

#[test]
fn a_repository_is_an_owner_and_a_name() {
    for good in ["a/b", "adjutant/adjutant", "A-1/b_c.d"] {
        assert_eq!(repository(good), Ok(good));
    }
    for wrong in ["", "a", "a/", "/b", "a/b/c", "a b/c", "../b", "a/..", "a/b?x", "ä/b"] {
        assert!(repository(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_crate_has_a_label() {
    assert!(CRATES.iter().all(|name| name.starts_with("adjutant")));
}
