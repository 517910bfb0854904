//! What an agent gives its hook: read up to a bound, and understood as far as it goes.

use adjutant_model::hook::HookEvent;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::Read;

/// So much of a payload is kept; one that is larger is not handed on.
const BYTES_MAX: usize = 8 << 20;

/// What an agent gave.
#[derive(Debug, Default)]
pub(super) struct Payload {
    bytes: Vec<u8>,
    /// Whether there was more than is kept.
    is_cut: bool,
    /// Whether the command line names the event and the payload does not.
    adds_event: bool,
    event: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) has_turn: bool,
    pub(super) has_prompt: bool,
}

impl Payload {
    /// Reads to the end, so that the agent is not left with a broken pipe, and keeps what may be kept.
    pub(super) fn read(mut input: impl Read, event: Option<String>) -> Self {
        let mut payload = Payload::default();
        // What cannot be read any more has ended; what came before it is what there is.
        drop(input.by_ref().take(BYTES_MAX as u64).read_to_end(&mut payload.bytes));
        let mut rest = [0; 64 * 1024];
        while input.read(&mut rest).is_ok_and(|count| count > 0) {
            payload.is_cut = true;
        }
        let text = String::from_utf8_lossy(&payload.bytes).into_owned();
        // The error is where the text ends or makes no sense: what stood before it is known.
        drop(Members(&mut payload).deserialize(&mut serde_json::Deserializer::from_str(&text)));
        payload.bytes = text.into_bytes();
        if payload.event.is_none() {
            payload.adds_event = event.is_some();
            payload.event = event;
        }
        payload
    }

    /// Gives the event, when its name is known.
    pub(super) fn event(&self) -> Option<HookEvent> {
        HookEvent::parse(self.event.as_deref()?)
    }

    /// Gives how large it was, as far as it is known.
    pub(super) fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Gives what is known of it, with the event's name; nothing when that is not known.
    pub(super) fn value(&self) -> Option<serde_json::Value> {
        let whole = self.body().ok().and_then(|body| serde_json::from_slice(&body).ok());
        if let Some(whole @ serde_json::Value::Object(_)) = whole {
            return whole.get("hook_event_name").is_some().then_some(whole);
        }
        let event = self.event.as_deref()?;
        Some(serde_json::json!({"hook_event_name": event, "tool_name": self.tool}))
    }

    /// Gives what the daemon is sent; why not when it is not sent.
    pub(super) fn body(&self) -> Result<Cow<'_, [u8]>, String> {
        if self.is_cut {
            return Err(format!("what the agent gave its hook is larger than {} MiB", BYTES_MAX >> 20));
        }
        let Some(event) = self.event.as_deref().filter(|_| self.adds_event) else {
            return Ok(Cow::Borrowed(&self.bytes));
        };
        let mut members = match serde_json::from_slice(&self.bytes) {
            Ok(serde_json::Value::Object(members)) => members,
            Ok(_) => return Err("what the agent gave its hook is no object".to_owned()),
            Err(_) if self.bytes.iter().all(u8::is_ascii_whitespace) => serde_json::Map::new(),
            Err(error) => return Err(format!("what the agent gave its hook cannot be read: {error}")),
        };
        members.insert("hook_event_name".to_owned(), event.into());
        Ok(Cow::Owned(serde_json::Value::Object(members).to_string().into_bytes()))
    }
}

/// Notes the members of the outer object as they come, so that those before an error are known.
struct Members<'a>(&'a mut Payload);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            match &*key {
                "hook_event_name" => self.0.event = members.next_value::<Text>()?.0,
                "tool_name" => self.0.tool = members.next_value::<Text>()?.0,
                "turn_id" => {
                    self.0.has_turn = true;
                    members.next_value::<IgnoredAny>()?;
                }
                "prompt_id" => {
                    self.0.has_prompt = true;
                    members.next_value::<IgnoredAny>()?;
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A text; of another type nothing.
struct Text(Option<String>);

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Text(value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], event: Option<&str>) -> Payload {
        Payload::read(text, event.map(str::to_owned))
    }

    #[test]
    fn a_payload_is_understood_as_far_as_it_goes() {
        let whole = r#"{"session_id":"s","hook_event_name":"PreToolUse","turn_id":"t","tool_name":"Bash","tool_input":{"a":1}}"#;
        for (text, event, tool) in [
            (whole, Some(HookEvent::PreToolUse), Some("Bash")),
            (&whole[..whole.len() - 9], Some(HookEvent::PreToolUse), Some("Bash")),
            (&whole[..60], Some(HookEvent::PreToolUse), None),
            (r#"{"hook_event_name":7,"tool_name":[]}"#, None, None),
            ("[1]", None, None),
            ("", None, None),
            ("nonsense", None, None),
        ] {
            let found = read(text.as_bytes(), None);
            assert_eq!((found.event(), found.tool.as_deref()), (event, tool), "{text}");
            assert_eq!(&*found.body().unwrap(), text.as_bytes());
        }
        assert!(read(whole.as_bytes(), None).has_turn);
    }

    #[test]
    fn the_command_line_names_the_event_of_a_payload_that_does_not() {
        for (text, sent) in [
            ("", Some(r#"{"hook_event_name":"Stop"}"#)),
            (r#"{"a":1}"#, Some(r#"{"a":1,"hook_event_name":"Stop"}"#)),
            (r#"{"hook_event_name":"PreToolUse"}"#, Some(r#"{"hook_event_name":"PreToolUse"}"#)),
            ("[1]", None),
            ("{", None),
        ] {
            let found = read(text.as_bytes(), Some("Stop"));
            let body = found.body().ok().map(|body| String::from_utf8(body.into_owned()).unwrap());
            assert_eq!(body.as_deref(), sent, "{text}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced_and_what_is_too_much_is_refused_but_known() {
        let found = read(b"{\"hook_event_name\":\"Stop\",\"x\":\"\xff\"}", None);
        assert_eq!(found.event(), Some(HookEvent::Stop));
        assert!(std::str::from_utf8(&found.body().unwrap()).unwrap().contains('\u{fffd}'));
        let head = br#"{"hook_event_name":"PreToolUse","tool_name":"Write","tool_input":{"content":""#;
        let huge = head.chain(std::io::repeat(b'x').take(100 << 20));
        let found = Payload::read(huge, None);
        assert_eq!((found.event(), found.tool.as_deref()), (Some(HookEvent::PreToolUse), Some("Write")));
        assert!(found.body().unwrap_err().contains("larger than 8 MiB") && found.bytes.len() <= BYTES_MAX);
    }
}
