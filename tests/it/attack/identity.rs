//! Who asks: nobody becomes somebody else by what a request says.

use std::sync::Arc;

use proxy::{Gate, Options};
use tokio::io::AsyncWriteExt;

use crate::support::{
    http2::{self, Client, Frame},
    recorder::Recorder,
    wire::{Upstream, connect, exchange, last_words, read_head},
};

#[tokio::test]
async fn connection_cannot_take_off_who_asks() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    for connection in [
        "Connection: foo, Impersonate-User , impersonate-group",
        "Connection: keep-alive\r\nConnection: authorization",
        "Connection:\r\nConnection: authorization",
        "Connection:\tAuthorization\t,",
        "Connection: IMPERSONATE-USER,",
        "Connection: X-Remote-User",
        "Connection: x_remote_user",
        "Connection: impersonate_user",
        "Connection: Host",
        "Connection: Cookie",
        "Connection: close, Authorization",
        "Connection: Sec-WebSocket-Protocol",
        "Connection: Upgrade, X-Stream-Protocol-Version",
        "Connection: X-Forwarded-For",
        "Connection: content-length\r\nContent-Length: 0",
        "Connection: :path",
    ] {
        let request = format!(
            "GET /api/v1/secrets HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer T\r\n{connection}\r\nImpersonate-User: bob\r\n\r\nGET /next HTTP/1.1\r\nHost: p\r\n\r\n"
        );
        let answer = last_words(&proxy, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{connection}: {answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "{connection}: {answer}"
        );
    }
    let bytes = b"GET /api HTTP/1.1\r\nHost: p\r\nConnection: \xff\r\n\r\n";
    let answer = last_words(&proxy, bytes).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
    proxy.stop().await;
}

const SPOOFS: [&str; 8] = [
    "x-remote-user",
    "x-remote-group",
    "x-remote-uid",
    "x-remote-extra-foo",
    "x_remote_user",
    "x-remote_group",
    "x_remote-uid",
    "x_remote_extra_scopes",
];

#[tokio::test]
async fn the_headers_of_an_authenticating_proxy_do_not_arrive() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let spoofs: String = SPOOFS
        .iter()
        .flat_map(|name| [name.to_uppercase(), (*name).to_owned()])
        .map(|name| format!("{name}: system:admin\r\n"))
        .collect();
    let request = format!("GET /api HTTP/1.1\r\nHost: p\r\n{spoofs}X-Remotely: stays\r\n\r\n");
    assert!(
        exchange(&proxy, request.as_bytes())
            .await
            .0
            .starts_with("HTTP/1.1 200")
    );
    let head = upstream.heads()[0].to_lowercase();
    assert!(!head.contains("system:admin"), "{head}");
    assert!(head.contains("x-remotely: stays\r\n"), "{head}");
    proxy.stop().await;

    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    let mut headers = http2::get("/api").to_vec();
    headers.extend(SPOOFS.map(|name| (name, "system:admin")));
    client.send(&Frame::head(1, true, &headers)).await;
    assert_eq!(client.status(1).await, 200);
    let arrived = &recorder.requests()[0].headers;
    let names: Vec<_> = arrived.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-forwarded-for"]);
    proxy.stop().await;
}

/// kube-apiserver takes addresses from the first line only.
#[tokio::test]
async fn the_clients_address_ends_the_one_line_of_addresses() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let exec = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (lines, more, expected) in [
        (&[][..], "", "127.0.0.1"),
        (
            &[&b"1.2.3.4"[..], b"5.6.7.8"],
            "",
            "1.2.3.4, 5.6.7.8, 127.0.0.1",
        ),
        (
            &[b"1.2.3.4", b"5.6.7.8"],
            exec,
            "1.2.3.4, 5.6.7.8, 127.0.0.1",
        ),
        (&[b"\xff", b"5.6.7.8"], "", "unknown, 5.6.7.8, 127.0.0.1"),
        (&[b"5.6.7.8", b"caf\xe9"], "", "5.6.7.8, unknown, 127.0.0.1"),
    ] {
        let mut request = b"GET /api HTTP/1.1\r\nHost: p\r\n".to_vec();
        for line in lines {
            request.extend([&b"X-Forwarded-For: "[..], line, b"\r\n"].concat());
        }
        request.extend(format!("{more}Connection: close\r\n\r\n").bytes());
        last_words(&proxy, &request).await;
        assert_eq!(addresses(&upstream.heads().pop().unwrap()), [expected]);
    }
    let many = "1.2.3.4, ".repeat(10_000);
    let request = format!(
        "GET /api HTTP/1.1\r\nHost: p\r\nConnection: close\r\nX-Forwarded-For: {many}5.6.7.8\r\n\r\n"
    );
    last_words(&proxy, request.as_bytes()).await;
    let arrived = addresses(&upstream.heads().pop().unwrap()).concat();
    assert!(arrived.len() <= 4_096, "{}", arrived.len());
    assert!(
        arrived.ends_with("1.2.3.4, 5.6.7.8, 127.0.0.1"),
        "{arrived}"
    );
    proxy.stop().await;

    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let mut client = Client::connect(&proxy, &[]).await;
    let mut headers = http2::get("/api").to_vec();
    headers.extend([
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "\u{e9}"),
    ]);
    client.send(&Frame::head(1, true, &headers)).await;
    assert_eq!(client.status(1).await, 200);
    let arrived = &recorder.requests()[0].headers;
    let lines: Vec<_> = arrived.get_all("x-forwarded-for").iter().collect();
    assert_eq!(lines, ["1.2.3.4, unknown, 127.0.0.1"]);
    proxy.stop().await;
}

