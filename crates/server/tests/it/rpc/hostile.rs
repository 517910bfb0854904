//! Clients that mean harm or know no better: at most each loses its own connection.

use super::{Bench, Door, eventually, next_run_event};
use crate::harness::{Daemon, WebSocket};
use adjutant_protocol::rpc::NoTools;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};

/// Asks something that every daemon that lives answers.
#[track_caller]
fn lives(door: &Door) -> impl Future<Output = ()> {
    let answer = door.call("server.info", json!({}));
    async move { assert_eq!(answer.await["protocol"], "adjutant-rpc/1") }
}

fn request(daemon: &Daemon) -> ClientRequestBuilder {
    let uri = format!("ws://{}/rpc", daemon.host()).parse().expect("an address");
    ClientRequestBuilder::new(uri).with_header("authorization", format!("Bearer {}", daemon.token))
}

/// Connects with a socket that the kernel buffers little for.
async fn narrow(daemon: &Daemon) -> WebSocketStream<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it is small");
    let stream = socket.connect(daemon.host().parse().expect("an address")).await.expect("the door is open");
    tokio_tungstenite::client_async(request(daemon), stream).await.expect("the door opens").0
}

/// Waits for the close of a connection that may say other things before.
async fn close_of(socket: &mut WebSocket) -> Option<CloseFrame> {
    loop {
        match socket.0.next().await {
            Some(Ok(Message::Close(close))) => return close,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

#[tokio::test]
async fn a_client_that_never_reads_slows_nobody_is_let_go_and_finds_its_cursor_again() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let mut attentive = Door::open(&daemon, NoTools).await;
    let mut deaf = narrow(&daemon).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let run_id = door.start("agent-a").await;
        attentive.call("runs.subscribe", json!({"run_id": run_id})).await;
        let subscribe = json!({"id": run_id, "method": "runs.subscribe", "params": {"run_id": run_id}});
        deaf.send(Message::text(subscribe.to_string())).await.expect("it is sent");
        let answer = deaf.next().await.expect("an answer").expect("a frame").into_text().expect("a text");
        assert!(answer.contains("turns_so_far"), "{answer}");
        runs.push(run_id);
    }
    // From here it reads nothing; what is told is more than the queue and the kernel hold.
    for run_id in &runs {
        for batch in 0..8 {
            let turns = vec![json!({"output": "x".repeat(2 << 10)}); 250];
            let recorded = door.call("runs.record_turns", json!({"run_id": run_id, "turns": turns})).await;
            assert_eq!(recorded["ok"], true);
            for n in 1..=250 {
                assert_eq!(next_run_event(&mut attentive).await.cursor, batch * 250 + n);
            }
        }
    }
    let mut cursors = [0, 0];
    while let Some(Ok(message)) = deaf.next().await {
        match message {
            Message::Text(text) => {
                let event: Value = serde_json::from_str(text.as_str()).expect("JSON");
                let at = runs.iter().position(|run_id| event["params"]["run_id"] == **run_id).expect("a run");
                cursors[at] += 1;
                assert_eq!(event["params"]["cursor"], cursors[at], "what came has no gap");
            }
            // A connection whose socket took nothing for too long ends without a word.
            Message::Close(close) => {
                let close = close.expect("a reason");
                assert_eq!(close.code, CloseCode::Policy);
                assert!(close.reason.contains("come back with your cursor"), "{close}");
            }
            _ => {}
        }
    }
    assert!(cursors[1] < 2000, "it was let go: {cursors:?}");
    let tail = door.call("runs.subscribe", json!({"run_id": runs[1]})).await;
    assert_eq!(
        (&tail["cursor"], &tail["turns_so_far"][cursors[1]]["index"]),
        (&json!(2000), &json!(cursors[1]))
    );
    daemon.stop().await;
}

#[tokio::test]
async fn an_upgrade_and_frames_in_pieces_of_seven_bytes_are_understood() {
    let daemon = Daemon::start().await;
    let (near, far) = tokio::io::duplex(7);
    let stream = daemon.connect().await;
    stream.set_nodelay(true).expect("each write is sent");
    let (mut from_door, mut to_door) = stream.into_split();
    let (mut from_client, mut to_client) = tokio::io::split(far);
    let answers = tokio::spawn(async move { tokio::io::copy(&mut from_door, &mut to_client).await });
    let pieces = tokio::spawn(async move {
        let mut piece = [0; 7];
        while let Ok(len @ 1..) = from_client.read(&mut piece).await {
            to_door.write_all(&piece[..len]).await.expect("it is sent");
        }
    });
    let (mut socket, _) =
        tokio_tungstenite::client_async(request(&daemon), near).await.expect("the door opens");
    for n in 0..3 {
        let call = json!({"id": n, "method": "state.set", "params": {"key": "é", "value": "ü".repeat(300)}});
        socket.send(Message::text(call.to_string())).await.expect("it is sent");
        let answer = socket.next().await.expect("an answer").expect("a frame").into_text().expect("a text");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((&answer["id"], &answer["result"]), (&json!(n), &json!("ok")));
    }
    drop(socket);
    pieces.await.expect("the pieces end");
    answers.abort();
    daemon.stop().await;
}

#[tokio::test]
async fn a_connection_that_breaks_in_a_callback_leaves_no_turn_open_and_a_truthful_end() {
    let daemon = Daemon::with_lease(50).await;
    let watcher = Door::open(&daemon, NoTools).await;
    let mut raw = daemon.web_socket(Some(&daemon.token)).await;
    let action = |id: &str| json!({"id": id, "type": "tool_call", "tool": "t", "write_set": ["k"]});
    for call in [
        json!({"method": "tools.register", "params": [{"name": "t"}]}),
        json!({"id": 1, "method": "runs.start", "params": {"agent_id": "agent-a", "intent": "test"}}),
    ] {
        raw.send(&call.to_string()).await;
    }
    let run_id = raw.next().await.expect("an answer")["result"]["run_id"].clone();
    let proposal = json!({"proposal": {"actions": [action("open"), action("later")]}});
    raw.send(&json!({"id": 2, "method": "proposal.submit", "params": proposal}).to_string()).await;
    assert_eq!(raw.next().await.expect("a call")["params"]["action_id"], "open");
    // No close, no end of the stream: the peer resets the connection.
    let stream = raw.0.get_ref().get_ref();
    stream.set_zero_linger().expect("it is reset");
    drop(raw);
    let records = eventually(async || {
        let trace = watcher.call("runs.get_trace", json!({"run_id": run_id})).await;
        let records = trace["records"].as_array().expect("records").clone();
        (records.last()?["record"] == "ended").then_some(records)
    })
    .await;
    let [_, open, later, ended] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((&open["action_id"], &open["status"]), (&json!("open"), &json!("cancelled")));
    assert_eq!((&later["action_id"], &later["status"]), (&json!("later"), &json!("cancelled")));
    assert!(open["error"].as_str().expect("a reason").starts_with("canceled:"), "{open}");
    assert!(later["error"].as_str().expect("a reason").starts_with("not started:"), "{later}");
    assert_eq!(ended["termination"], json!({"kind": "incomplete"}));
    daemon.stop().await;
}

#[tokio::test]
async fn frames_that_are_no_messages_are_answered_and_the_connection_goes_on() {
    let daemon = Daemon::start().await;
    let mut raw = daemon.web_socket(Some(&daemon.token)).await;
    let garbage = json!([1, null, "x", [], {}, true, 1.5]).to_string();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (frame, code) in [
        ("", -32700),
        ("no JSON", -32700),
        ("[", -32700),
        (deep.as_str(), -32700),
        ("[]", -32600),
        ("7", -32600),
    ] {
        raw.send(frame).await;
        let answer = raw.next().await.expect("an answer");
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &Value::Null), "{frame:.20}");
    }
    raw.0.send(Message::binary(b"{}".to_vec())).await.expect("it is sent");
    assert_eq!(raw.next().await.expect("an answer")["error"]["code"], -32600);
    raw.send(&garbage).await;
    let answers = raw.next().await.expect("an answer");
    let answers = answers.as_array().expect("a batch");
    assert_eq!(answers.len(), 7);
    assert!(answers.iter().all(|answer| answer["error"]["code"] == -32600), "{answers:?}");
    for id in
        [json!(null), json!(false), json!(-0.5), json!(u64::MAX), json!(""), json!([1]), json!({"a": {}})]
    {
        raw.send(&json!({"id": id, "method": "state.keys"}).to_string()).await;
        assert_eq!(raw.next().await, Some(json!({"jsonrpc": "2.0", "id": id, "result": []})));
        raw.send(&json!({"id": id, "method": 7}).to_string()).await;
        let answer = raw.next().await.expect("an answer");
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(-32600)));
    }
    daemon.stop().await;
}

