//! What a plain scalar says, by the core schema of YAML 1.2 (section 10.3.2 of its specification).

use adjutant_model::Value;

/// The integers up to here are exact in every reader of JSON; canonical JSON (RFC 8785) rounds larger ones.
const EXACT_MAX: u64 = 1 << 53;

/// The tags of the core schema for scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Null,
    Bool,
    Int,
    Float,
    Str,
}

/// Reads an untagged plain scalar: what is no null, boolean or number is a string.
///
/// # Errors
/// A sentence fragment when it is a number that a value cannot hold.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    if let Some(value) = null(text).or_else(|| boolean(text)) {
        return Ok(value);
    }
    match integer(text).or_else(|| float(text)) {
        Some(number) => number,
        None => Ok(Value::from(text)),
    }
}

/// Reads a scalar with a tag.
///
/// # Errors
/// A sentence fragment when the text is not what the tag says.
pub(super) fn tagged(tag: Tag, text: &str) -> Result<Value, String> {
    let found = match tag {
        Tag::Str => Some(Ok(Value::from(text))),
        Tag::Null => null(text).map(Ok),
        Tag::Bool => boolean(text).map(Ok),
        Tag::Int => integer(text),
        Tag::Float => float(text),
    };
    found.unwrap_or_else(|| Err(format!("`{}` is not what its tag says", cut(text))))
}

/// Reads a number of JSON.
///
/// # Errors
/// A sentence fragment when it is one that a value cannot hold.
pub(super) fn json_number(text: &str) -> Result<Value, String> {
    integer(text).or_else(|| float(text)).unwrap_or_else(|| Err(format!("`{}` is not a number", cut(text))))
}

fn null(text: &str) -> Option<Value> {
    matches!(text, "" | "~" | "null" | "Null" | "NULL").then_some(Value::Null)
}

fn boolean(text: &str) -> Option<Value> {
    match text {
        "true" | "True" | "TRUE" => Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Result<Value, String>> {
    let (negative, digits, radix) = match (text.strip_prefix("0o"), text.strip_prefix("0x")) {
        (Some(digits), _) => (false, digits, 8),
        (None, Some(digits)) => (false, digits, 16),
        (None, None) => {
            let negative = text.starts_with('-');
            (negative, text.strip_prefix(['-', '+']).unwrap_or(text), 10)
        }
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok().filter(|magnitude| *magnitude <= EXACT_MAX);
    let Some(magnitude) = magnitude.and_then(|magnitude| i64::try_from(magnitude).ok()) else {
        return Some(Err(format!(
            "the integer {} is beyond ±2^53 and would lose digits; write it as a string",
            cut(text)
        )));
    };
    Some(Ok(Value::from(if negative { -magnitude } else { magnitude })))
}

fn float(text: &str) -> Option<Result<Value, String>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(format!("JSON has no form for {text}")));
    }
    if !is_float(unsigned) {
        return None;
    }
    let number = text.parse::<f64>().ok().and_then(Value::from_f64);
    Some(number.ok_or_else(|| format!("the number {} is too large", cut(text))))
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => is_digits(whole) && is_digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !mantissa.is_empty() && is_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && is_digits(digits)
    });
    mantissa_fits && exponent_fits
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}