/// The lines of `X-Forwarded-For` in a head.
fn addresses(head: &str) -> Vec<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"))
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[tokio::test]
async fn impersonation_and_credentials_go_on_as_they_are() {
    let upstream = Upstream::serving().await;
    let proxy = upstream.proxy().await;
    let lines = [
        "Impersonate-User: system:admin",
        "Impersonate-User: ",
        "Impersonate-Group: a",
        "Impersonate-Group: b",
        "Impersonate-Extra-%2f: %2F",
        "Authorization: Bearer T",
        "Authorization: Bearer X\u{ff}",
    ];
    let mut request = b"GET /api HTTP/1.1\r\nHost: p\r\n".to_vec();
    for line in lines {
        request.extend(line.chars().map(|letter| letter as u8));
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    assert!(
        exchange(&proxy, &request)
            .await
            .0
            .starts_with("HTTP/1.1 200")
    );
    let heads = upstream.heads();
    let arrived: Vec<_> = heads[0]
        .lines()
        .filter(|line| line.starts_with("Imp") || line.starts_with("Auth"))
        .collect();
    // Lines of one name stay together and in their order; that is all that HTTP keeps.
    let of = |lines: &[&str], name: &str| -> Vec<String> {
        let lines = lines.iter().filter(|line| line.starts_with(name));
        lines.map(|line| line.trim_end().to_owned()).collect()
    };
    for name in [
        "Impersonate-User",
        "Impersonate-Group",
        "Impersonate-Extra",
        "Authorization",
    ] {
        assert_eq!(of(&arrived, name), of(&lines, name));
    }
    let nul = b"GET /api HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer \x00\r\n\r\n";
    assert!(last_words(&proxy, nul).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(upstream.heads().len(), 1);
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_speaks_with_the_credential_of_another() {
    let recorder = Recorder::start(1).await;
    let proxy = recorder.proxy().await;
    let requests = super::scaled(300);
    let clients = (0..8).map(|number| {
        let proxy = &proxy;
        async move {
            let mut client = Client::connect(proxy, &[]).await;
            let token = format!("Bearer client-{number}");
            let path = format!("/api/v1/namespaces/client-{number}");
            for request in 0..requests {
                let stream = u32::try_from(2 * request + 1).unwrap();
                let mut headers = http2::get(&path).to_vec();
                // One of them has no credential.
                if number > 0 {
                    headers.push(("authorization", &token));
                }
                client.send(&Frame::head(stream, true, &headers)).await;
                assert_eq!(client.status(stream).await, 200);
            }
        }
    });
    futures_util::future::join_all(clients).await;
    let arrived = recorder.requests();
    assert_eq!(arrived.len(), 8 * requests);
    let mut owners = [None; 8];
    for request in &arrived {
        let number: usize = request.target.rsplit('-').next().unwrap().parse().unwrap();
        let token = request.headers.get("authorization");
        let expected = (number > 0).then(|| format!("Bearer client-{number}"));
        assert_eq!(
            token.map(|token| token.to_str().unwrap().to_owned()),
            expected
        );
        // A connection to the API server belongs to one client.
        assert_eq!(*owners[request.connection].get_or_insert(number), number);
    }
    proxy.stop().await;
}

/// A credential that never changes.
struct Own;

impl proxy::Credential for Own {
    fn present(&self) -> proxy::Presenting<'_> {
        let authorization = Some("Bearer own".parse().unwrap());
        let presented = proxy::Presented {
            authorization,
            serial: 0,
        };
        Box::pin(std::future::ready(Ok(presented)))
    }

    fn refused(&self, _: u64) {}
}

#[tokio::test]
async fn the_listener_of_exec_serves_only_who_knows_its_token() {
    let upstream = Upstream::serving().await;
    let gate = Arc::new(Gate {
        expected: "Bearer gate".parse().unwrap(),
        credential: Arc::new(Own),
    });
    let options = Options {
        gate: Some(gate),
        ..Options::default()
    };
    let proxy = upstream.proxy_with(options).await;
    for authorization in [
        "",
        "Authorization: Bearer gat\r\n",
        "Authorization: Bearer gatee\r\n",
        "Authorization: bearer gate\r\n",
        "Authorization: Bearer own\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer gate\r\n",
    ] {
        let request = format!("GET /api HTTP/1.1\r\nHost: p\r\n{authorization}\r\n");
        let answer = last_words(&proxy, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 401 "),
            "{authorization}: {answer}"
        );
    }
    assert!(upstream.heads().is_empty());
    let mut stream = connect(&proxy).await;
    let request = b"GET /api HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer gate\r\nAuthorization: Bearer x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert!(
        read_head(&mut stream)
            .await
            .unwrap()
            .0
            .starts_with("HTTP/1.1 200")
    );
    let head = &upstream.heads()[0];
    assert!(head.contains("Bearer own\r\n"), "{head}");
    assert!(
        !head.contains("gate") && !head.contains("Bearer x"),
        "{head}"
    );
    drop(stream);
    proxy.stop().await;
}
