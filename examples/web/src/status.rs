//! What an answer says of its request.

/// A status code of HTTP: RFC 9110, section 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Status(pub(crate) u16);

impl Status {
    pub(crate) const OK: Self = Self(200);
    pub(crate) const MOVED_PERMANENTLY: Self = Self(301);
    pub(crate) const FOUND: Self = Self(302);
    pub(crate) const NOT_MODIFIED: Self = Self(304);
    pub(crate) const BAD_REQUEST: Self = Self(400);
    pub(crate) const NOT_FOUND: Self = Self(404);
    pub(crate) const METHOD_NOT_ALLOWED: Self = Self(405);
    pub(crate) const REQUEST_TIMEOUT: Self = Self(408);
    pub(crate) const CONTENT_TOO_LARGE: Self = Self(413);
    pub(crate) const URI_TOO_LONG: Self = Self(414);
    pub(crate) const FIELDS_TOO_LARGE: Self = Self(431);
    pub(crate) const INTERNAL_SERVER_ERROR: Self = Self(500);
    pub(crate) const NOT_IMPLEMENTED: Self = Self(501);
    pub(crate) const VERSION_NOT_SUPPORTED: Self = Self(505);

    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::OK => "OK",
            Self::MOVED_PERMANENTLY => "Moved Permanently",
            Self::FOUND => "Found",
            Self::NOT_MODIFIED => "Not Modified",
            Self::BAD_REQUEST => "Bad Request",
            Self::NOT_FOUND => "Not Found",
            Self::METHOD_NOT_ALLOWED => "Method Not Allowed",
            Self::REQUEST_TIMEOUT => "Request Timeout",
            Self::CONTENT_TOO_LARGE => "Content Too Large",
            Self::URI_TOO_LONG => "URI Too Long",
            Self::FIELDS_TOO_LARGE => "Request Header Fields Too Large",
            Self::NOT_IMPLEMENTED => "Not Implemented",
            Self::VERSION_NOT_SUPPORTED => "HTTP Version Not Supported",
            _ => "Internal Server Error",
        }
    }

    /// What a person is told who sees it.
    pub(crate) const fn explanation(self) -> &'static str {
        match self {
            Self::BAD_REQUEST => "What came is no request that this server understands.",
            Self::NOT_FOUND => "There is nothing under this name.",
            Self::METHOD_NOT_ALLOWED => "This server answers GET and HEAD only.",
            Self::REQUEST_TIMEOUT => "The request did not come to its end in time.",
            Self::CONTENT_TOO_LARGE => "This server takes no content.",
            Self::URI_TOO_LONG => "The name that was asked for is too long.",
            Self::FIELDS_TOO_LARGE => "The request is larger than this server allows.",
            Self::NOT_IMPLEMENTED => "The request has content in a form that this server does not know.",
            Self::VERSION_NOT_SUPPORTED => "This server speaks HTTP/1.1.",
            _ => "It is there, but cannot be read.",
        }
    }
}
