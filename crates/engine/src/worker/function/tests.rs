use super::*;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn gives(name: &str, input: &str, expected: &str) {
    assert_eq!(call(name, &json(input)), StepOutcome::Done(json(expected)), "{name} {input}");
}

#[track_caller]
fn refuses(name: &str, input: &str, message: &str) {
    match call(name, &json(input)) {
        StepOutcome::Failed(failure) => {
            assert_eq!(failure.class, ErrorClass::User, "{name} {input}");
            assert_eq!(failure.message, message, "{name} {input}");
        }
        StepOutcome::Done(value) | StepOutcome::Skipped(value) => panic!("{name} {input} gave {value}"),
    }
}

#[test]
fn functions_give_what_their_line_says() {
    gives("identity", r#"{"a":[1,null]}"#, r#"{"a":[1,null]}"#);
    gives("merge", "[]", "{}");
    gives("merge", r#"[{"a":1,"b":1},{"b":2}]"#, r#"{"a":1,"b":2}"#);
    gives("pluck", r#"{"from":[{"a":{"b/c":1}},{"a":{"b/c":null}}],"at":"/a/b~1c"}"#, "[1,null]");
    gives("pluck", r#"{"from":[1,2],"at":""}"#, "[1,2]");
    gives("flatten", "[[1],[2,[3]],4,[]]", "[1,2,[3],4]");
    gives("count", r#"{"of":[1,2,3]}"#, "3");
    gives("count", r#"{"of":[1,1.0,"1",[1]],"equals":1}"#, "2");
    gives("count", r#"{"of":[{"a":[1.0]},{"a":[1]},{"b":[1]}],"equals":{"a":[1]}}"#, "2");
    gives("count", r#"{"of":[null,0],"equals":null}"#, "1");
    gives(
        "format",
        r#"{"template":"{{{a.b}}} is {list.1}, {o}","values":{"a":{"b":"ä"},"list":[1,2],"o":{"x":null}}}"#,
        r#""{ä} is 2, {\"x\":null}""#,
    );
    gives("format", r#"{"template":"plain","values":null}"#, r#""plain""#);
    gives("assert", r#"{"that":true}"#, "true");
}

#[test]
fn functions_say_what_they_want() {
    refuses("merge", "1", "merge: wants an array of objects, found number `1`");
    refuses("merge", "[{},[]]", "merge: element 1: wants an object, found array `[]`");
    refuses("pluck", r#"{"from":[]}"#, "pluck: `at` is missing");
    refuses(
        "pluck",
        r#"{"from":[],"at":"a"}"#,
        "pluck: `at` must be an RFC 6901 pointer such as `/name`, found `a`",
    );
    refuses("pluck", r#"{"from":[{}],"at":"/a"}"#, "pluck: element 0: there is nothing at `/a`");
    refuses(
        "pluck",
        r#"{"from":[],"at":"","x":1}"#,
        "pluck: wants an object with from, at, found the unknown key `x`",
    );
    refuses("flatten", "{}", "flatten: wants an array, found object `{}`");
    refuses("count", r#"{"of":"abc"}"#, "count: `of`: wants an array, found string `\"abc\"`");
    refuses(
        "format",
        r#"{"template":"{a.b}","values":{"a":1}}"#,
        "format: there is nothing at `{a.b}` in `values`",
    );
    refuses(
        "format",
        r#"{"template":"a } b","values":1}"#,
        "format: a brace stands alone at `} b`; write it twice",
    );
    refuses(
        "format",
        r#"{"template":"a {b","values":1}"#,
        "format: a brace stands alone at `{b`; write it twice",
    );
    refuses("assert", r#"{"that":false}"#, "assertion failed");
    refuses("assert", r#"{"that":false,"message":"no coins"}"#, "no coins");
    refuses("assert", r#"{"that":1}"#, "assert: `that`: wants true or false, found number `1`");
    refuses("fail", r#"{"message":"by request"}"#, "by request");
    refuses(
        "greet",
        "null",
        "there is no function `greet`; known: assert, count, fail, flatten, format, identity, merge, pluck",
    );
}

#[test]
fn a_failure_carries_the_value_it_was_given() {
    let StepOutcome::Failed(failure) = call("fail", &json(r#"{"message":"m","value":{"a":1}}"#)) else {
        panic!("fail did not fail");
    };
    assert_eq!(failure.value, Some(json(r#"{"a":1}"#)));
}
