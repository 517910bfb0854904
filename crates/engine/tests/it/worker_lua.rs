//! Luau chunks: what they give, what they refuse, and that none of them can hurt.

use crate::worker_fixture::{Fixture, done, failure, json};
use adjutant_model::Value;
use adjutant_model::run::ErrorClass;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn returning_the_input_gives_back_the_same_json() {
    let fixture = Fixture::new();
    for text in [
        "null",
        "true",
        "0",
        "-17",
        "9007199254740992",
        "0.5",
        "1e300",
        "\"ä\\u0000\"",
        "[]",
        "{}",
        "[[],{},null,[null]]",
        "{\"a\":[],\"b\":{},\"c\":null,\"1\":[1,2.5,null]}",
        "[null,null]",
        "{\"\":{\"\":[{}]}}",
    ] {
        assert_eq!(done(fixture.lua("return ...", json(text)).await), json(text), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_value_and_a_wide_one_come_back() {
    let fixture = Fixture::new();
    let deep = (0..100).fold(Value::Null, |inner, _| Value::array([inner]));
    assert_eq!(done(fixture.lua("return ...", deep.clone()).await), deep);
    let wide = Value::array((0..50_000_u64).map(Value::from));
    assert_eq!(done(fixture.lua("return ...", wide.clone()).await), wide);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_give_what_they_compute() {
    let fixture = Fixture::new();
    for (source, input, expected) in [
        ("local input = ... return input.n + 1", "{\"n\":1.0}", "2"),
        ("return 1.0", "null", "1"),
        ("return -0.0", "null", "0"),
        ("return 7 / 2", "null", "3.5"),
        ("return", "null", "null"),
        ("return nil", "1", "null"),
        ("return 1, 2", "null", "1"),
        ("return {}", "null", "{}"),
        ("return array {}", "null", "[]"),
        ("return array()", "null", "[]"),
        ("return {1, null, 3}", "null", "[1,null,3]"),
        ("return {a = null, b = {1}}", "null", "{\"a\":null,\"b\":[1]}"),
        ("local t = ... table.remove(t) return t", "[1]", "[]"),
        ("local t = ... return table.clone(t)", "[]", "[]"),
        ("local t = ... return {t.x == null, t.y == nil, t.x == nil}", "{\"x\":null}", "[true,true,false]"),
        ("local t = ... return #t", "[null,null,1]", "3"),
        ("return ('a,b'):split(',')", "null", "[\"a\",\"b\"]"),
        ("return string.find('a.b', '.', 1, true)", "null", "2"),
        ("local t = {3, 1, 2} table.sort(t) return t", "null", "[1,2,3]"),
        ("local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return t", "null", "[3,2,1]"),
        ("return ('ab'):rep(3)", "null", "\"ababab\""),
        ("return table.move({1, 2, 3}, 2, 3, 1)", "null", "[2,3,3]"),
        ("x = 1 return x", "null", "1"),
        ("return setmetatable({a = 1}, {__index = function() return 2 end})", "null", "{\"a\":1}"),
        ("return select('#', ...)", "null", "1"),
    ] {
        assert_eq!(done(fixture.lua(source, json(input)).await), json(expected), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_json_form_is_refused_with_its_place() {
    let fixture = Fixture::new();
    for (source, message) in [
        ("return {a = {1, print}}", "result.a[2] is a function, which has no JSON form"),
        ("return {['a b'] = coroutine.create(print)}", "result[\"a b\"] is a thread, which has no JSON form"),
        ("return buffer.create(1)", "result is a buffer, which has no JSON form"),
        ("return {0/0}", "result[1] is NaN, which has no JSON form"),
        ("return 1/0", "result is inf, which has no JSON form"),
        (
            "return 2^53 + 2",
            "result is 9007199254740994, and whole numbers beyond ±2^53 are not exact in Luau; pass it as a text",
        ),
        ("return {1, 2, nil, 4}", "result is a list with a hole at 3; put `null` where nothing is"),
        ("return {[2] = 1}", "result is a list with a hole at 1; put `null` where nothing is"),
        ("return {1, a = 1}", "result mixes positions and names"),
        ("return {[1.5] = 1}", "result mixes positions and names"),
        ("return {[0] = 1}", "result mixes positions and names"),
        ("return {[true] = 1}", "result has a key that is a boolean"),
        ("local t = array {} t.a = 1 return t", "result is an array that has names besides positions"),
        (
            "local t = {} t.a = {t} return t",
            "result.a[1] is a table that holds itself and so nests deeper than any JSON",
        ),
        ("return {a = '\\255'}", "result.a is a text that is not UTF-8"),
        ("return {['\\255'] = 1}", "result is a text that is not UTF-8"),
    ] {
        let failure = failure(fixture.lua(source, Value::Null).await);
        assert_eq!((failure.message.as_str(), failure.class), (message, ErrorClass::User), "{source}");
    }
    for (input, place) in [
        ("[9007199254740993]", "input[1]"),
        ("{\"a\":-9007199254740993}", "input.a"),
        ("18446744073709551615", "input"),
    ] {
        let failure = failure(fixture.lua("return 1", json(input)).await);
        assert!(failure.message.starts_with(&format!("{place} is ")), "{input}: {}", failure.message);
        assert!(failure.message.contains("beyond ±2^53"), "{input}: {}", failure.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_carry_the_line() {
    let fixture = Fixture::new();
    for (source, message) in [
        ("\n\nerror('no')", "chunk:3: no"),
        ("local t = nil\nreturn t.x", "chunk:2: attempt to index nil with 'x'"),
        ("return (", "chunk:1: Expected identifier when parsing expression, got <eof>"),
        ("error('no', 0)", "no"),
        ("error({code = 1})", "the chunk failed with a table"),
        ("error({message = 'bad', code = 1})", "bad"),
        ("error(nil)", "the chunk failed with a nil instead of a text"),
        ("error(print)", "the chunk failed with a function instead of a text"),
        (
            "error(setmetatable({}, {__tostring = function() error('x') end}))",
            "the chunk failed with a table",
        ),
        ("local t = {} t.t = t error(t)", "the chunk failed with a table that has no JSON form"),
        ("error(error)", "the chunk failed with a function instead of a text"),
    ] {
        let failure = failure(fixture.lua(source, Value::Null).await);
        assert_eq!((failure.message.as_str(), failure.class), (message, ErrorClass::User), "{source}");
    }
    let failure = failure(fixture.lua("error({message = 'bad', code = 1})", Value::Null).await);
    assert_eq!(failure.value, Some(json("{\"message\":\"bad\",\"code\":1}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_can_reach_nothing_but_what_computes() {
    let fixture = Fixture::new();
    // The globals are looked up by name one at a time, because there is no table of them.
    for name in "os io package debug require load loadstring loadfile dofile getfenv setfenv newproxy collectgarbage gcinfo _G".split(' ') {
        assert_eq!(done(fixture.lua(&format!("return {name} == nil"), Value::Null).await), Value::Bool(true), "{name}");
    }
    for source in [
        "string.find = nil",
        "getmetatable('').__index = nil",
        "table.insert(string, 1)",
        "rawset(math, 'pi', 3)",
        "setmetatable(string, {})",
        "getmetatable(array()).x = 1",
        "bit32.band = nil",
    ] {
        let failure = failure(fixture.lua(source, Value::Null).await);
        assert!(failure.message.contains("readonly"), "{source}: {}", failure.message);
    }
    let bytecode = failure(fixture.lua("\u{6}\u{3}abc", Value::Null).await);
    assert!(bytecode.message.contains("binary chunk"), "{}", bytecode.message);
    // One chunk leaves nothing behind for the next.
    done(fixture.lua("shared = 1", Value::Null).await);
    assert_eq!(done(fixture.lua("return shared", Value::Null).await), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn print_is_progress_and_bounded() {
    let mut fixture = Fixture::new();
    done(
        fixture
            .lua("print('a', 1, null ~= nil) for _ = 1, 1000 do print(('x'):rep(5000)) end", Value::Null)
            .await,
    );
    let first = fixture.progress.recv().await.unwrap();
    assert_eq!((first.what.as_str(), first.text.as_str()), ("said", "a 1 true"));
    let mut count = 1;
    while let Ok(progress) = fixture.progress.try_recv() {
        assert!(progress.text.len() <= 2048);
        count += 1;
    }
    assert_eq!(count, 100);
}

/// Scripts that try to take all time, memory or stack, or to survive their limit.
const HOSTILE: &[(&str, &str)] = &[
    ("a loop", "while true do end"),
    ("a loop of calls", "local function f() end while true do f() end"),
    ("a hidden loop", "while true do pcall(function() while true do end end) end"),
    ("a hidden stop", "pcall(function() while true do end end) return 'survived'"),
    (
        "a stop hidden by a handler",
        "xpcall(function() while true do end end, function() while true do end end) return 1",
    ),
    (
        "a stop hidden in a coroutine",
        "local c = coroutine.wrap(function() while true do end end) pcall(c) return 1",
    ),
    ("coroutines without end", "while true do coroutine.wrap(function() coroutine.yield() end)() end"),
    ("nested coroutines", "local function f() return coroutine.wrap(f)() end return f()"),
    ("a pattern that backtracks", "return string.find(('a'):rep(40000), ('a*'):rep(30) .. 'b')"),
    ("a hidden pattern", "while true do pcall(string.match, ('a'):rep(40000), ('.-'):rep(30) .. 'b') end"),
    (
        "a substitution without end",
        "return string.gsub(('a'):rep(1e7), '.', function() while true do end end)",
    ),
    ("a plain search", "local a = ('a'):rep(2^24) return a:find(('a'):rep(2^23) .. 'b', 1, true)"),
    ("a split", "local a = ('a'):rep(2^24) return #a:split(('a'):rep(2^23) .. 'b')"),
    (
        "a sort of long strings",
        "local a = ('a'):rep(2^22) local x, y, t = a .. 'x', a .. 'y', {}
         for i = 1, 2^20 do t[i] = i % 2 == 0 and x or y end table.sort(t) return #t",
    ),
    (
        "a sort without order",
        "local t = table.create(1e6, 1) table.sort(t, function() while true do end end)",
    ),
    ("a text of gigabytes", "return #string.rep('x', 2^31)"),
    ("a text that doubles", "local s = 'x' while true do s = s .. s end"),
    ("an empty text, often", "return string.rep('', 2^31 - 1)"),
    ("a move over nothing", "return table.move({}, 1, 2^31 - 2, 2)"),
    ("a huge table", "return #table.create(2^30, 0)"),
    ("tables without end", "local t = {} while true do t = {t, t, t} end"),
    (
        "a hidden lack of memory",
        "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(2^20) .. #t end) end",
    ),
    ("a huge buffer", "return buffer.len(buffer.create(2^30))"),
    ("recursion", "local function f() return 1 + f() end return f()"),
    ("recursion by pcall", "local function f() pcall(f) f() end f()"),
    (
        "recursion by metatable",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 'x'] end return t.x",
    ),
    ("an index that leads to itself", "local t = {} setmetatable(t, {__index = t}) return t.x.y"),
    ("an iterator without end", "for _ in function() return 1 end do end"),
    (
        "a text from a metatable",
        "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    ),
    ("an error of megabytes", "error(('x'):rep(2^25))"),
    (
        "an error from a table that prints itself",
        "error(setmetatable({}, {__tostring = function() while true do end end}), 0)",
    ),
    ("a result that doubles", "local t = {1} for _ = 1, 60 do t = {t, t} end return t"),
    ("a result of long texts", "local s, t = ('x'):rep(2^24), {} for i = 1, 1000 do t[i] = s end return t"),
    ("a finalizer", "setmetatable({}, {__gc = function() while true do end end}) return 1 + nil"),
    ("many arguments", "return select('#', table.unpack(table.create(1e7, 1)))"),
    ("many joined texts", "return #table.concat(table.create(2^22, ('x'):rep(1000)))"),
    ("a search in a format", "return string.format(('%s'):rep(1e6), table.unpack(table.create(7000, 'x')))"),
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_chunks_end_in_an_error_in_time() {
    const LIMIT: Duration = Duration::from_millis(1000);
    let mut fixture = Fixture::new();
    fixture.ctx.settings.lua_timeout = LIMIT;
    for (name, source) in HOSTILE {
        let began = Instant::now();
        let failure = failure(fixture.lua(source, Value::Null).await);
        let took = began.elapsed();
        println!(
            "{:>5} ms  {name}: {}",
            took.as_millis(),
            &failure.message[..failure.message.len().min(100)]
        );
        assert!(took < LIMIT + Duration::from_secs(2), "{name} took {took:?}");
        assert!(failure.message.len() <= 2048, "{name}: {} bytes", failure.message.len());
        assert!(!failure.message.contains("did not stop"), "{name}: {}", failure.message);
    }
    assert_eq!(done(fixture.lua("return 1", Value::Null).await), Value::from(1_u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_chunk_says_where_and_may_be_tried_again() {
    let mut fixture = Fixture::new();
    fixture.ctx.settings.lua_timeout = Duration::from_millis(50);
    let failure = failure(fixture.lua("local x = 0\nwhile true do\nx += 1\nend", Value::Null).await);
    assert!(
        failure.message.starts_with("chunk:")
            && failure.message.ends_with(": the chunk took longer than 50 ms"),
        "{}",
        failure.message
    );
    assert_eq!(failure.class, ErrorClass::Retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_chunk_ends_at_once() {
    let mut fixture = Fixture::new();
    let cancel = fixture.ctx.cancel.clone();
    let (began, source) =
        (Instant::now(), "print('begun') while true do pcall(function() while true do end end) end");
    let (outcome, ()) = {
        let Fixture { progress, .. } = &mut fixture;
        let (_, mut swap) = tokio::sync::mpsc::channel(1);
        std::mem::swap(progress, &mut swap);
        tokio::join!(fixture.lua(source, Value::Null), async move {
            assert_eq!(swap.recv().await.unwrap().text, "begun");
            cancel.cancel();
        })
    };
    let failure = failure(outcome);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(failure.message.ends_with("the chunk was cancelled"), "{}", failure.message);
    assert_eq!(failure.class, ErrorClass::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_chunks_comes_back() {
    let fixture = Fixture::new();
    let source = "local t = {} while true do t[#t + 1] = ('x'):rep(2^16) .. #t end";
    let limit = |failure: &str| assert!(failure.ends_with("the memory limit is reached"), "{failure}");
    limit(&failure(fixture.lua(source, Value::Null).await).message);
    let before = resident_kib();
    for _ in 0..20 {
        limit(&failure(fixture.lua(source, Value::Null).await).message);
    }
    let after = resident_kib();
    // Each of them held 64 MiB; other tests of this process hold some meanwhile.
    assert!(after < before + 400 * 1024, "{before} KiB before, {after} KiB after");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spec_sets_the_limits_of_a_chunk() {
    use adjutant_model::blueprint::{AgentSpec, LuaSpec};
    let fixture = Fixture::new();
    let spec = |source: &str, memory_bytes, timeout_ms| {
        AgentSpec::Lua(LuaSpec { source: source.to_owned(), label: "l".to_owned(), memory_bytes, timeout_ms })
    };
    let hungry = "return #string.rep('x', 2^24)";
    let small = fixture.perform(spec(hungry, Some(4 << 20), None), Value::Null).await.outcome;
    assert!(failure(small).message.contains("memory limit"));
    assert_eq!(
        done(fixture.perform(spec(hungry, None, None), Value::Null).await.outcome),
        Value::from(1_u64 << 24)
    );
    let short = fixture.perform(spec("while true do end", None, Some(20)), Value::Null).await.outcome;
    assert!(failure(short).message.ends_with("longer than 20 ms"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_nest_without_end_are_refused() {
    let fixture = Fixture::new();
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("{", "", "}"),
        ("- ", "1", ""),
        ("1 ..", "1", ""),
        ("function() return ", "1", " end"),
    ] {
        let source = format!("return {}{middle}{}", open.repeat(20_000), close.repeat(20_000));
        let failure = failure(fixture.lua(&source, Value::Null).await);
        assert!(failure.message.starts_with("chunk:"), "{open}: {}", failure.message);
    }
    let blocks = "do ".repeat(20_000) + &"end ".repeat(20_000);
    assert!(failure(fixture.lua(&blocks, Value::Null).await).message.starts_with("chunk:"));
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plane_lends_functions_over_documents() {
    let fixture = Fixture::new();
    for (source, input, expected) in [
        ("return host.yaml_to_json('a: [1, two]')", "null", "{\"a\":[1,\"two\"]}"),
        ("return host.yaml_to_json('null')", "null", "null"),
        (
            "return host.yaml_to_json(host.to_yaml(...))",
            "{\"a\":[],\"b\":{},\"c\":\"1\\n2\"}",
            "{\"a\":[],\"b\":{},\"c\":\"1\\n2\"}",
        ),
        ("return host.canonical(...)", "{\"b\":1.0,\"a\":[]}", "\"{\\\"a\\\":[],\\\"b\\\":1}\""),
        (
            "return host.content_hash('abc')",
            "null",
            "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
        ),
        (
            "return host.json_patch({a = array {}}, ...)",
            "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":1}]",
            "{\"a\":[1]}",
        ),
        (
            "return host.patch('```json\\n{\"rationale\": \"r\"}\\n```')",
            "null",
            "{\"ops\":[],\"bump\":\"patch\",\"rationale\":\"r\"}",
        ),
        ("return {host.bump(nil, 'minor'), host.bump('1.2.3', 'patch')}", "null", "[\"0.1.0\",\"1.2.4\"]"),
        ("return host.compile({}).ok", "null", "false"),
        ("return {pcall(host.canonical)}", "null", "[true,\"null\"]"),
        (
            "local ok, why = pcall(host.content_hash, 1) return {ok, why}",
            "null",
            "[false,\"content_hash: expected a text, found integer\"]",
        ),
    ] {
        assert_eq!(done(fixture.lua(source, json(input)).await), json(expected), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plane_refuses_is_told_at_the_line_that_asked() {
    let fixture = Fixture::new();
    let long = format!("return host.content_hash(('x'):rep({}))", (4 << 20) + 1);
    for (source, message) in [
        ("return host.yaml_to_json(1)", "chunk:1: yaml_to_json: expected a text, found integer"),
        ("\nreturn host.yaml_to_json('a: [')", "chunk:2: yaml_to_json: parse: "),
        ("return host.canonical(print)", "chunk:1: canonical: result is a function, which has no JSON form"),
        (
            "return host.json_patch({}, {})",
            "chunk:1: json_patch: expected an array of operations, found object",
        ),
        (
            "return host.json_patch({}, array {{op = 'remove', path = '/a'}})",
            "chunk:1: json_patch: operation 0 (remove \"/a\"): there is no such place",
        ),
        ("return host.patch('no')", "chunk:1: patch: expected one JSON object {ops, bump, rationale}"),
        ("return host.bump(nil, 'huge')", "chunk:1: bump: expected major, minor or patch, found \"huge\""),
        (long.as_str(), "chunk:1: content_hash: the text is longer than 4194304 bytes"),
        ("host.own = 1", "attempt to modify a readonly table"),
        ("return host.read_file('/etc/passwd')", "attempt to call a nil value"),
    ] {
        let failure = failure(fixture.lua(source, Value::Null).await);
        assert_eq!(failure.class, ErrorClass::User, "{source}");
        assert!(failure.message.contains(message), "{source}: {}", failure.message);
    }
}
