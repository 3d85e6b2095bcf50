//! Raw HTTP/2: frames as given, valid or not.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    proxy::TestProxy,
    wire::{LONGEST, connect_with},
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    /// A whole head, with or without a body to come.
    pub fn head(stream: u32, is_last: bool, headers: &[(&str, &str)]) -> Self {
        let flags = END_HEADERS | u8::from(is_last);
        Self::new(HEADERS, flags, stream, head_block(headers))
    }

    pub fn reset(stream: u32, reason: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, reason.to_be_bytes())
    }

    /// The error code of RST_STREAM and GOAWAY.
    pub fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The status of a response's head, which is its first header.
    pub fn status(&self) -> u16 {
        const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        // A change of the table's size comes before all headers.
        let at = self.payload.iter().position(|byte| byte & 0xe0 != 0x20);
        match &self.payload[at.unwrap()..] {
            [first @ 0x88..=0x8e, ..] => STATIC[usize::from(first - 0x88)],
            [_, length, rest @ ..] if length & 0x80 == 0 => {
                std::str::from_utf8(&rest[..3]).unwrap().parse().unwrap()
            }
            [_, length, rest @ ..] => huffman_number(&rest[..usize::from(length & 0x7f)]),
            _ => panic!("no status: {self:?}"),
        }
    }
}

/// Three digits in the code of HPACK: 0 to 2 have five bits, the others six.
fn huffman_number(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let take = |at: usize, count: usize| bits[at..at + count].iter().fold(0, |n, bit| n << 1 | bit);
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let five = take(at, 5);
        let (digit, used) = if five < 3 {
            (five, 5)
        } else {
            (take(at, 6) - 0b01_1001 + 3, 6)
        };
        number = number * 10 + u16::from(digit);
        at += used;
    }
    number
}

/// Headers as literals that no table keeps.
pub fn head_block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.bytes());
        }
    }
    block
}

/// HPACK's integer with a prefix of seven bits.
fn push_length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
        return;
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    block.push(u8::try_from(length).unwrap());
}

/// A GET of this path.
pub fn get(path: &str) -> [(&str, &str); 4] {
    [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "p"),
        (":path", path),
    ]
}

/// SETTINGS with these values.
pub fn settings(values: &[(u16, u32)]) -> Frame {
    let mut payload = Vec::new();
    for (name, value) in values {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    Frame::new(SETTINGS, 0, 0, payload)
}

/// One end of an HTTP/2 connection, over any stream.
pub struct Peer<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// A client of the proxy.
pub type Client = Peer<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

impl Client {
    /// Connects with these settings.
    pub async fn connect(proxy: &TestProxy, values: &[(u16, u32)]) -> Self {
        Self::connect_to(&proxy.url, &proxy.authority, values).await
    }

    pub async fn connect_to(
        url: &str,
        authority: &identity::mint::Authority,
        values: &[(u16, u32)],
    ) -> Self {
        let stream = connect_with(url, authority, &["h2"]).await;
        let mut client = Self {
            stream,
            buffer: Vec::new(),
        };
        client.send_bytes(PREFACE).await;
        // Without a table each status is spelled out.
        client.send(&settings(&[&[(1, 0)], values].concat())).await;
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The server's end: takes the preface, gives its settings.
    pub async fn serve(stream: S, values: &[(u16, u32)]) -> Option<Self> {
        let mut server = Self {
            stream,
            buffer: Vec::new(),
        };
        let mut preface = vec![0; PREFACE.len()];
        server.stream.read_exact(&mut preface).await.ok()?;
        server.send(&settings(values)).await;
        Some(server)
    }

    /// Sends, if the other end still takes it; says whether it does.
    pub async fn send(&mut self, frame: &Frame) -> bool {
        self.send_bytes(&frame.bytes()).await
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        let sent = timeout(LONGEST, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        matches!(sent.await, Ok(Ok(())))
    }

    /// The next frame, or `None` when the connection is closed. Settings and pings are
    /// acknowledged.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next_raw().await?;
            let is_question = matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0;
            if is_question {
                let payload = if frame.kind == PING {
                    frame.payload
                } else {
                    Vec::new()
                };
                self.send(&Frame::new(frame.kind, ACK, 0, payload)).await;
            } else if !matches!(frame.kind, SETTINGS | PING | WINDOW_UPDATE) {
                return Some(frame);
            }
        }
    }

    /// The next frame of any kind.
    pub async fn next_raw(&mut self) -> Option<Frame> {
        loop {
            if self.buffer.len() >= 9 {
                let length = [0, self.buffer[0], self.buffer[1], self.buffer[2]];
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
                if self.buffer.len() >= 9 + length {
                    let rest = self.buffer.split_off(9 + length);
                    let bytes = std::mem::replace(&mut self.buffer, rest);
                    let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
                    return Some(Frame::new(bytes[3], bytes[4], stream, &bytes[9..]));
                }
            }
            let mut buffer = [0; 16 << 10];
            match self.stream.read(&mut buffer).await {
                Ok(count @ 1..) => self.buffer.extend(&buffer[..count]),
                _ => return None,
            }
        }
    }

    /// The first frame that is wanted; the connection must not end before, nor take long.
    pub async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        timeout(LONGEST, async {
            loop {
                let frame = self.next().await.expect("the connection is open");
                if wanted(&frame) {
                    return frame;
                }
            }
        })
        .await
        .expect("the frame comes")
    }

    /// The status of the answer on this stream.
    pub async fn status(&mut self, stream: u32) -> u16 {
        let head = self.find(|frame| frame.stream == stream && frame.kind == HEADERS);
        head.await.status()
    }

    /// Reads until the connection ends, which it must; gives the reason of GOAWAY, if one came.
    pub async fn end(&mut self) -> Option<u32> {
        let mut reason = None;
        timeout(LONGEST, async {
            while let Some(frame) = self.next().await {
                if frame.kind == GOAWAY {
                    reason = Some(frame.reason());
                }
            }
        })
        .await
        .expect("the connection ends");
        reason
    }

    /// The frames that come within a while.
    pub async fn frames_within(&mut self, while_: Duration) -> Vec<Frame> {
        let mut frames = Vec::new();
        let _ = timeout(while_, async {
            while let Some(frame) = self.next().await {
                frames.push(frame);
            }
        })
        .await;
        frames
    }
}
