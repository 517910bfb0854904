//! How much of a text or value a record keeps. The same limits hold on every path.

use adjutant_model::Value;

/// A string inside a turn keeps so many bytes.
pub const TURN_STRING_BYTES_MAX: usize = 16 * 1024;
/// A turn's value keeps so many bytes in all, as JSON.
pub const TURN_BYTES_MAX: u64 = 256 * 1024;
/// A line about an agent's progress keeps so many bytes.
pub const PROGRESS_BYTES_MAX: usize = 2 * 1024;

const CUT: &str = "…[truncated]";
/// What stands in for a part of a turn that is too large.
const TOO_LARGE: &str = "…[truncated: turn exceeded 256 KiB]";
/// What a turn's ids, times and punctuation take besides its [`TurnContent`].
const TURN_FRAME_BYTES: u64 = 4 * 1024;
/// No byte of a text takes more than so many bytes as JSON.
const ESCAPE_BYTES_MAX: u64 = 6;

/// What of a turn can be large. It is cut as a whole, however it came to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnContent {
    /// The prompt.
    pub prompt: Option<Value>,
    /// The tool's name.
    pub tool: Option<String>,
    /// The tool's parameters.
    pub parameters: Value,
    /// What came out.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// The rule that refused it.
    pub rule: Option<String>,
    /// The parameter that the rule is about.
    pub param: Option<String>,
}

/// A turn that is too large even when it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the turn takes more than {TURN_BYTES_MAX} bytes even when it is cut")]
pub struct TurnTooLarge;

/// Cuts a turn to its limits: each string to [`TURN_STRING_BYTES_MAX`], then the whole to [`TURN_BYTES_MAX`] as JSON.
/// For the latter the largest of parameters, output and prompt is replaced by a note, until the turn fits.
///
/// # Errors
/// [`TurnTooLarge`] when it does not fit even so.
pub fn turn_cut(turn: TurnContent) -> Result<TurnContent, TurnTooLarge> {
    let name = |text: Option<String>| text.map(|text| cut(&text, TURN_STRING_BYTES_MAX));
    let mut turn = TurnContent {
        prompt: turn.prompt.as_ref().map(part_cut),
        tool: name(turn.tool),
        parameters: part_cut(&turn.parameters),
        output: turn.output.as_ref().map(part_cut),
        error: name(turn.error),
        rule: name(turn.rule),
        param: name(turn.param),
    };
    loop {
        let names = [&turn.tool, &turn.error, &turn.rule, &turn.param];
        let names: u64 =
            names.into_iter().flatten().map(|text| encoded_bytes(&Value::from(text.as_str()))).sum();
        let mut parts: Vec<(u64, &mut Value)> =
            [Some(&mut turn.parameters), turn.output.as_mut(), turn.prompt.as_mut()]
                .into_iter()
                .flatten()
                .map(|part| (encoded_bytes(part), part))
                .collect();
        let total = TURN_FRAME_BYTES + names + parts.iter().map(|(bytes, _)| bytes).sum::<u64>();
        if total <= TURN_BYTES_MAX {
            return Ok(turn);
        }
        let largest = parts
            .iter_mut()
            .max_by_key(|(bytes, _)| *bytes)
            .filter(|(_, part)| part.as_str() != Some(TOO_LARGE));
        let Some((_, part)) = largest else { return Err(TurnTooLarge) };
        **part = too_large();
    }
}

/// Cuts the strings of a part of a turn. One that is far too large is not walked at all.
fn part_cut(part: &Value) -> Value {
    if part.size_bytes() <= TURN_STRING_BYTES_MAX as u64 {
        return part.clone();
    }
    // A single string that is too long is only shortened; its size says nothing about how much is left of it.
    let is_walkable = part.as_str().is_some() || part.size_bytes() <= 64 * TURN_BYTES_MAX;
    if is_walkable { strings_cut(part, TURN_STRING_BYTES_MAX) } else { too_large() }
}

/// Gives how many bytes a value takes as JSON, or a bound above it when it is small enough in any case.
fn encoded_bytes(value: &Value) -> u64 {
    let bound = value.size_bytes().saturating_mul(ESCAPE_BYTES_MAX);
    if bound <= TURN_BYTES_MAX / 16 {
        return bound;
    }
    let mut counted = Counted(0);
    // Counting never fails, and a value is always JSON.
    serde_json::to_writer(&mut counted, value).map_or(u64::MAX / 8, |()| counted.0)
}

