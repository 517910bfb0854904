//! A receiver of traces: a real HTTP server on loopback, with TLS where a test wants it, that decodes what it is sent.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

/// A test that waits for longer fails.
const DEADLINE: Duration = Duration::from_secs(60);
/// A certificate is good for so long around now; some systems take none that is good for years.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);

/// So many authorities were made.
static MADE: AtomicU32 = AtomicU32::new(1);

/// What came to a receiver.
#[derive(Debug)]
enum Arrival {
    /// The head of a request, and the batch in it.
    Batch(String, ExportTraceServiceRequest),
    /// A client that hung up before it had sent anything, and what was seen of that.
    HungUp(String),
}

/// The receiver; it answers each batch with the same status.
#[derive(Debug)]
pub struct TraceReceiver {
    address: String,
    arrivals: UnboundedReceiver<Arrival>,
    heads: Vec<String>,
}

impl TraceReceiver {
    /// Starts one that answers with this status, such as `200 OK`.
    pub async fn start(status: &'static str) -> Self {
        Self::start_with(status, None).await
    }

    /// Starts one that speaks TLS with a certificate of its own.
    pub async fn start_tls(status: &'static str, identity: Arc<ServerConfig>) -> Self {
        Self::start_with(status, Some(TlsAcceptor::from(identity))).await
    }

    async fn start_with(status: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let (told, arrivals) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone(), status, told.clone()));
            }
        });
        TraceReceiver { address, arrivals, heads: Vec::new() }
    }

    /// Gives its address, as the setting takes it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Gives the heads of the requests so far.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// Waits for a span of this name; gives it with all that came before.
    pub async fn until(&mut self, name: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        while !spans.iter().any(|span: &Span| span.name == name) {
            match self.arrival().await {
                Arrival::Batch(head, batch) => spans.extend(self.read(head, batch)),
                Arrival::HungUp(why) => panic!("waiting for {name}: a client hung up: {why}"),
            }
        }
        spans
    }

    /// Waits for a client that hangs up instead of sending anything; gives what was seen of that.
    pub async fn until_hung_up(&mut self) -> String {
        match self.arrival().await {
            Arrival::HungUp(why) => why,
            Arrival::Batch(head, _) => panic!("something was sent: {head}"),
        }
    }

    async fn arrival(&mut self) -> Arrival {
        let arrival = tokio::time::timeout(DEADLINE, self.arrivals.recv()).await;
        arrival.expect("something comes in time").expect("the receiver lives")
    }

    fn read(&mut self, head: String, batch: ExportTraceServiceRequest) -> Vec<Span> {
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        let resource = &batch.resource_spans[0].resource.as_ref().expect("a resource").attributes;
        assert!(resource.iter().any(|pair| pair.key == "service.name"), "{resource:?}");
        self.heads.push(head);
        let scopes = batch.resource_spans.into_iter().flat_map(|of| of.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    status: &'static str,
    told: UnboundedSender<Arrival>,
) {
    match tls {
        None => answer(stream, status, told).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => answer(stream, status, told).await,
            // The test may have ended.
            Err(error) => drop(told.send(Arrival::HungUp(error.to_string()))),
        },
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    status: &'static str,
    told: UnboundedSender<Arrival>,
) {
    let (mut read, mut is_fresh) = (Vec::new(), true);
    let mut chunk = [0; 16_384];
    loop {
        match stream.read(&mut chunk).await {
            Ok(count @ 1..) => read.extend_from_slice(&chunk[..count]),
            // With TLS 1.3 a client refuses a certificate when the server takes the connection for made.
            Err(error) if is_fresh => return drop(told.send(Arrival::HungUp(error.to_string()))),
            // Whoever has sent something may go as it likes.
            Ok(0) | Err(_) => return,
        }
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.expect("a length");
        if read.len() < end + 4 + length {
            continue;
        }
        let body = ExportTraceServiceRequest::decode(&read[end + 4..end + 4 + length]).expect("a batch");
        read.drain(..end + 4 + length);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("it is sent");
        drop(told.send(Arrival::Batch(head, body)));
        is_fresh = false;
    }
}

/// Gives an attribute of a span as text; nothing when it is not there.
pub fn attribute(span: &Span, name: &str) -> Option<String> {
    let pair = span.attributes.iter().find(|pair| pair.key == name)?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::BoolValue(is_so) => Some(is_so.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

/// A certification authority of a test's own, which nobody else knows.
#[derive(Debug)]
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}

impl TestCa {
    /// Makes one.
    pub fn new() -> Self {
        let mut params = good_now(CertificateParams::new([]).expect("no name is wrong"));
        // No two have the same name, or one would be taken for the other with a wrong signature.
        let name = format!("authority {} of a test", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        TestCa { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// Gives its certificate in PEM.
    pub fn pem(&self) -> String {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(self.issuer.der());
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        for line in encoded.as_bytes().chunks(64) {
            writeln!(pem, "{}", String::from_utf8_lossy(line)).expect("a text takes everything");
        }
        pem + "-----END CERTIFICATE-----\n"
    }

    /// Gives what a server of this name or address shows, with a certificate of this authority.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        let params = good_now(CertificateParams::new([name.to_owned()]).expect("it is a name"));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.expect("the key is the certificate's"))
    }
}

fn good_now(mut params: CertificateParams) -> CertificateParams {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than that");
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + (now - GOOD_FOR);
    params.not_after = epoch + (now + GOOD_FOR);
    params
}
