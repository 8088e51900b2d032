use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::JoinHandle,
};

use azure_core::http::Url;

use super::*;

/// Answers one request with these bytes, and gives back what was asked.
fn server(answer: impl Into<Vec<u8>>) -> (Url, JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token?a=b", listener.local_addr().expect("bound"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = Vec::new();
        let mut chunk = [0; 1024];
        while !asked.windows(4).any(|window| window == b"\r\n\r\n") {
            let read = stream.read(&mut chunk).expect("a request");
            asked.extend_from_slice(&chunk[..read]);
        }
        // Fails where the client has read enough.
        let _ = stream.write_all(&answer);
        String::from_utf8(asked).expect("text")
    });
    (url.parse().expect("an address"), asked)
}

async fn ask(url: Url) -> Result<AsyncRawResponse, TokenFailure> {
    let wire =
        Wire::to_managed_identity(IdentityEndpoint::Named { has_tls: false }).expect("a client");
    let mut request = Request::new(url, Method::Get);
    request.insert_header("x-identity-header", "s3cr3t");
    let answer = wire.execute_request(&request).await;
    answer.map_err(|error| {
        // Requests that fail by `Io` or `Connection` the SDK repeats.
        assert_eq!(error.kind(), &AzureKind::Other);
        let shown = format!("{error} {error:?}");
        let failure = TokenFailure::of(&error);
        assert!(!shown.contains(&*failure.text), "a log shows {shown}");
        failure
    })
}

#[tokio::test]
async fn a_success_is_handed_on() {
    let (url, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let answer = ask(url).await.expect("an answer");
    assert_eq!(u16::from(answer.status()), 200);
    let body = answer.into_body().collect().await.expect("a body");
    assert_eq!(&body[..], b"ok");
    let asked = asked.join().expect("a request");
    assert!(asked.starts_with("GET /token?a=b HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-identity-header: s3cr3t\r\n"), "{asked}");
}

#[tokio::test]
async fn a_refusal_is_read_and_not_handed_on() {
    let body = r#"{"error_description":"slow down"}"#;
    let (url, _) = server(format!(
        "HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let failure = ask(url).await.expect_err("a refusal");
    assert_eq!(failure.kind, ErrorKind::Identity);
    assert_eq!(failure.text, "status 429: slow down");
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (url, _) = server("HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n");
    let failure = ask(url).await.expect_err("a redirect");
    assert_eq!(failure.text, "status 302");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(ANSWER + 100_000, b'x');
    let (url, _) = server(answer);
    let failure = ask(url).await.expect_err("too long");
    assert_eq!(failure.kind, ErrorKind::Decode);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let (url, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok");
    let failure = ask(url).await.expect_err("half an answer");
    assert_eq!(failure.kind, ErrorKind::Connect);
    assert_eq!(failure.text, "the answer broke off");
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_named() {
    // Held and not listened on, so that nobody else can take the port and answer.
    let port = tokio::net::TcpSocket::new_v4().expect("a socket");
    port.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = port.local_addr().expect("bound");
    let url = format!("http://{address}/").parse().expect("an address");
    let failure = ask(url).await.expect_err("nobody");
    assert_eq!(failure.kind, ErrorKind::Connect);
    let start = format!("no answer from {address}: ");
    assert!(failure.text.starts_with(&start), "{}", failure.text);
    assert!(failure.text.contains("refused"), "{}", failure.text);
}

#[test]
fn a_client_serves_also_where_its_first_runtime_stands_still() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            // As far as the server is concerned the connection could be used again.
            open.push(stream);
        }
    });
    let wire =
        Wire::to_managed_identity(IdentityEndpoint::Named { has_tls: false }).expect("a client");
    let url: Url = format!("http://{address}/").parse().expect("an address");
    let ask = || {
        let request = Request::new(url.clone(), Method::Get);
        let wire = &wire;
        async move {
            let limit = Duration::from_secs(30);
            let answer = tokio::time::timeout(limit, wire.execute_request(&request)).await;
            answer.expect("an answer in time").expect("a success");
        }
    };
    let runtimes = [(); 2].map(|()| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().expect("a runtime")
    });
    // The first one lives on, and nobody drives it.
    for runtime in &runtimes {
        runtime.block_on(ask());
    }
}

#[tokio::test]
async fn where_nobody_answers_a_metadata_service_is_given_up_soon() {
    // Of a queue that is full, Linux lets connections wait.
    let queue = tokio::net::TcpSocket::new_v4().expect("a socket");
    let any = "127.0.0.1:0".parse().expect("an address");
    queue.bind(any).expect("a port");
    let queue = queue.listen(0).expect("a queue");
    let address = queue.local_addr().expect("bound");
    let mut waiting = Vec::new();
    let moment = Duration::from_millis(200);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, moment) {
        waiting.push(stream);
    }

    let wire = Wire::to_managed_identity(IdentityEndpoint::Metadata).expect("a client");
    let url = format!("http://{address}/").parse().expect("an address");
    let request = Request::new(url, Method::Get);
    let limit = Duration::from_secs(30);
    let answer = tokio::time::timeout(limit, wire.execute_request(&request)).await;
    let error = answer.expect("it gave up").expect_err("nobody");
    let failure = TokenFailure::of(&error);
    assert_eq!(failure.text, format!("nobody answers at {address}"));
    assert_eq!(failure.kind, ErrorKind::Connect);
}
