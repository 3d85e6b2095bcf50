//! Both ends of HTTP/2, on the frames' level.

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use super::{
    End, Line, Message,
    generate::{self, Answer, Payload},
};

fn map(lines: &[Line]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    map
}

fn lines(map: &HeaderMap) -> Vec<Line> {
    let lines = map.iter();
    lines
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect()
}

fn add_length(headers: &mut HeaderMap, payload: &Payload) {
    if let Payload::Length(body) = payload {
        headers.insert("content-length", body.len().into());
    }
}

fn send(mut stream: SendStream<Bytes>, payload: &Payload) -> Result<(), h2::Error> {
    match payload {
        Payload::None => Ok(()),
        Payload::Length(body) => stream.send_data(Bytes::copy_from_slice(body), true),
        Payload::Chunks(chunks, trailers) => {
            for chunk in chunks {
                stream.send_data(Bytes::copy_from_slice(chunk), false)?;
            }
            if trailers.is_empty() {
                stream.send_data(Bytes::new(), true)
            } else {
                stream.send_trailers(map(trailers))
            }
        }
    }
}

async fn receive(
    start: String,
    headers: &HeaderMap,
    mut body: RecvStream,
) -> Result<Message, h2::Error> {
    let mut message = Message {
        start,
        lines: lines(headers),
        end: match headers.contains_key("content-length") {
            _ if body.is_end_stream() => End::Head,
            true => End::Length,
            false => End::Chunk,
        },
        ..Message::default()
    };
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        message.body.extend(data);
    }
    if let Some(trailers) = body.trailers().await? {
        message.trailers = lines(&trailers);
    }
    Ok(message)
}

/// Sends a request and reads its answer.
pub(super) async fn ask(
    sender: &h2::client::SendRequest<Bytes>,
    request: &generate::Request,
    host: &str,
    id: &str,
) -> Result<Message, h2::Error> {
    let mut head = Request::new(());
    *head.method_mut() = request.method.parse().unwrap();
    let path = match request.target.as_str() {
        "*" => "/",
        path => path,
    };
    *head.uri_mut() = format!("https://{host}{path}").parse().unwrap();
    *head.version_mut() = http::Version::HTTP_2;
    *head.headers_mut() = map(&request.lines);
    head.headers_mut().insert("x-case", id.parse().unwrap());
    add_length(head.headers_mut(), &request.payload);
    let mut sender = sender.clone().ready().await?;
    let (response, stream) = sender.send_request(head, request.payload == Payload::None)?;
    send(stream, &request.payload)?;
    let (head, body) = response.await?.into_parts();
    receive(head.status.as_str().to_owned(), &head.headers, body).await
}

/// Reads the rest of a request and gives it with the value of its `x-case`.
pub(super) async fn hear(request: Request<RecvStream>) -> Result<(String, Message), h2::Error> {
    let (head, body) = request.into_parts();
    let id = head.headers["x-case"].to_str().unwrap().to_owned();
    let start = format!("{} {} {:?}", head.method, head.uri, head.version);
    Ok((id, receive(start, &head.headers, body).await?))
}

/// Answers.
pub(super) fn answer(
    mut respond: h2::server::SendResponse<Bytes>,
    answer: &Answer,
) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    *response.status_mut() = answer.status.try_into().unwrap();
    *response.headers_mut() = map(&answer.lines);
    add_length(response.headers_mut(), &answer.payload);
    let stream = respond.send_response(response, answer.payload == Payload::None)?;
    send(stream, &answer.payload)
}
