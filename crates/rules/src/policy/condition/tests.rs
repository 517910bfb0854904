use super::super::Subject;
use super::*;
use adjutant_model::shell::{ShellCommand, ShellLine};
use adjutant_model::{Timestamp, Value};

fn evaluated(text: &str) -> Result<bool, ConditionError> {
    let parameters: Value = serde_json::from_str(
        r#"{"path": "/srv/a", "n": 5, "big": 18446744073709551615, "half": 0.5, "list": ["a", "b"], "deep": {"x": null}}"#,
    )
    .expect("the parameters are JSON");
    let state: Value = serde_json::from_str(r#"{"approved": true}"#).expect("the state is JSON");
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let curl = ShellCommand {
        program: "curl".to_owned(),
        args: texts(&["-L", "https://example.org/x"]),
        flags: texts(&["-L"]),
        hosts: texts(&["example.org"]),
        writes: texts(&["out"]),
        ..ShellCommand::default()
    };
    let rm = ShellCommand {
        program: "rm".to_owned(),
        args: texts(&["/w/a"]),
        operands: texts(&["/w/a"]),
        paths: texts(&["/w/a"]),
        wrappers: texts(&["sudo"]),
        ..ShellCommand::default()
    };
    let line = ShellLine { commands: vec![curl, rm], opaque: Vec::new() };
    let subject = Subject {
        shell: Some(&line),
        agent: Some("release"),
        workspace: Some("/w"),
        state: &state,
        ..Subject::new("Bash", &parameters, Timestamp::parse("2026-03-04T19:30:00Z").expect("an instant"))
    };
    let condition = Condition::new(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    condition.holds(&Facts::new(&subject))
}

#[test]
fn conditions_look_at_all_of_a_call() {
    let rows = [
        ("true", true),
        ("tool == 'Bash'", true),
        ("tool != \"Bash\" || agent == 'release'", true),
        ("session == '' && run == '' && project == ''", true),
        ("parameters.path.startsWith('/srv/')", true),
        ("has(parameters.nothing) && parameters.nothing == 1", false),
        ("has(parameters.path)", true),
        ("parameters['n'] > 4", true),
        ("parameters.n + 1 == 6 && parameters.half * 2.0 == 1.0", true),
        ("parameters.big > 5", true),
        ("parameters.half < 1.0", true),
        ("parameters.deep.x == null", true),
        ("'a' in parameters.list", true),
        ("size(parameters.list) == 2 && parameters.list.size() == 2", true),
        ("state.approved", true),
        ("!state.approved", false),
        ("'rm' in shell.programs", true),
        ("shell.programs == ['curl', 'rm']", true),
        ("shell.hosts.all(host, host.endsWith('.org'))", true),
        ("shell.hosts.exists(host, !(host in ['example.com']))", true),
        ("shell.commands.exists(c, c.program == 'rm' && 'sudo' in c.wrappers)", true),
        ("shell.commands.exists_one(c, size(c.writes) > 0)", true),
        ("shell.commands.filter(c, '-L' in c.flags).size() == 1", true),
        ("shell.commands.map(c, c.program)[1] == 'rm'", true),
        ("shell.commands[0].args[1].matches('^https://')", true),
        ("shell.paths.all(path, path.startsWith(workspace + '/'))", true),
        ("shell.writes == ['out'] && size(shell.opaque) == 0", true),
        ("size(shell['args']) == 3", true),
        ("now.getHours() >= 18", true),
        ("now.getDayOfWeek() == 3", true),
        ("now.getHours('+05:00') == 0", true),
        ("now > timestamp('2026-01-01T00:00:00Z')", true),
        ("now - timestamp('2026-03-04T19:00:00Z') < duration('1h')", true),
        ("parameters.n == 5 ? tool == 'Bash' : false", true),
        ("string(parameters.n) == '5' && int('5') == 5", true),
    ];
    for (text, expected) in rows {
        assert_eq!(evaluated(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_condition_that_cannot_be_is_refused_with_its_place() {
    let rows = [
        ("", "1, column 1"),
        ("tool ==", "line 1, column"),
        ("tool == 'a' &&\n  && x", "line 2, column"),
        ("tol == 'Bash'", "line 1, column 1: unknown name `tol`"),
        ("tool == 'a' && x.y", "line 1, column 16: unknown name `x`"),
        ("shell.program == 'rm'", "unknown field `program` of the whole of `shell`"),
        ("shell['host'] == []", "unknown field `host`"),
        ("has(shell.nothing)", "unknown field `nothing`"),
        ("shell.commands.exists(c, c.name == 'rm')", "unknown field `name` of a command"),
        ("shell.commands.exists(c, c.program)", "expected true or false, found a string"),
        ("shell.paths.startsWith('/')", "expected a string, found a list"),
        ("tool.name == 'x'", "a string has no field `name`"),
        ("tool", "expected true or false, found a string"),
        ("1 + 2", "expected true or false, found a number"),
        ("size(tool)", "expected true or false, found a number"),
        ("shell.programs", "expected true or false, found a list"),
        ("tool == 1", "a string is compared with a number"),
        ("tool < now", "a string is compared with an instant"),
        ("tool && true", "expected true or false, found a string"),
        ("!tool", "expected true or false"),
        ("tool + 1 == 2 || true + true == 2", "expected a number or"),
        ("lower(tool) == 'x'", "unknown function `lower`"),
        ("tool.lowerCase() == 'x'", "unknown function `lowerCase`"),
        ("type(tool) == string", "unknown function `type`"),
        ("size(tool, tool) == 1", "wrong number of arguments"),
        ("tool.contains('a', 'b')", "wrong number of arguments"),
        ("tool.matches('(')", "no regular expression"),
        ("tool.matches(parameters.x)", "must be written out"),
        ("'a' in tool", "expected a list or a map"),
        ("tool.exists(c, true)", "expected a list or a map"),
        ("tool['a'] == 'b'", "a string has no members"),
        ("Thing{a: 1} == 1", "the type `Thing` does not exist"),
        ("parameters.a.exists(a, a.exists(b, b.exists(c, c.exists(d, d))))", "loops nest too deep"),
        ("a.?b == 1", "line 1"),
        ("parameters.x in ['{data_folder}']", "not filled in"),
    ];
    for (text, expected) in rows {
        let why = Condition::new(text).expect_err("the condition must be refused").to_string();
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn a_condition_that_comes_to_nothing_is_an_error() {
    let rows = [
        ("parameters.nothing == 1", "No such key"),
        ("parameters.n.startsWith('a')", "overload"),
        ("parameters.path", "a string, not true or false"),
        ("parameters.list[7] == 'a'", "Index out of bounds"),
        ("1 / (parameters.n - 5) == 1", "zero"),
        ("parameters.n + 9223372036854775807 == 1", "verflow"),
        ("tool == 'Bash' && parameters.nothing", "No such key"),
        ("timestamp(parameters.path) > now", ""),
    ];
    for (text, expected) in rows {
        let why = evaluated(text).expect_err("it comes to nothing").to_string();
        assert!(why.contains(expected), "{text}: {why}");
    }
    assert_eq!(evaluated("parameters.nothing == 1 && tool == 'Read'"), Ok(false), "a false term decides");
}

#[test]
fn a_condition_is_bounded_in_length_depth_and_work() {
    assert_eq!(
        Condition::new(&format!("tool == '{}'", "a".repeat(2000))).map(drop),
        Err(InvalidCondition::TooLong)
    );
    for deep in [
        format!("{}true{}", "(".repeat(120), ")".repeat(120)),
        format!("{}true", "!(".repeat(80)) + &")".repeat(80),
        format!("{}1{} == 1", "[".repeat(110), "]".repeat(110)),
        format!("parameters{} == 1", ".a".repeat(900)),
        format!("{}1 == 1", "1+".repeat(900)),
        format!("{}true", "true&&".repeat(300)),
        format!("{}true{}", "true?".repeat(100), ":true".repeat(100)),
        "!".repeat(1900) + "true",
        "-".repeat(1900) + "1 == 1",
    ] {
        assert!(Condition::new(&deep).is_err(), "{deep}");
    }
    for wide in [
        format!("parameters{} == 1", ".a".repeat(240)),
        format!("{}1 == 1", "1+".repeat(240)),
        format!("{}true", "true&&".repeat(120)),
        "!".repeat(240) + "true",
    ] {
        if let Ok(condition) = Condition::new(&wide) {
            let parameters = Value::Null;
            let subject = Subject::new("x", &parameters, Timestamp::default());
            condition.holds(&Facts::new(&subject)).map_or_else(|why| drop(why.to_string()), drop);
        }
    }
    let many = Value::object([("list", Value::array((0..5000_i64).map(Value::from)))]);
    let subject = Subject::new("x", &many, Timestamp::default());
    let nested = Condition::new("parameters.list.exists(a, parameters.list.exists(b, a == -b && b > 5000))")
        .expect("the condition is valid");
    assert_eq!(nested.holds(&Facts::new(&subject)), Err(ConditionError::TooMuchWork));
    let single = Condition::new("parameters.list.exists(a, a == 4999)").expect("the condition is valid");
    assert_eq!(single.holds(&Facts::new(&subject)), Ok(true));
}
