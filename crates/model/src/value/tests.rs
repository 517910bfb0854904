use super::*;

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("the test's JSON is valid")
}

#[test]
fn json_survives_a_round_trip_with_every_digit() {
    for json in [
        "null",
        "true",
        "0",
        "-1",
        "18446744073709551615",
        "-9223372036854775808",
        "1.5",
        "\"\\u0000é\"",
        "[]",
        "{}",
        "[null,[],{}]",
        "{\"a\":{\"b\":[1,2.0]},\"z\":null}",
    ] {
        assert_eq!(value(json).to_string(), json);
    }
}

#[test]
fn a_copy_keeps_what_the_original_loses() {
    let mut original = Object::default();
    for n in 0..1000_u64 {
        original.insert(format!("k{n}").into(), Value::from(n));
    }
    let copy = original.clone();
    original.insert("k7".into(), Value::Null);
    assert_eq!(copy.get("k7"), Some(&Value::from(7_u64)));
    assert_eq!(original.get("k7"), Some(&Value::Null));
    assert_eq!((copy.len(), original.len()), (1000, 1000));
    assert_ne!(copy, original);
}

#[test]
fn keys_are_in_byte_order_small_and_large() {
    for count in [3_u64, 16, 17, 400] {
        let object: Object =
            (0..count).rev().map(|n| (Arc::from(format!("k{n:03}")), Value::from(n))).collect();
        let keys: Vec<_> = object.iter().map(|(k, _)| k.to_string()).collect();
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(keys, sorted);
        assert_eq!(keys.len() as u64, count);
    }
}

#[test]
fn depth_and_size_bound_the_value() {
    assert_eq!(value("1").depth(), 0);
    assert_eq!(value("[]").depth(), 1);
    assert_eq!(value("{\"a\":[{}]}").depth(), 3);
    let json = "{\"some key\":[\"text\",12345678,true],\"other\":{\"x\":null}}";
    let size = value(json).size_bytes();
    assert!(size >= json.len() as u64 - 10 && size <= 2 * json.len() as u64, "{size}");
    let Value::Object(mut object) = value("{\"a\":\"0123456789\"}") else { unreachable!("it is an object") };
    let before = Value::Object(object.clone()).size_bytes();
    object.insert("a".into(), Value::string("01234"));
    assert_eq!(Value::Object(object).size_bytes(), before - 5);
}

#[test]
fn pointers_find_members_and_elements() {
    let v = value("{\"a/b\":{\"m~n\":[10,20]}}");
    assert_eq!(v.pointer("/a~1b/m~0n/1"), Some(&Value::from(20_u64)));
    assert_eq!(v.pointer(""), Some(&v));
    assert_eq!(v.pointer("/nope"), None);
    assert_eq!(v.pointer("nope"), None);
}
