//! What is an object on the wire is nothing else: serde also reads a list as one, member by member.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;

/// Something that is read from an object alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads a member that is an object.
pub(crate) fn one<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(read)| read)
}

/// Reads a member that is an object or `null`.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|read| read.map(|Object(read)| read))
}

/// Reads a member that is an object with any members.
pub(crate) fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Map::deserialize(deserializer).map(Value::Object)
}

/// Reads a member that is an object with any members, or `null`.
pub(crate) fn any_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Option::<Map<String, Value>>::deserialize(deserializer).map(|read| read.map(Value::Object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        number: u8,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Outer {
        #[serde(deserialize_with = "one")]
        one: Inner,
        #[serde(deserialize_with = "optional")]
        optional: Option<Inner>,
        #[serde(deserialize_with = "any")]
        any: Value,
        #[serde(deserialize_with = "any_optional")]
        any_optional: Option<Value>,
    }

    #[test]
    fn an_object_is_read_and_a_list_is_refused() {
        let read = |value: Value| serde_json::from_value::<Object<Outer>>(value).map(|Object(read)| read);
        let found = read(json!({"one": {"number": 1}, "optional": {"number": 2}, "any": {"a": 1}}))
            .expect("it is one");
        assert_eq!((found.one.number, found.optional), (1, Some(Inner { number: 2 })));
        assert_eq!((found.any, found.any_optional), (json!({"a": 1}), None));
        assert_eq!(
            read(json!({"optional": null, "any_optional": null})).expect("nothing is said"),
            Outer::default()
        );
        for wrong in [
            json!([]),
            json!([{"number": 1}]),
            json!({"one": []}),
            json!({"one": [1]}),
            json!({"one": null}),
            json!({"optional": [1]}),
            json!({"any": [1]}),
            json!({"any": "text"}),
            json!({"any_optional": [1]}),
        ] {
            let error = read(wrong.clone()).expect_err("no object").to_string();
            assert!(error.starts_with("invalid type: "), "{wrong}: {error}");
        }
    }
}
