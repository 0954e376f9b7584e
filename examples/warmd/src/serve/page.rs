//! The status page: three files that are part of the program, and may load nothing else.

use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use super::http::{Answer, text};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

pub fn file(path: &str) -> Option<Answer> {
    let (kind, body) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/app.js" => ("text/javascript; charset=utf-8", include_str!("page/app.js")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("page/style.css")),
        _ => return None,
    };
    let mut answer = text(StatusCode::OK, kind, body);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Some(answer)
}
