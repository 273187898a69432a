//! The HTTP side of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): POST an offer, DELETE the session.

use anyhow::{Context, bail};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, StatusCode, Url};

/// Where sessions are made.
#[derive(Debug, Clone)]
pub struct Endpoint {
    client: Client,
    url: Url,
}

/// One session on the server.
#[derive(Debug)]
pub struct Session {
    client: Client,
    resource: Url,
    token: String,
    /// The answer's SDP.
    pub answer: String,
}

impl Endpoint {
    /// `protocol` is `whip` or `whep`; it and the room are appended to the server's URL.
    pub fn new(client: Client, server: &Url, protocol: &str, room: &str) -> anyhow::Result<Self> {
        let mut url = server.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().push(protocol).push(room),
            Err(()) => bail!("{server} cannot be a server's URL"),
        };
        Ok(Self { client, url })
    }

    /// Sends the offer. Anything but 201 with an answer and a Location is an error that quotes the server.
    pub async fn post(&self, offer: String, token: String) -> anyhow::Result<Session> {
        let request =
            self.client.post(self.url.clone()).bearer_auth(&token).header(CONTENT_TYPE, "application/sdp").body(offer);
        let response = request.send().await.with_context(|| format!("POST {}", self.url))?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let answer = response.text().await.with_context(|| format!("POST {}", self.url))?;
        if status != StatusCode::CREATED {
            bail!("POST {}: {status}: {answer}", self.url);
        }
        let location = location.with_context(|| format!("POST {}: 201 without a Location", self.url))?;
        let resource = self.url.join(&location).context("the Location is no URL")?;
        Ok(Session { client: self.client.clone(), resource, token, answer })
    }
}

impl Session {
    /// Ends the session.
    pub async fn delete(&self) -> anyhow::Result<()> {
        let request = self.client.delete(self.resource.clone()).bearer_auth(&self.token);
        let status = request.send().await.with_context(|| format!("DELETE {}", self.resource))?.status();
        if !status.is_success() {
            bail!("DELETE {}: {status}", self.resource);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request with `response` and returns what was asked.
    async fn answer_once(listener: TcpListener, response: &'static str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let mut len = 0;
        while !String::from_utf8_lossy(&request[..len]).ends_with("v=0") {
            len += stream.read(&mut request[len..]).await.unwrap();
        }
        stream.write_all(response.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8_lossy(&request[..len]).into_owned()
    }

    async fn post_against(response: &'static str) -> (String, anyhow::Result<Session>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let endpoint = Endpoint::new(Client::new(), &server, "whip", "a room").unwrap();
        tokio::join!(answer_once(listener, response), endpoint.post("v=0".into(), "secret".into()))
    }

    #[tokio::test]
    async fn a_created_session_has_its_resource() {
        let (request, session) =
            post_against("HTTP/1.1 201 Created\r\nLocation: /whip/a%20room/SE_1\r\nContent-Length: 6\r\n\r\nanswer")
                .await;
        let session = session.unwrap();
        assert!(request.starts_with("POST /whip/a%20room HTTP/1.1\r\n"), "{request}");
        assert!(request.to_ascii_lowercase().contains("authorization: bearer secret"), "{request}");
        assert_eq!((session.answer.as_str(), session.resource.path()), ("answer", "/whip/a%20room/SE_1"));
    }

    #[tokio::test]
    async fn a_refusal_quotes_the_server() {
        let (_, session) = post_against("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope").await;
        let error = session.unwrap_err().to_string();
        assert!(error.contains("403 Forbidden: nope"), "{error}");
        assert!(!error.contains("secret"));
    }
}