/// A writer that only counts.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Gives a value as a turn shows it: long strings are cut, and a value that is too large is replaced by a note.
pub fn turn_text(value: &Value) -> Value {
    if value.size_bytes() <= TURN_STRING_BYTES_MAX as u64 {
        return value.clone();
    }
    if value.size_bytes() > 16 * TURN_BYTES_MAX {
        return too_large();
    }
    let cut = strings_cut(value, TURN_STRING_BYTES_MAX);
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

/// Cuts each text in a value behind at most `bytes_max` bytes.
pub fn strings_cut(value: &Value, bytes_max: usize) -> Value {
    match value {
        Value::String(text) if text.len() > bytes_max => Value::string(cut(text, bytes_max)),
        Value::Array(array) => Value::array(array.as_slice().iter().map(|item| strings_cut(item, bytes_max))),
        Value::Object(object) => {
            Value::object(object.iter().map(|(key, value)| (key.clone(), strings_cut(value, bytes_max))))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn too_large() -> Value {
    Value::string(TOO_LARGE)
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

    fn encoded(turn: &TurnContent) -> usize {
        let names = [&turn.tool, &turn.error, &turn.rule, &turn.param].into_iter().flatten().cloned();
        let parts =
            [Some(&turn.parameters), turn.output.as_ref(), turn.prompt.as_ref()].into_iter().flatten();
        Value::array(names.map(Value::from).chain(parts.cloned())).to_string().len()
    }

    #[test]
    fn c7_a_large_output_is_cut_to_16_kib_and_ends_with_the_mark() {
        let output = Some(Value::object([("text", Value::string("x".repeat(1 << 20)))]));
        let turn = turn_cut(TurnContent { output, ..TurnContent::default() }).unwrap();
        let output = turn.output.expect("it was there");
        let text = output.get("text").and_then(Value::as_str).expect("a string");
        assert!(text.len() <= TURN_STRING_BYTES_MAX && text.ends_with(CUT));
        let bare = Some(Value::string("x".repeat(20 << 20)));
        let turn = turn_cut(TurnContent { output: bare, ..TurnContent::default() }).unwrap();
        assert!(
            turn.output.is_some_and(|output| output.size_bytes() <= 17 * 1024),
            "a bare string is only shortened"
        );
    }

    #[test]
    fn c13_many_strings_become_a_note_and_a_long_name_is_cut() {
        let parameters = Value::array((0..64).map(|_| Value::string("p".repeat(8 * 1024))));
        let tool = Some("t".repeat(3 << 20));
        let turn = turn_cut(TurnContent { parameters, tool, ..TurnContent::default() }).unwrap();
        assert_eq!(turn.parameters.as_str(), Some(TOO_LARGE));
        assert!(turn.tool.as_ref().is_some_and(|tool| tool.len() <= 17 * 1024 && tool.ends_with(CUT)));
    }

    #[test]
    fn c17_a_turn_just_under_the_limit_has_its_largest_part_replaced() {
        let output = Some(Value::array((0..16).map(|_| Value::string("o".repeat(16 * 1024 - 4)))));
        let parameters = Value::object([("p", Value::from("kept"))]);
        let turn = turn_cut(TurnContent { output, parameters: parameters.clone(), ..TurnContent::default() })
            .unwrap();
        assert_eq!(turn.output, Some(too_large()));
        assert_eq!(turn.parameters, parameters, "what is not too large stays");
    }

    #[test]
    fn a_turn_fits_however_its_characters_are_encoded() {
        for text in ["\u{0}", "\"", "é", "𝄞", "\n", "x"] {
            let long = text.repeat(20_000);
            let list = || Value::array((0..12).map(|_| Value::from(long.as_str())));
            for (prompt, parameters, output) in [
                (Some(Value::from(long.as_str())), list(), Some(list())),
                (None, Value::from(long.as_str()), Some(Value::from(long.as_str()))),
            ] {
                let name = || Some(long.clone());
                let turn = TurnContent {
                    prompt,
                    tool: name(),
                    parameters,
                    output,
                    error: name(),
                    rule: None,
                    param: None,
                };
                let kept = turn_cut(turn).unwrap();
                assert!(encoded(&kept) as u64 <= TURN_BYTES_MAX, "{text:?} {}", encoded(&kept));
            }
        }
        let hostile = || Some("\u{0}".repeat(16 * 1024));
        let names = TurnContent {
            tool: hostile(),
            error: hostile(),
            rule: hostile(),
            param: hostile(),
            ..TurnContent::default()
        };
        assert_eq!(turn_cut(names), Err(TurnTooLarge));
    }

    #[test]
    fn a_turn_that_fits_is_kept_as_it_is() {
        let turn = TurnContent {
            prompt: Some(Value::from("make the test pass")),
            tool: Some("drive_cli".to_owned()),
            parameters: Value::array((0..15).map(|_| Value::string("p".repeat(16_000)))),
            output: Some(Value::Null),
            ..TurnContent::default()
        };
        assert_eq!(turn_cut(turn.clone()), Ok(turn));
    }
}
