//! Requests, as far as this server needs to know them.

use httparse::{EMPTY_HEADER, Error, Header, Status as Parsed};

use crate::status::Status;

/// The most bytes of a request: its first line and its fields.
pub const MOST_HEAD: usize = 8 << 10;
/// The most fields.
const MOST_FIELDS: usize = 64;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// What is asked for, as it came.
    pub(crate) target: &'a str,
    /// The tags of what the client has already.
    pub(crate) none_match: Option<&'a [u8]>,
    pub(crate) then: Then,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// To send it.
    Get,
    /// To tell of it as if it were sent.
    Head,
    /// Something else that HTTP knows.
    Other,
    /// Something that it does not know.
    Unknown,
}

/// What becomes of the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Another request may come.
    KeepOpen,
    /// It is closed.
    Close,
}

impl Then {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KeepOpen => "keep-alive",
            Self::Close => "close",
        }
    }
}

/// Returns the request at the beginning of `bytes`, and its length; `None` where it is not complete.
///
/// An error is an answer, after which nobody knows where the next request would begin.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Status> {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(Parsed::Complete(length)) if length <= MOST_HEAD => Ok(Some((check(&request)?, length))),
        Ok(Parsed::Partial) if bytes.len() < MOST_HEAD => Ok(None),
        Ok(_) if bytes.contains(&b'\n') => Err(Status::FIELDS_TOO_LARGE),
        Ok(_) => Err(Status::URI_TOO_LONG),
        Err(Error::TooManyHeaders) => Err(Status::FIELDS_TOO_LARGE),
        Err(Error::Version) => Err(Status::VERSION_NOT_SUPPORTED),
        Err(_) => Err(Status::BAD_REQUEST),
    }
}

fn check<'a>(request: &httparse::Request<'_, 'a>) -> Result<Request<'a>, Status> {
    let fields = Fields(request.headers);
    let is_old = request.version == Some(0);
    // RFC 9112, section 3.2: a server must refuse what names no host, or several.
    if fields.all("host").count() > 1 || (!is_old && fields.all("host").next().is_none()) {
        return Err(Status::BAD_REQUEST);
    }
    let method = method(request.method.unwrap_or_default());
    let has_content = has_content(&fields)?;
    if has_content && matches!(method, Method::Get | Method::Head) {
        return Err(Status::CONTENT_TOO_LARGE);
    }
    // What content there is will not be read, so that there is nothing to be found behind it.
    let is_last =
        has_content || fields.lists("connection", "close") || (is_old && !fields.lists("connection", "keep-alive"));
    Ok(Request {
        method,
        target: request.path.unwrap_or_default(),
        none_match: fields.only("if-none-match"),
        then: if is_last { Then::Close } else { Then::KeepOpen },
    })
}

/// Source: RFC 9110, section 9.
fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => Method::Other,
        _ => Method::Unknown,
    }
}

/// Lengths that contradict each other are refused: whoever forwards requests may believe the other one (RFC 9112, section 6.3).
fn has_content(fields: &Fields<'_, '_>) -> Result<bool, Status> {
    let is_coded = fields.all("transfer-encoding").next().is_some();
    let mut lengths = fields.all("content-length").map(|value| {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        is_number.then_some(value).ok_or(Status::BAD_REQUEST)
    });
    let first = lengths.next().transpose()?;
    if lengths.next().is_some() || (is_coded && first.is_some()) {
        return Err(Status::BAD_REQUEST);
    }
    Ok(is_coded || first.is_some_and(|length| length.iter().any(|digit| *digit != b'0')))
}

/// The fields of a request.
struct Fields<'a, 'b>(&'a [Header<'b>]);

impl<'b> Fields<'_, 'b> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The value of a field that is there once.
    fn only(&self, name: &str) -> Option<&'b [u8]> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// Whether a word is in a list.
    fn lists(&self, name: &str, word: &str) -> bool {
        let is_it = |one: &[u8]| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes());
        self.all(name).any(|value| value.split(|byte| *byte == b',').any(is_it))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    fn one(text: &str) -> Result<Request<'_>, Status> {
        parse(text.as_bytes()).map(|parsed| parsed.expect("it is complete").0)
    }

    #[test]
    fn a_request_is_understood() {
        let text = "GET /a?b HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"1\"\r\n\r\nGET /next";
        let (request, length) = parse(text.as_bytes()).unwrap().unwrap();
        let expected =
            Request { method: Method::Get, target: "/a?b", none_match: Some(b"\"1\""), then: Then::KeepOpen };
        assert_eq!((request, &text[length..]), (expected, "GET /next"));
        for end in 0..length {
            assert_eq!(parse(&text.as_bytes()[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn the_connection_stays_open_where_the_client_wants_it() {
        let then = |text: &str| one(&format!("{text}\r\n\r\n")).unwrap().then;
        assert_eq!(then("GET / HTTP/1.1\r\nHost: x"), Then::KeepOpen);
        assert_eq!(then("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, CLOSE"), Then::Close);
        assert_eq!(then("GET / HTTP/1.0"), Then::Close);
        assert_eq!(then("GET / HTTP/1.0\r\nConnection: Keep-Alive"), Then::KeepOpen);
        assert_eq!(then("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5"), Then::Close);
        assert_eq!(then("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"), Then::Close);
        assert_eq!(then("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0"), Then::KeepOpen);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let field = |field: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", Status::BAD_REQUEST),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Status::BAD_REQUEST),
            ("GET / HTTP/2.0\r\n\r\n", Status::VERSION_NOT_SUPPORTED),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status::VERSION_NOT_SUPPORTED),
            ("\x16\x03\x01\x02\x00\x01", Status::BAD_REQUEST),
            ("GET /\r\n\r\n", Status::BAD_REQUEST),
            (&field("No colon"), Status::BAD_REQUEST),
            (&field("Host : x"), Status::BAD_REQUEST),
            (&field("Content-Length: 5\r\nContent-Length: 6"), Status::BAD_REQUEST),
            (&field("Content-Length: -1"), Status::BAD_REQUEST),
            (&field("Content-Length: +5"), Status::BAD_REQUEST),
            (&field("Content-Length:"), Status::BAD_REQUEST),
            (&field("Content-Length: 5\r\nTransfer-Encoding: chunked"), Status::BAD_REQUEST),
            (&field("Content-Length: 5"), Status::CONTENT_TOO_LARGE),
            (&field("Content-Length: 18446744073709551616"), Status::CONTENT_TOO_LARGE),
            (&field("Transfer-Encoding: chunked"), Status::CONTENT_TOO_LARGE),
            (&field(&"X: y\r\n".repeat(MOST_FIELDS)), Status::FIELDS_TOO_LARGE),
        ];
        for (text, status) in cases {
            assert_eq!(one(text), Err(status), "{text}");
        }
    }

    #[test]
    fn a_request_has_an_end() {
        let line = format!("GET /{}", "a".repeat(MOST_HEAD));
        assert_eq!(parse(&line.as_bytes()[..MOST_HEAD - 1]), Ok(None));
        assert_eq!(parse(&line.as_bytes()[..MOST_HEAD]), Err(Status::URI_TOO_LONG));
        let fields = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(MOST_HEAD));
        assert_eq!(parse(&fields.as_bytes()[..MOST_HEAD]), Err(Status::FIELDS_TOO_LARGE));
        assert_eq!(parse("\r\n".repeat(MOST_HEAD / 2).as_bytes()), Err(Status::FIELDS_TOO_LARGE));
        let whole: String = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(MOST_HEAD));
        assert_eq!(parse(whole.as_bytes()), Err(Status::FIELDS_TOO_LARGE));
    }
}
