//! Trailers: of gRPC only, and even there none that frames, routes or authorises. (What gRPC needs is shown with
//! gRPC.)

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use petit_tests::bed::Bed;
use petit_tests::scripted::{self, Manner, text};
use petit_tests::visitor::{h2_request, host};
use petit_tests::{row, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "abc".parse().unwrap());
    trailers.insert("authorization", "Bearer smuggled".parse().unwrap());
    trailers
}

#[tokio::test]
async fn trailers_of_a_request_do_not_reach_the_service() {
    let row = row!(Messages, "Trailers of a request (other than gRPC)");
    let bed = Bed::start().await;
    for manner in [Manner::h1(), Manner::h2()] {
        let kind = if manner.h2 { "h2" } else { "http" };
        // Says what came behind the body.
        let service = scripted::service(manner, |request| async move {
            let body = request.into_body().collect().await.unwrap();
            let trailers = body.trailers().map_or(0, HeaderMap::len);
            let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            Response::new(text(format!("{body} and {trailers} trailers")))
        })
        .await;
        let client = bed.client_of(service.address(), kind, "").await;
        let host = host(&client.id());
        let raw = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: x-checksum\r\n\
             TE: trailers\r\nConnection: close, TE\r\n\r\n4\r\nbody\r\n0\r\nX-Checksum: abc\r\n\
             Authorization: Bearer smuggled\r\n\r\n"
        );
        let answer = String::from_utf8(bed.visitor().raw(raw.as_bytes()).await).unwrap();
        assert!(answer.ends_with("\r\n\r\nbody and 0 trailers"), "{kind}: {answer}");

        let frames =
            [Ok::<_, std::io::Error>(Frame::data(Bytes::from("body"))), Ok(Frame::trailers(trailers()))];
        let asked = h2_request(&host, "POST", "/", StreamBody::new(futures_util::stream::iter(frames)));
        let mut sender = bed.visitor().connect_h2().await;
        let answer = soon("an answer", sender.send_request(asked)).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "body and 0 trailers", "{kind}");
    }
    row.instead("dropped: servers read them as they like; the body and the answer arrive whole");
}

#[tokio::test]
async fn trailers_of_an_answer_do_not_reach_the_visitor() {
    let row = row!(Messages, "Trailers of an answer (other than gRPC)");
    let bed = Bed::start().await;
    for manner in [Manner::h1(), Manner::h2()] {
        let kind = if manner.h2 { "h2" } else { "http" };
        let service = scripted::service(manner, |_: Request<_>| async {
            let (pen, body) = scripted::written();
            tokio::spawn(async move {
                pen.write("body").await;
                pen.trailers(trailers()).await;
            });
            let mut answer = Response::new(body);
            answer.headers_mut().insert("trailer", "x-checksum".parse().unwrap());
            answer
        })
        .await;
        let client = bed.client_of(service.address(), kind, "").await;
        let host = host(&client.id());
        let mut tcp = bed.visitor().tcp().await;
        let asked =
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
        tcp.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("the answer", tcp.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("trailer:"), "{head}");
        assert_eq!(body, "4\r\nbody\r\n0\r\n\r\n", "{kind}");

        let mut sender = bed.visitor().connect_h2().await;
        let answer = sender.send_request(h2_request(&host, "GET", "/", Empty::<Bytes>::new())).await.unwrap();
        let body = answer.into_body().collect().await.unwrap();
        assert!(body.trailers().is_none_or(HeaderMap::is_empty), "{kind}");
        assert_eq!(body.to_bytes(), "body");
    }
    row.instead("dropped; the body ends as it should");
}
