use super::*;
use crate::document::Lint;
use adjutant_model::policy::{ParamPattern, PolicyMatcher, PolicyPattern, PolicyRule};
use adjutant_model::shell::ShellCommand;

mod scopes;
mod shipped;
mod uncertain;

const PLACES: Places<'static> = Places { data_folder: "/home/a/.local/share/adjutant" };
const WORKSPACE: &str = "/home/a/.local/share/adjutant/workspaces/run_1";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the text is JSON")
}

fn wire(json: &str) -> Result<PolicyRule, Vec<Lint>> {
    read_wire(&serde_json::from_str(json).expect("the rule is JSON"))
}

#[track_caller]
fn rules(toml: &str) -> Vec<PolicyRule> {
    read_file(toml, &PLACES).expect("the rules are valid").rules
}

fn plane(rules: impl IntoIterator<Item = PolicyRule>) -> PolicySet {
    PolicySet::new(PolicyScope::Plane, rules)
}

fn now() -> Timestamp {
    Timestamp::parse("2026-03-04T19:30:00Z").expect("the text is an instant")
}

fn judged(set: &PolicySet, tool: &str, parameters: &Value) -> Verdict {
    judge(&[set], &Subject::new(tool, parameters, now()))
}

/// Writes down a parsed line: commands with ` ; ` between them, words with spaces, `[sudo]` for a prefix, `>file` for
/// a redirection, `?` for a program that only the run can tell, and `!why` for what cannot be read.
fn line(text: &str) -> ShellLine {
    let mut line = ShellLine::default();
    for part in text.split(" ; ") {
        match part.strip_prefix('!') {
            Some(why) => line.opaque.push(why.to_owned()),
            None => line.commands.push(command(part)),
        }
    }
    line
}

fn command(text: &str) -> ShellCommand {
    let mut command = ShellCommand::default();
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(by) = words.next_if(|word| word.starts_with('[')) {
        command.wrappers.push(by.trim_matches(['[', ']']).replace('_', " "));
    }
    let program = words.next().unwrap_or_default();
    command.program = if program == "?" { String::new() } else { program.to_owned() };
    let mut only_operands = false;
    for word in words {
        if let Some(file) = word.strip_prefix('>') {
            command.writes.push(file.to_owned());
            continue;
        }
        command.args.push(word.to_owned());
        match word {
            "--" => only_operands = true,
            long if !only_operands && long.starts_with("--") => {
                command.flags.push(long.split('=').next().unwrap_or_default().to_owned());
            }
            short if !only_operands && short.len() > 1 && short.starts_with('-') => {
                command.flags.extend(short.chars().skip(1).map(|letter| format!("-{letter}")));
            }
            operand => command.operands.push(operand.to_owned()),
        }
    }
    command.paths = command.operands.iter().filter(|word| word.contains('/')).cloned().collect();
    command
}

