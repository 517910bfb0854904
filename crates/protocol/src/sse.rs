//! Server-sent events, as far as the daemon sends them.

/// An event of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    pub(crate) id: String,
    pub(crate) data: String,
}

/// Cuts a stream of bytes into events, wherever the chunks end.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    event: SseEvent,
}

impl SseParser {
    /// Takes a chunk and gives the events that it completes.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for byte in chunk {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                events.extend((!event.data.is_empty()).then_some(event));
            } else {
                self.field(line);
            }
        }
        events
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = value.to_owned(),
            "data" if self.event.data.is_empty() => self.event.data = value.to_owned(),
            "data" => {
                self.event.data.push('\n');
                self.event.data.push_str(value);
            }
            // A comment has an empty name; other fields are not ours.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_chunks_end() {
        let stream =
            ": hello\n\nid: 7\nevent: x\ndata: {\"é\":1}\n\nid: 8\r\ndata: a\r\ndata: b\r\n\r\n: ping\n\n"
                .as_bytes();
        let event = |id: &str, data: &str| SseEvent { id: id.to_owned(), data: data.to_owned() };
        for size in 1..stream.len() {
            let mut parser = SseParser::default();
            let found: Vec<_> = stream.chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(found, [event("7", "{\"é\":1}"), event("8", "a\nb")], "chunks of {size}");
        }
    }
}
