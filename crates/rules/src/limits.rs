//! How much of a text or value a record keeps. The same limits hold on every path.

use adjutant_model::Value;

/// A string inside a turn keeps so many bytes.
pub const TURN_STRING_BYTES_MAX: usize = 16 * 1024;
/// A turn's value keeps so many bytes in all, as JSON.
pub const TURN_BYTES_MAX: u64 = 256 * 1024;
/// A line about an agent's progress keeps so many bytes.
pub const PROGRESS_BYTES_MAX: usize = 2 * 1024;

const CUT: &str = "…[truncated]";

/// Gives a value as a turn shows it: long strings are cut, and a value that is too large is replaced by a note.
pub fn turn_text(value: &Value) -> Value {
    if value.size_bytes() <= TURN_STRING_BYTES_MAX as u64 {
        return value.clone();
    }
    if value.size_bytes() > 16 * TURN_BYTES_MAX {
        return too_large();
    }
    let cut = strings_cut(value);
    if cut.size_bytes() > TURN_BYTES_MAX { too_large() } else { cut }
}

/// Gives a line of progress, cut to its limit.
pub fn progress_text(text: &str) -> String {
    cut(text, PROGRESS_BYTES_MAX)
}

/// Cuts a text behind at most `bytes_max` bytes, at a character's edge, and says so.
pub fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub(CUT.len()));
    format!("{}{CUT}", &text[..end])
}

fn strings_cut(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > TURN_STRING_BYTES_MAX => {
            Value::string(cut(text, TURN_STRING_BYTES_MAX))
        }
        Value::Array(array) => Value::array(array.as_slice().iter().map(strings_cut)),
        Value::Object(object) => {
            Value::object(object.iter().map(|(key, value)| (key.clone(), strings_cut(value))))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn too_large() -> Value {
    Value::string(format!("…[truncated: more than {} KiB]", TURN_BYTES_MAX / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_is_cut_and_says_so() {
        let small = Value::object([("a", Value::from("b"))]);
        assert_eq!(turn_text(&small), small);
        let long = Value::array([Value::string("é".repeat(20_000))]);
        let kept = turn_text(&long);
        let text = kept.as_array().and_then(|items| items[0].as_str()).expect("a string");
        assert!(text.len() <= TURN_STRING_BYTES_MAX && text.ends_with(CUT), "{}", text.len());
        let many = Value::array((0..100_000_u64).map(Value::from));
        assert_eq!(turn_text(&many), too_large());
        assert_eq!(cut("abc", 3), "abc");
    }
}