/// Judges a shell call whose raw text and whose parsed line are given.
fn shell_judged(set: &PolicySet, text: &str, line: &ShellLine) -> Verdict {
    let parameters = Value::object([("command", Value::from(text))]);
    let subject =
        Subject { shell: Some(line), workspace: Some(WORKSPACE), ..Subject::new("Bash", &parameters, now()) };
    judge(&[set], &subject)
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
        (deny_tool, ("shell", "{}"), "{}", true),
        (deny_tool, ("shell2", "{}"), "{}", false),
        (deny_connector, ("mcp_git_push", "{}"), "{}", true),
        (deny_connector, ("mcp_github_push", "{}"), "{}", false),
        (deny_connector, ("mcp_git", "{}"), "{}", false),
        (deny_param, ("shell", r#"{"command": "sudo rm -rf /"}"#), "{}", true),
        (deny_param, ("shell", r#"{"command": ["rm", "-rf", "/"]}"#), "{}", true),
        (deny_param, ("shell", r#"{"command": "RM -RF /"}"#), "{}", false),
        (deny_param, ("shell", r#"{"other": "rm -rf"}"#), "{}", false),
        (deny_param, ("bash", r#"{"command": "rm -rf"}"#), "{}", false),
        (require, ("any", "{}"), r#"{"approved": true}"#, false),
        (require, ("any", "{}"), r#"{"approved": "true"}"#, true),
        (require, ("any", "{}"), "{}", true),
        (require, ("any", "{}"), "null", true),
        (require_null, ("any", "{}"), r#"{"approved": null}"#, false),
        (require_null, ("any", "{}"), "{}", true),
    ];
    for (rule, (tool, parameters), state, denied) in rows {
        let set = plane([wire(rule).expect("the rule is valid")]);
        let (parameters, state, line) = (json(parameters), json(state), ShellLine::default());
        let subject = Subject { state: &state, shell: Some(&line), ..Subject::new(tool, &parameters, now()) };
        let verdict = judge(&[&set], &subject);
        assert_eq!(verdict.effect == PolicyEffect::Deny, denied, "{rule} {tool} {parameters}");
        assert_eq!(verdict.rule.is_some(), denied);
    }
}

#[test]
fn a_rule_as_files_have_it_comes_over_the_wire_too() {
    let asks = r#"{"name": "push", "effect": "ask", "command": "git push", "when": "agent == 'a'", "reason": "people look"}"#;
    let read = wire(asks).expect("the rule is valid");
    let of_file = rules(
        "[[rule]]\nname = 'push'\neffect = 'ask'\ncommand = 'git push'\nwhen = \"agent == 'a'\"\nreason = 'people look'",
    );
    assert_eq!(vec![read], of_file);
}

#[test]
fn a_wire_rule_that_is_unclear_is_refused() {
    let rows = [
        (r#"{"name": "n", "effect": "warn", "tool": "t"}"#, "unknown-effect", "/effect"),
        (r#"{"name": "n", "effect": "deny"}"#, "missing-field", ""),
        (r#"{"effect": "deny", "tool": "t"}"#, "missing-field", ""),
        (r#"{"name": "n", "effect": "deny", "tool": "t", "rule": "deny_tool"}"#, "unknown-field", "/rule"),
        (r#"{"name": "n", "effect": "deny", "when": "1 +"}"#, "invalid-condition", "/when"),
        (r#"{"name": "n", "effect": "deny", "command": "cat {data_folder}"}"#, "invalid-pattern", ""),
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
fn every_wire_rule_that_is_violated_is_named_in_the_reason() {
    let rules = [
        r#"{"name": "a", "rule": "deny_tool", "target": "shell"}"#,
        r#"{"name": "a", "rule": "deny_tool_param", "target": "shell", "key": "n", "pattern": "5"}"#,
        r#"{"name": "c", "rule": "require_state", "key": "ok", "value": true}"#,
        r#"{"name": "d", "rule": "deny_connector", "target": "git"}"#,
    ];
    let set = plane(rules.map(|rule| wire(rule).expect("the rule is valid")));
    let verdict = judged(&set, "shell", &json(r#"{"n": 15}"#));
    let reason = "policy 'a': tool 'shell' denied; policy 'a': param 'n' matches '5'; \
                  policy 'c': state['ok'] must be true";
    assert_eq!(verdict.reason, reason);
    assert_eq!(judged(&set, "mcp_git_push", &Value::Null).matched.len(), 2);
}

#[test]
fn a_policy_file_that_is_unclear_is_refused() {
    let rule = "[[rule]]\nname = \"n\"\neffect = \"deny\"\ntool = \"x\"\n";
    let rows = [
        ("rule = 1".to_owned(), "wrong-type", "/rule"),
        ("[[rules]]\n".to_owned(), "unknown-field", "/rules"),
        ("default = \"never\"\n".to_owned(), "unknown-effect", "/default"),
        ("[[rule]\n".to_owned(), "invalid-toml", ""),
        ("[[rule]]\nname = \"n\"\neffect = \"deny\"".to_owned(), "missing-field", "/rule/0"),
        (rule.replace("deny", "warn"), "unknown-effect", "/rule/0/effect"),
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
        (format!("{rule}command = []"), "empty", "/rule/0/command"),
        (format!("{rule}command = [\"rm\", 1]"), "wrong-type", "/rule/0/command/1"),
        (format!("{rule}command = \"rm; ls\""), "invalid-command", "/rule/0/command"),
        (format!("{rule}command = \"rm {{home}}\""), "invalid-command", "/rule/0/command"),
        (
            format!("{rule}command = \"rm {{outside}}\"").replace("deny", "allow"),
            "invalid-command",
            "/rule/0/command",
        ),
        (format!("{rule}when = 5"), "wrong-type", "/rule/0/when"),
        (format!("{rule}when = \"tool ==\""), "invalid-condition", "/rule/0/when"),
        (format!("{rule}when = \"tool == '{{data_folder}}'\""), "invalid-condition", "/rule/0/when"),
    ];
    for (toml, name, pointer) in rows {
        let lints = read_file(&toml, &PLACES).expect_err("the file must be refused");
        assert_eq!((lints[0].name, lints[0].pointer.as_str()), (name, pointer), "{toml}");
    }
    assert_eq!(read_file("", &PLACES).map(|file| file.rules), Ok(Vec::new()));
}

#[test]
fn a_file_may_say_what_decides_without_a_rule() {
    let file = read_file("default = \"ask\"\n", &PLACES).expect("the file is valid");
    assert_eq!(file, PolicyFile { default: PolicyEffect::Ask, rules: Vec::new() });
    let set = plane(file.rules).with_default(file.default);
    assert_eq!(judged(&set, "x", &Value::Null).effect, PolicyEffect::Ask);
    assert_eq!(read_file("", &PLACES).map(|file| file.default), Ok(PolicyEffect::Allow));
}

#[test]
fn rules_survive_being_stored() {
    let mut all = rules(DEFAULT_POLICY);
    all.push(wire(r#"{"rule": "require_state", "key": "ok", "value": [1]}"#).expect("the rule is valid"));
    all.push(wire(r#"{"rule": "deny_tool", "target": "x"}"#).expect("the rule is valid"));
    let stored = serde_json::to_string(&all).expect("rules are JSON");
    assert_eq!(serde_json::from_str::<Vec<PolicyRule>>(&stored).expect("they are read back"), all);
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
    let set = plane(rules).with_default(PolicyEffect::Deny);
    let read = ShellLine::default();
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
        let parameters = json(parameters);
        let verdict =
            judge(&[&set], &Subject { shell: Some(&read), ..Subject::new(tool, &parameters, now()) });
        assert_eq!(
            (verdict.effect, verdict.rule.as_deref()),
            (effect, rule),
            "{tool} {parameters} {verdict:?}"
        );
        assert_eq!(verdict.matched.iter().map(|hit| hit.rule.as_str()).collect::<Vec<_>>(), matched);
    }
    let both = json(r#"{"command": "rm /root"}"#);
    let verdict = judge(&[&set], &Subject { shell: Some(&read), ..Subject::new("shell", &both, now()) });
    let reason = "policy 'no-rm': removes files; policy 'no-root': tool 'sh?ll', param '*' matches '*/root*', \
                  param 'command' matches '*'";
    assert_eq!(verdict.reason, reason);
}

#[test]
fn a_rule_that_cannot_be_evaluated_denies_even_when_it_would_allow() {
    for pattern in [
        PolicyPattern { tool: "x\\".to_owned(), ..PolicyPattern::default() },
        PolicyPattern { tool: "*".to_owned(), when: Some("1".to_owned()), ..PolicyPattern::default() },
        PolicyPattern { tool: "*".to_owned(), commands: vec![";".to_owned()], ..PolicyPattern::default() },
        PolicyPattern {
            tool: "*".to_owned(),
            params: vec![ParamPattern { key: "a".to_owned(), globs: vec![String::new()] }],
            ..PolicyPattern::default()
        },
    ] {
        let matcher = PolicyMatcher::Pattern(pattern);
        let rule =
            PolicyRule { name: "broken".to_owned(), effect: PolicyEffect::Allow, matcher, reason: None };
        let verdict = judged(&plane([rule]), "y", &Value::Null);
        assert_eq!(verdict.effect, PolicyEffect::Deny);
        assert!(verdict.reason.contains("cannot be evaluated"), "{}", verdict.reason);
    }
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
        let params = vec![ParamPattern { key: key.to_owned(), globs: vec![glob.to_owned()] }];
        let pattern = PolicyPattern { tool: "*".to_owned(), params, ..PolicyPattern::default() };
        let matcher = PolicyMatcher::Pattern(pattern);
        let rule = PolicyRule { name: "r".to_owned(), effect: PolicyEffect::Deny, matcher, reason: None };
        let verdict = judged(&plane([rule]), "t", &json(parameters));
        assert_eq!(verdict.rule.is_some(), expected, "{parameters} {key} {glob}");
    }
}

#[test]
fn the_data_folder_is_taken_as_it_is_written() {
    let places = Places { data_folder: "/odd [*]?\\dir" };
    let toml =
        "[[rule]]\nname = \"d\"\neffect = \"deny\"\ntool = \"*\"\nparams = { \"*\" = \"{data_folder}/*\" }\n";
    let set = plane(read_file(toml, &places).expect("the rules are valid").rules);
    let effect = |path: &str| judged(&set, "r", &Value::object([("p", Value::from(path))])).effect;
    assert_eq!(effect("/odd [*]?\\dir/token"), PolicyEffect::Deny);
    assert_eq!(effect("/odd [x]y\\dir/token"), PolicyEffect::Allow);

    let toml = "[[rule]]\nname = \"d\"\neffect = \"deny\"\ncommand = \"cat {data_folder}/*|x\"\n";
    let places = Places { data_folder: "/root/a |;b" };
    let set = plane(read_file(toml, &places).expect("the rules are valid").rules);
    for (word, expected) in [
        ("/root/a |;b/token", PolicyEffect::Deny),
        ("$HOME/a |;b/token", PolicyEffect::Deny),
        ("~/a |;b/token", PolicyEffect::Deny),
        ("x", PolicyEffect::Deny),
        ("/root/a", PolicyEffect::Allow),
    ] {
        let cat = ShellCommand {
            program: "cat".to_owned(),
            operands: vec![word.to_owned()],
            ..ShellCommand::default()
        };
        let line = ShellLine { commands: vec![cat], opaque: Vec::new() };
        assert_eq!(shell_judged(&set, "cat", &line).effect, expected, "{word}");
    }
}
