//! A client of HTTP/2 that sends each header field whole once a connection and by its number from
//! then on, as Go's does; hyper's never does so with a credential. It asks for one path only.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use http::{HeaderValue, Method};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split},
    net::TcpStream,
    sync::{Mutex as AsyncMutex, oneshot},
};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::kit::client::Target;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// The window of a stream, in bytes.
const STREAM_WINDOW: u32 = 4 << 20;
/// After how many bytes the connection's window is filled up again.
const REFILL: u32 = 16 << 20;
/// HPACK's number of the latest field that was sent whole.
const LATEST: u8 = 62;

type Tls = TlsStream<TcpStream>;

/// Sends one request at a time; clones share the connection, which ends with the last one.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
    _open: Arc<DropGuard>,
}

struct Connection {
    writer: AsyncMutex<Writer>,
    waiting: Mutex<HashMap<u32, Waiting>>,
}

struct Writer {
    stream: WriteHalf<Tls>,
    next_stream: u32,
    /// Of a request after the first one, without its method.
    by_number: Vec<u8>,
    /// Of the first one.
    whole: Option<Vec<u8>>,
}

/// Who waits for the end of a response, of which so many bytes have come.
struct Waiting {
    bytes: usize,
    end: oneshot::Sender<usize>,
}

impl Client {
    /// A connection whose requests all have these header fields, names in lower case.
    pub async fn connect(
        target: &Target,
        path: &str,
        fields: &[(&str, HeaderValue)],
    ) -> io::Result<Self> {
        let (reader, mut stream) = split(target.connect("h2").await?);
        let mut hello = PREFACE.to_vec();
        let window = [&[0, 4][..], &STREAM_WINDOW.to_be_bytes()].concat();
        hello.extend(frame(SETTINGS, 0, 0, &window));
        hello.extend(frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
        stream.write_all(&hello).await?;
        let (whole, by_number) = header_blocks(&target.address, path, fields);
        let writer = Writer {
            stream,
            next_stream: 1,
            by_number,
            whole: Some(whole),
        };
        let connection = Arc::new(Connection {
            writer: AsyncMutex::new(writer),
            waiting: Mutex::default(),
        });
        let end = CancellationToken::new();
        let reading = Arc::clone(&connection).read(reader);
        tokio::spawn(end.clone().run_until_cancelled_owned(reading));
        Ok(Self {
            connection,
            _open: Arc::new(end.drop_guard()),
        })
    }

    /// Makes a request; how long the body of its answer is. Panics if it is not answered with 200.
    pub async fn send(&self, method: &Method, body: &[u8]) -> usize {
        let (end, ended) = oneshot::channel();
        {
            let mut writer = self.connection.writer.lock().await;
            let (stream, message) = writer.message(method, body);
            let waiting = Waiting { bytes: 0, end };
            self.connection
                .waiting
                .lock()
                .unwrap()
                .insert(stream, waiting);
            writer.stream.write_all(&message).await.unwrap();
        }
        ended.await.unwrap()
    }
}

impl Writer {
    /// The next request, and the number of its stream.
    fn message(&mut self, method: &Method, body: &[u8]) -> (u32, Vec<u8>) {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut block = match *method {
            Method::GET => vec![0x82],
            _ => literal(&[2], method.as_str()),
        };
        block.extend(self.whole.take().as_ref().unwrap_or(&self.by_number));
        if body.is_empty() {
            let message = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
            return (stream, message);
        }
        block.extend(literal(&[0x0f, 0x0d], &body.len().to_string()));
        let mut message = frame(HEADERS, END_HEADERS, stream, &block);
        message.extend(frame(DATA, END_STREAM, stream, body));
        (stream, message)
    }
}

impl Connection {
    /// Until the connection ends; whoever waits then panics.
    async fn read(self: Arc<Self>, reader: ReadHalf<Tls>) {
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        let (mut payload, mut taken) = (Vec::new(), 0);
        while let Ok(head) = read_frame(&mut reader, &mut payload).await {
            match (head.kind, head.flags & ACK) {
                (SETTINGS | PING, 0) => {
                    let echo = if head.kind == PING { &payload[..] } else { &[] };
                    self.write(&frame(head.kind, ACK, 0, echo)).await;
                }
                (HEADERS, _) => assert_ok(&payload),
                (DATA, _) => {
                    let length = u32::try_from(payload.len()).unwrap();
                    taken += length;
                    if taken > REFILL {
                        let refill = frame(WINDOW_UPDATE, 0, 0, &taken.to_be_bytes());
                        self.write(&refill).await;
                        taken = 0;
                    }
                }
                _ => {}
            }
            if matches!(head.kind, HEADERS | DATA) {
                self.note(&head, payload.len());
            }
        }
        self.waiting.lock().unwrap().clear();
    }

    /// What is written after the connection's end is lost.
    async fn write(&self, bytes: &[u8]) {
        let _ = self.writer.lock().await.stream.write_all(bytes).await;
    }

    fn note(&self, head: &Head, length: usize) {
        let mut waiting = self.waiting.lock().unwrap();
        let Some(stream) = waiting.get_mut(&head.stream) else {
            return;
        };
        stream.bytes += if head.kind == DATA { length } else { 0 };
        if head.flags & END_STREAM != 0 {
            let ended = waiting.remove(&head.stream).unwrap();
            let _ = ended.end.send(ended.bytes);
        }
    }
}

/// A frame without its payload.
struct Head {
    kind: u8,
    flags: u8,
    stream: u32,
}

async fn read_frame(
    reader: &mut BufReader<ReadHalf<Tls>>,
    payload: &mut Vec<u8>,
) -> io::Result<Head> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    payload.resize(u32::from_be_bytes([0, a, b, c]) as usize, 0);
    reader.read_exact(payload).await?;
    Ok(Head {
        kind,
        flags,
        stream: u32::from_be_bytes(stream),
    })
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Panics if a response's head does not begin with `:status: 200`, behind a change of the table's
/// size or not.
fn assert_ok(block: &[u8]) {
    let fields = block.iter().find(|byte| **byte >> 5 != 1);
    assert_eq!(fields, Some(&0x88), "{block:?}");
}

/// The fields of a request but for its method: whole, so that they get numbers, and by these.
fn header_blocks(
    authority: &str,
    path: &str,
    fields: &[(&str, HeaderValue)],
) -> (Vec<u8>, Vec<u8>) {
    let mut whole = vec![0x87];
    whole.extend(literal(&[0x41], authority));
    whole.extend(literal(&[0x44], path));
    for (name, value) in fields {
        let name = literal(&[0x40], name);
        whole.extend(literal(&name, value.to_str().unwrap()));
    }
    let count = u8::try_from(fields.len() + 2).unwrap();
    let mut by_number = vec![0x87];
    by_number.extend((0..count).rev().map(|number| 0x80 | (LATEST + number)));
    (whole, by_number)
}

/// A text behind what says of what it is the value, without Huffman's code.
fn literal(before: &[u8], text: &str) -> Vec<u8> {
    let mut bytes = before.to_vec();
    match text.len().checked_sub(127) {
        None => bytes.push(text.len() as u8),
        Some(mut rest) => {
            bytes.push(127);
            while rest >= 128 {
                bytes.push(rest as u8 | 128);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}
