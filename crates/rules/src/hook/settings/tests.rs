use super::*;

const PROGRAM: &str = "/opt/it's/adjutant";

/// A file as people have it: in their order, with hooks of their own.
const OWN: &str = r#"{
  "model": "opus",
  "hooks": {
    "Stop": [
      {
        "hooks": [
          {
            "type": "command",
            "command": "notify-send done"
          }
        ]
      }
    ],
    "PreToolUse": []
  },
  "env": {
    "A": "1",
    "0": 1.5
  }
}
"#;

#[test]
fn our_entries_stand_behind_those_that_are_there_and_twice_is_once() {
    for flavour in [HookFlavour::Claude, HookFlavour::Codex] {
        let once = merged(OWN, flavour, PROGRAM).unwrap();
        assert_eq!(merged(&once, flavour, PROGRAM).unwrap(), once);
        assert_eq!(installed(&once).unwrap().len(), events(flavour).len());
        let stop = Json::parse(&once).unwrap().get("hooks").unwrap().get("Stop").unwrap().clone();
        let Json::Array(entries) = stop else { panic!("a list") };
        assert_eq!(entries.len(), 2, "the person's first");
        assert!(once.starts_with("{\n  \"model\": \"opus\",\n  \"hooks\": {\n    \"Stop\""), "{once}");
        assert!(once.contains(r#"'/opt/it'\\''s/adjutant' hook PreToolUse"#), "{once}");
        let own = ForeignHook { event: "Stop".into(), runs: "notify-send done".into() };
        assert_eq!(foreign(&once).unwrap(), [own]);
        let moved = merged(&once, flavour, "/elsewhere/adjutant").unwrap();
        assert!(!moved.contains("/opt/") && installed(&moved).unwrap().len() == events(flavour).len());
    }
}

#[test]
fn what_is_removed_is_ours_and_what_is_empty_because_of_it() {
    let without = OWN.replace(",\n    \"PreToolUse\": []", "");
    let once = merged(OWN, HookFlavour::Claude, PROGRAM).unwrap();
    assert_eq!(removed(&once), Ok(Removed::Text(without)));
    assert_eq!(removed(OWN), Ok(Removed::Nothing));
    assert_eq!(removed(&fresh(HookFlavour::Codex, PROGRAM)), Ok(Removed::Empty));
    assert_eq!(removed(""), Ok(Removed::Nothing));
    let beside = r#"{"hooks":{"Stop":[{"matcher":"","hooks":[{"type":"command","command":"/x/adjutant hook Stop"},{"type":"command","command":"mine"}]}]}}"#;
    let Ok(Removed::Text(left)) = removed(beside) else { panic!("something is left") };
    assert!(left.contains("mine") && !left.contains("adjutant"), "{left}");
}

#[test]
fn only_our_own_command_is_ours() {
    for (command, event, ours) in [
        ("'/a b/adjutant' hook Stop", "Stop", true),
        ("/x/adjutant hook Stop", "Stop", true),
        ("adjutant hook", "Stop", true),
        ("/x/adjutant hook Stop", "PreToolUse", false),
        ("/x/myadjutant hook Stop", "Stop", false),
        ("adjutant hook Stop; mine", "Stop", false),
        ("adjutant run x", "Stop", false),
    ] {
        let hook = Json::Object(vec![("command".to_owned(), Json::Other(command.into()))]);
        assert_eq!(is_ours(event, &hook), ours, "{command}");
    }
}

#[test]
fn what_is_malformed_is_not_touched() {
    for (text, says) in [
        ("{", "no JSON"),
        ("{} // mine", "no JSON"),
        ("[]", "`the file` is not an object"),
        (r#"{"hooks":[]}"#, "`hooks` is not an object"),
        (r#"{"hooks":{"Stop":{}}}"#, "`hooks.Stop` is not a list"),
    ] {
        let error = merged(text, HookFlavour::Claude, PROGRAM).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn the_override_of_codex_is_a_table_of_its_configuration() {
    let read: toml::Table = codex_override(PROGRAM).parse().unwrap();
    let hook = &read["hooks"]["PreToolUse"][0]["hooks"][0];
    assert_eq!(hook["command"].as_str(), Some(r"'/opt/it'\''s/adjutant' hook PreToolUse"));
    assert_eq!(hook["timeout"].as_integer(), Some(3600));
    assert_eq!(read["hooks"]["Interrupt"][0]["hooks"][0]["timeout"].as_integer(), Some(3));
    assert_eq!(read["hooks"].as_table().map(toml::Table::len), Some(CODEX.len()));
}