#[tokio::test]
async fn text_that_is_none_closes_its_own_connection_and_says_so() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let mut raw = daemon.web_socket(Some(&daemon.token)).await;
    let wrong = Frame::message(vec![b'{', 0xff, b'}'], OpCode::Data(Data::Text), true);
    raw.0.send(Message::Frame(wrong)).await.expect("it is sent");
    assert_eq!(close_of(&mut raw).await.expect("a close").code, CloseCode::Invalid);
    lives(&door).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_its_own_connection_and_says_how_large_one_may_be() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, Bench::default()).await;
    let mut raw = daemon.web_socket(Some(&daemon.token)).await;
    // The head of a frame: final, text, masked, and a length of eight bytes.
    let mut head = vec![0x81, 0x80 | 127];
    head.extend_from_slice(&((16_u64 << 20) + 1).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    raw.0.get_mut().write_all(&head).await.expect("it is sent");
    let close = close_of(&mut raw).await.expect("a close");
    assert_eq!(close.code, CloseCode::Size);
    assert!(close.reason.contains("16777216 bytes"), "{close}");
    lives(&door).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_nested_too_deep_to_be_told_again_is_refused() {
    let daemon = Daemon::start().await;
    let mut raw = daemon.web_socket(Some(&daemon.token)).await;
    let mut n = 0;
    for depth in [100, 107, 120, 124] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for method in [
            format!(
                r#""policy.register", "params": {{"rule": "require_state", "key": "k", "value": {deep}}}"#
            ),
            format!(r#""state.set", "params": {{"key": "k", "value": {deep}}}"#),
            r#""policy.list""#.to_owned(),
            r#""state.snapshot""#.to_owned(),
        ] {
            n += 1;
            raw.send(&format!(r#"{{"id": {n}, "method": {method}}}"#)).await;
            // What cannot be read here cannot be read by a client either.
            let answer = raw.next().await.expect("an answer");
            let expected = if depth > 107 && method.contains("params") { json!(-32600) } else { Value::Null };
            assert_eq!(
                (&answer["id"], &answer["error"]["code"]),
                (&json!(n), &expected),
                "{depth} {method:.20}"
            );
        }
    }
    daemon.stop().await;
}
