use super::*;
use crate::document::Lint;

const PLACES: Places<'static> = Places { data_folder: "/home/a/.local/share/adjutant" };

fn call(tool: &str, parameters: &str) -> ToolCall {
    let parameters = serde_json::from_str(parameters).expect("the parameters are JSON");
    ToolCall { tool: tool.to_owned(), parameters }
}

fn wire(json: &str) -> Result<PolicyRule, Vec<Lint>> {
    read_wire(&serde_json::from_str(json).expect("the rule is JSON"))
}

fn rules(toml: &str) -> Vec<PolicyRule> {
    read_toml(toml, &PLACES).expect("the rules are valid")
}

#[test]
fn a_glob_matches_the_whole_text() {
    let rows = [
        ("rm", "rm", true),
        ("rm", "rm ", false),
        ("rm", "RM", false),
        ("rm*", "rm -rf /", true),
        ("*rm", "xrm", true),
        ("*rm*", "a rm b", true),
        ("*", "", true),
        ("**", "a/b\nc", true),
        ("?", "é", true),
        ("?", "", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("*aab", "aaaab", true),
        ("/data/*", "/data/x/y", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("\\\\", "\\", true),
        ("[ab]", "[ab]", true),
    ];
    for (glob, text, expected) in rows {
        assert_eq!(Glob::new(glob).expect("the glob is valid").is_match(text), expected, "{glob} {text:?}");
    }
    for text in ["a*b?c\\d", "*", ""] {
        let escaped = Glob::escape(text) + "*";
        assert!(Glob::new(&escaped).expect("an escaped text is a glob").is_match(text), "{text}");
    }
}

#[test]
fn a_glob_that_says_nothing_is_refused() {
    assert_eq!(Glob::new(""), Err(InvalidGlob::Empty));
    assert_eq!(Glob::new("a\\"), Err(InvalidGlob::DanglingEscape("a\\".to_owned())));
    assert_eq!(Glob::new(&"a".repeat(5000)), Err(InvalidGlob::TooLong));
}

#[test]
fn many_stars_take_no_exponential_time() {
    let glob = Glob::new(&"a*".repeat(100)).expect("the glob is valid");
    assert!(!glob.is_match(&("a".repeat(99) + &"b".repeat(10_000))));
}

#[test]
fn wire_rules_match_as_their_names_say() {
    let deny_tool = r#"{"rule": "deny_tool", "target": "shell"}"#;
    let deny_connector = r#"{"rule": "deny_connector", "target": "git"}"#;
    let deny_param =
        r#"{"rule": "deny_tool_param", "target": "shell", "key": "command", "pattern": "rm -rf"}"#;
    let require = r#"{"rule": "require_state", "key": "approved", "value": true}"#;
    let require_null = r#"{"rule": "require_state", "key": "approved"}"#;
    let rows = [
        (deny_tool, call("shell", "{}"), "{}", true),
        (deny_tool, call("shell2", "{}"), "{}", false),
        (deny_connector, call("mcp_git_push", "{}"), "{}", true),
        (deny_connector, call("mcp_github_push", "{}"), "{}", false),
        (deny_connector, call("mcp_git", "{}"), "{}", false),
        (deny_param, call("shell", r#"{"command": "sudo rm -rf /"}"#), "{}", true),
        (deny_param, call("shell", r#"{"command": ["rm", "-rf", "/"]}"#), "{}", true),
        (deny_param, call("shell", r#"{"command": "RM -RF /"}"#), "{}", false),
        (deny_param, call("shell", r#"{"other": "rm -rf"}"#), "{}", false),
        (deny_param, call("bash", r#"{"command": "rm -rf"}"#), "{}", false),
        (require, call("any", "{}"), r#"{"approved": true}"#, false),
        (require, call("any", "{}"), r#"{"approved": "true"}"#, true),
        (require, call("any", "{}"), "{}", true),
        (require, call("any", "{}"), "null", true),
        (require_null, call("any", "{}"), r#"{"approved": null}"#, false),
        (require_null, call("any", "{}"), "{}", true),
    ];
    for (rule, call, state, denied) in rows {
        let rule = wire(rule).expect("the rule is valid");
        let state = serde_json::from_str(state).expect("the state is JSON");
        let verdict = judge(std::slice::from_ref(&rule), PolicyEffect::Allow, &call, &state);
        assert_eq!(verdict.effect == PolicyEffect::Deny, denied, "{rule:?} {call:?}");
        assert_eq!(verdict.rule.is_some(), denied);
    }
}

#[test]
fn a_wire_rule_that_is_unclear_is_refused() {
    let rows = [
        (r#"{"rule": "deny_all"}"#, "unknown-kind", "/rule"),
        (r#"{"rule": "deny_tool"}"#, "missing-field", ""),
        (r#"{"rule": "deny_tool", "target": ""}"#, "empty", "/target"),
        (r#"{"rule": "deny_tool", "target": 5}"#, "wrong-type", "/target"),
        (r#"{"rule": "deny_tool", "target": "x", "patern": "y"}"#, "unknown-field", "/patern"),
        (r#"{"rule": "deny_tool", "target": "x", "pattern": "y"}"#, "unread-field", "/pattern"),
        (r#"{"rule": "deny_connector", "target": " "}"#, "empty", "/target"),
        (r#"{"rule": "deny_tool_param", "target": "x", "key": "k", "pattern": ""}"#, "empty", "/pattern"),
        (r#"{"rule": "deny_tool_param", "target": "x", "pattern": "p"}"#, "missing-field", ""),
        (r#"{"rule": "require_state", "key": ""}"#, "empty", "/key"),
        (r#"{"target": "x"}"#, "missing-field", ""),
        (r#"[]"#, "wrong-type", ""),
    ];
    for (rule, name, pointer) in rows {
        let lints = wire(rule).expect_err("the rule must be refused");
        assert_eq!((lints[0].name, lints[0].pointer.as_str()), (name, pointer), "{rule}");
    }
}

#[test]
fn a_wire_rule_without_a_name_gets_one() {
    let name = |json: &str| wire(json).expect("the rule is valid").name;
    assert_eq!(name(r#"{"rule": "deny_tool", "target": "x", "key": "", "value": null}"#), "deny_tool x");
    assert_eq!(name(r#"{"name": "mine", "rule": "deny_tool", "target": "x"}"#), "mine");
}

#[test]
fn a_policy_file_that_is_unclear_is_refused() {
    let rule = "[[rule]]\nname = \"n\"\neffect = \"deny\"\ntool = \"x\"\n";
    let rows = [
        ("rule = 1".to_owned(), "wrong-type", "/rule"),
        ("[[rules]]\n".to_owned(), "unknown-field", "/rules"),
        ("[[rule]\n".to_owned(), "invalid-toml", ""),
        ("[[rule]]\nname = \"n\"\neffect = \"deny\"".to_owned(), "missing-field", "/rule/0"),
        (rule.replace("deny", "ask"), "unknown-effect", "/rule/0/effect"),
        (rule.replace("\"x\"", "\"\""), "invalid-pattern", "/rule/0/tool"),
        (rule.replace("\"x\"", "[\"x\"]"), "wrong-type", "/rule/0/tool"),
        (rule.replace("\"n\"", "\"\""), "empty", "/rule/0/name"),
        (format!("{rule}priority = 1"), "unknown-field", "/rule/0/priority"),
        (format!("{rule}params = {{ a = \"\" }}"), "invalid-pattern", "/rule/0/params/a"),
        (format!("{rule}params = {{ a = 'x\\' }}"), "invalid-pattern", "/rule/0/params/a"),
        (format!("{rule}params = {{ a = 5 }}"), "wrong-type", "/rule/0/params/a"),
        (format!("{rule}params = {{ a = [] }}"), "empty", "/rule/0/params/a"),
        (format!("{rule}params = {{ a = [\"x\", 1] }}"), "wrong-type", "/rule/0/params/a/1"),
        (format!("{rule}params = {{ \"a|\" = \"x\" }}"), "empty", "/rule/0/params/a|"),
        (format!("{rule}params = \"x\""), "wrong-type", "/rule/0/params"),
    ];
    for (toml, name, pointer) in rows {
        let lints = read_toml(&toml, &PLACES).expect_err("the file must be refused");
        assert_eq!((lints[0].name, lints[0].pointer.as_str()), (name, pointer), "{toml}");
    }
    assert_eq!(read_toml("", &PLACES), Ok(Vec::new()));
}

#[test]
fn deny_wins_and_every_match_is_told() {
    let rules = rules(
        r#"
        [[rule]]
        name = "shell"
        effect = "allow"
        tool = "shell"
        [[rule]]
        name = "no-rm"
        effect = "deny"
        tool = "*"
        params = { "command|cmd" = ["rm *", "unlink *"] }
        reason = "removes files"
        [[rule]]
        name = "no-root"
        effect = "deny"
        tool = "sh?ll"
        params = { "*" = "*/root*", command = "*" }
        "#,
    );
    let rows = [
        ("shell", r#"{"command": "ls"}"#, PolicyEffect::Allow, Some("shell"), vec!["shell"]),
        ("shell", r#"{"cmd": "unlink a"}"#, PolicyEffect::Deny, Some("no-rm"), vec!["shell", "no-rm"]),
        ("shell", r#"{"command": ["rm", "a"]}"#, PolicyEffect::Deny, Some("no-rm"), vec!["shell", "no-rm"]),
        (
            "shell",
            r#"{"command": "rm a", "env": {"deep": ["x", "/root/k"]}}"#,
            PolicyEffect::Deny,
            Some("no-rm"),
            vec!["shell", "no-rm", "no-root"],
        ),
        ("shell", r#"{"env": "/root"}"#, PolicyEffect::Allow, Some("shell"), vec!["shell"]),
        ("read", r#"{"path": "/root"}"#, PolicyEffect::Deny, None, vec![]),
    ];
    for (tool, parameters, effect, rule, matched) in rows {
        let verdict = judge(&rules, PolicyEffect::Deny, &call(tool, parameters), &Value::Null);
        assert_eq!(
            (verdict.effect, verdict.rule.as_deref()),
            (effect, rule),
            "{tool} {parameters} {verdict:?}"
        );
        assert_eq!(verdict.matched, matched);
    }
    let both = call("shell", r#"{"command": "rm /root"}"#);
    let verdict = judge(&rules, PolicyEffect::Allow, &both, &Value::Null);
    let reason = "policy `no-rm`: removes files; policy `no-root`: tool 'sh?ll', param '*' matches '*/root*', \
                  param 'command' matches '*'";
    assert_eq!(verdict.reason, reason);
}

#[test]
fn without_a_matching_rule_the_default_decides() {
    for default in [PolicyEffect::Allow, PolicyEffect::Deny] {
        let verdict = judge(&[], default, &call("x", "{}"), &Value::Null);
        assert_eq!((verdict.effect, verdict.rule), (default, None));
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_denies_even_when_it_would_allow() {
    let matcher = PolicyMatcher::Pattern { tool: "x\\".to_owned(), params: Vec::new() };
    let rule = PolicyRule { name: "broken".to_owned(), effect: PolicyEffect::Allow, matcher, reason: None };
    let verdict = judge(&[rule], PolicyEffect::Allow, &call("y", "{}"), &Value::Null);
    assert_eq!(verdict.effect, PolicyEffect::Deny);
    assert!(verdict.reason.contains("cannot be evaluated"), "{}", verdict.reason);
}

#[test]
fn parameters_are_matched_as_the_text_they_are() {
    let rows = [
        (r#"{"n": 42}"#, "n", "42", true),
        (r#"{"n": true}"#, "n", "true", true),
        (r#"{"n": null}"#, "n", "null", true),
        (r#"{"n": {"b": 1, "a": 2}}"#, "n", r#"{"a":2,"b":1}"#, true),
        (r#"{"n": ["a", 1]}"#, "n", "a 1", false),
        (r#"{"n": ["a", "b"]}"#, "n", "a b", true),
        (r#"{"n": {"m": ["a", "b"]}}"#, "n", "a b", false),
        (r#"{"n": {"m": ["a", "b"]}}"#, "*", "a b", true),
        (r#"{"n": {"m": {"k": "deep"}}}"#, "*", "deep", true),
        (r#"{"key": "x"}"#, "*", "key", false),
        (r#""text""#, "*", "text", true),
        (r#"["rm", "-rf"]"#, "*", "rm -rf", true),
        (r#""text""#, "n", "text", false),
        ("{}", "n", "*", false),
    ];
    for (parameters, key, glob, expected) in rows {
        let matcher =
            PolicyMatcher::Pattern { tool: "*".to_owned(), params: vec![(key.to_owned(), glob.to_owned())] };
        let rule = PolicyRule { name: "r".to_owned(), effect: PolicyEffect::Deny, matcher, reason: None };
        let verdict = judge(&[rule], PolicyEffect::Allow, &call("t", parameters), &Value::Null);
        assert_eq!(verdict.rule.is_some(), expected, "{parameters} {key} {glob}");
    }
}

/// Judges calls by the policy of a fresh install; `-` stands for no rule at all.
#[test]
fn the_default_policy_lets_work_happen_and_refuses_destruction() {
    let rules = rules(DEFAULT_POLICY);
    let shell = [
        ("ls -la", "-"),
        ("cargo test --workspace", "-"),
        ("git commit -m 'x'", "-"),
        ("git push -u origin feature", "-"),
        ("rm -rf target", "-"),
        ("rm -rf ./build && mkdir build", "-"),
        ("rm notes.txt", "-"),
        ("npm install && npm test", "-"),
        ("curl https://example.org/a.tar.gz", "-"),
        ("dd if=a.img of=b.img", "-"),
        ("echo shutdown", "-"),
        ("cat src/reboot.rs", "-"),
        ("kill -9 4711", "-"),
        ("chmod +x run.sh", "-"),
        ("cat /home/a/.local/share/adjutant/workspaces/run_1/src/main.rs", "-"),
        ("cat /home/a/.local/share/other/token", "-"),
        ("rm -rf /", "delete-outside-the-workspace"),
        ("rm -rf /*", "delete-outside-the-workspace"),
        ("rm -rf /home", "delete-outside-the-workspace"),
        ("cd x && rm -fr /etc", "delete-outside-the-workspace"),
        ("sudo rm -r -f /usr", "delete-outside-the-workspace"),
        ("rm -rf ~", "delete-outside-the-workspace"),
        ("rm -rf ~/work", "delete-outside-the-workspace"),
        ("rm -rf $HOME", "delete-outside-the-workspace"),
        ("rm -rf \"$HOME\"", "delete-outside-the-workspace"),
        ("rm -rf ../other", "delete-outside-the-workspace"),
        ("rm -rf .git", "delete-outside-the-workspace"),
        ("git push --force", "rewrite-shared-history"),
        ("git push origin main --force", "rewrite-shared-history"),
        ("git push -f origin main", "rewrite-shared-history"),
        ("git push --force-with-lease", "rewrite-shared-history"),
        ("git push origin --delete main", "rewrite-shared-history"),
        ("mkfs.ext4 /dev/sda1", "destroy-disks"),
        ("sudo mkfs /dev/sda", "destroy-disks"),
        ("dd if=/dev/zero of=/dev/sda bs=1M", "destroy-disks"),
        ("echo x > /dev/sda", "destroy-disks"),
        ("shutdown -h now", "stop-the-machine"),
        ("sudo shutdown now", "stop-the-machine"),
        ("true && reboot", "stop-the-machine"),
        ("systemctl poweroff", "stop-the-machine"),
        (":(){ :|:& };:", "stop-the-machine"),
        ("chmod -R 777 /", "open-the-machine"),
        ("echo k >> ~/.ssh/authorized_keys", "open-the-machine"),
        ("cat /home/a/.local/share/adjutant/token", "data-folder-files"),
        ("sqlite3 /home/a/.local/share/adjutant/store.db .dump", "data-folder-files"),
        ("ls /home/a/.local/share/adjutant", "data-folder"),
        ("ls -la /home/a/.local/share/adjutant/", "data-folder"),
        ("cat /home/a/.local/share/adjutant/*", "data-folder"),
        ("cd /home/a/.local/share/adjutant; cat token", "data-folder"),
        ("cd /home/a/.local/share/adjutant && cat token", "data-folder"),
    ];
    let other = [
        ("Read", r#"{"file_path": "/home/a/.local/share/adjutant/token"}"#, "data-folder-files"),
        ("Glob", r#"{"path": "/home/a/.local/share/adjutant"}"#, "data-folder"),
        ("Read", r#"{"file_path": "/home/a/.local/share/adjutant/workspaces/run_1/a.rs"}"#, "-"),
        ("Write", r#"{"file_path": "README.md", "content": "never run rm -rf / here"}"#, "-"),
        (
            "mcp_fs_read",
            r#"{"paths": ["a", "/home/a/.local/share/adjutant/daemon.json"]}"#,
            "data-folder-files",
        ),
        ("shell", r#"{"argv": ["rm", "-rf", "/"]}"#, "delete-outside-the-workspace"),
        ("step:function", r#"{"agent": "a", "input": 1}"#, "flows-run-their-steps"),
        ("step:command", r#"{"command": "cargo build"}"#, "flows-run-their-steps"),
        ("step:command", r#"{"command": "sh -c rm -rf /"}"#, "delete-outside-the-workspace"),
        ("step:command", r#"{"command": "agent", "input": "never run rm -rf /"}"#, "flows-run-their-steps"),
    ];
    let shell = shell.map(|(command, expected)| {
        let parameters = Value::object([("command", Value::from(command))]);
        (ToolCall { tool: "Bash".to_owned(), parameters }, expected)
    });
    let other = other.map(|(tool, parameters, expected)| (call(tool, parameters), expected));
    for (call, expected) in shell.into_iter().chain(other) {
        let verdict = judge(&rules, PolicyEffect::Allow, &call, &Value::Null);
        assert_eq!(verdict.rule.as_deref().unwrap_or("-"), expected, "{call:?}");
        let denied = !matches!(expected, "-" | "flows-run-their-steps");
        assert_eq!(verdict.effect == PolicyEffect::Deny, denied, "{call:?}");
        assert!(rules.iter().all(|rule| rule.reason.is_some()));
    }
}

#[test]
fn the_data_folder_is_taken_as_it_is_written() {
    let places = Places { data_folder: "/odd [*]?\\dir" };
    let toml =
        "[[rule]]\nname = \"d\"\neffect = \"deny\"\ntool = \"*\"\nparams = { \"*\" = \"{data_folder}/*\" }\n";
    let rules = read_toml(toml, &places).expect("the rules are valid");
    let judged = |path: &str| {
        let parameters = Value::object([("p", Value::from(path))]);
        judge(&rules, PolicyEffect::Allow, &ToolCall { tool: "r".to_owned(), parameters }, &Value::Null)
            .effect
    };
    assert_eq!(judged("/odd [*]?\\dir/token"), PolicyEffect::Deny);
    assert_eq!(judged("/odd [x]y\\dir/token"), PolicyEffect::Allow);
}
