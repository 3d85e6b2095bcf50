//! Both ends of HTTP/1.1, written and read by hand.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    End, Line, Message,
    generate::{Answer, Payload, Request},
};

/// A connection and what was read of it ahead.
pub(super) struct Wire<S> {
    stream: S,
    ahead: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let length = self.stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.ahead.extend_from_slice(&buffer[..length]);
        Ok(())
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            self.fill().await?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// A line without its end.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let mut line = self.take(end + 2).await?;
                line.truncate(end);
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    async fn lines(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(lines);
            }
            let colon = line.iter().position(|&byte| byte == b':').unwrap();
            let name = String::from_utf8(line[..colon].to_vec()).unwrap();
            lines.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
    }

    /// A start line and the lines of the head.
    pub(super) async fn head(&mut self) -> io::Result<(String, Vec<Line>)> {
        let start = String::from_utf8(self.line().await?).unwrap();
        Ok((start, self.lines().await?))
    }

    /// The rest of a message whose head that was; `bodiless` if it has no body whatever it says.
    pub(super) async fn rest(
        &mut self,
        start: String,
        lines: Vec<Line>,
        bodiless: bool,
    ) -> io::Result<Message> {
        let mut message = Message {
            start,
            lines,
            ..Message::default()
        };
        if bodiless {
            return Ok(message);
        }
        if value(&message.lines, "transfer-encoding").is_some() {
            message.end = End::Chunk;
            loop {
                let size = String::from_utf8(self.line().await?).unwrap();
                let size = usize::from_str_radix(&size, 16).unwrap();
                if size == 0 {
                    break;
                }
                message.body.extend(self.take(size).await?);
                assert!(self.line().await?.is_empty());
            }
            message.trailers = self.lines().await?;
        } else if let Some(length) = value(&message.lines, "content-length") {
            message.end = End::Length;
            message.body = self.take(length.parse().unwrap()).await?;
        }
        Ok(message)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

/// The first value of a name.
pub(super) fn value<'a>(lines: &'a [Line], name: &str) -> Option<&'a str> {
    let found = lines
        .iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| std::str::from_utf8(value).unwrap())
}

fn write_head(start: &str, lines: &[Line], payload: &Payload) -> Vec<u8> {
    let mut head = format!("{start}\r\n").into_bytes();
    for (name, value) in lines {
        head.extend(format!("{name}: ").bytes());
        head.extend(value);
        head.extend(b"\r\n");
    }
    match payload {
        Payload::None => {}
        Payload::Length(body) => head.extend(format!("Content-Length: {}\r\n", body.len()).bytes()),
        Payload::Chunks(..) => head.extend(b"Transfer-Encoding: chunked\r\n"),
    }
    head.extend(b"\r\n");
    head
}

fn write_body(payload: &Payload) -> Vec<u8> {
    let mut bytes = Vec::new();
    match payload {
        Payload::None => {}
        Payload::Length(body) => bytes.extend(body),
        Payload::Chunks(chunks, trailers) => {
            for chunk in chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n");
            for (name, value) in trailers {
                bytes.extend(format!("{name}: ").bytes());
                bytes.extend(value);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"\r\n");
        }
    }
    bytes
}

/// Sends a request and reads its answer.
pub(super) async fn ask<S>(
    wire: &mut Wire<S>,
    request: &Request,
    host: &str,
    id: &str,
) -> io::Result<Message>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut lines = vec![
        ("Host".to_owned(), host.as_bytes().to_vec()),
        ("X-Case".to_owned(), id.as_bytes().to_vec()),
    ];
    lines.extend(request.lines.clone());
    if request.expects {
        lines.push(("Expect".to_owned(), b"100-continue".to_vec()));
    }
    let start = format!("{} {} HTTP/1.1", request.method, request.target);
    let mut bytes = write_head(&start, &lines, &request.payload);
    if request.expects {
        wire.write(&bytes).await?;
        let (start, lines) = wire.head().await?;
        if !start.starts_with("HTTP/1.1 100") {
            return read_answer(wire, request, &start, lines).await;
        }
        bytes.clear();
    }
    bytes.extend(write_body(&request.payload));
    wire.write(&bytes).await?;
    let (start, lines) = wire.head().await?;
    read_answer(wire, request, &start, lines).await
}

async fn read_answer<S>(
    wire: &mut Wire<S>,
    request: &Request,
    start: &str,
    lines: Vec<Line>,
) -> io::Result<Message>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let status = start.split(' ').nth(1).unwrap().to_owned();
    let bodiless = request.method == "HEAD" || matches!(status.as_str(), "204" | "304");
    wire.rest(status, lines, bodiless).await
}

/// Reads a request and gives it with the value of its `X-Case`; says `100 Continue` if it waits.
pub(super) async fn hear<S>(wire: &mut Wire<S>) -> io::Result<(String, Message)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (start, lines) = wire.head().await?;
    let id = value(&lines, "x-case").unwrap().to_owned();
    if value(&lines, "expect").is_some() {
        wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    Ok((id, wire.rest(start, lines, false).await?))
}

/// Answers a request of that method.
pub(super) async fn answer<S>(wire: &mut Wire<S>, method: &str, answer: &Answer) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let start = format!("HTTP/1.1 {} Said", answer.status);
    // Without any framing an answer would last until the connection ends.
    let bodiless = method == "HEAD" || matches!(answer.status, 204 | 304);
    let payload = match &answer.payload {
        Payload::None if !bodiless => &Payload::Length(Vec::new()),
        payload => payload,
    };
    let mut bytes = write_head(&start, &answer.lines, payload);
    bytes.extend(write_body(payload));
    wire.write(&bytes).await
}
