//! Visitors who leave in the middle: the service is told, and never takes half a body for a whole one.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Response;
use hyper::body::Incoming;
use petit_tests::bed::Bed;
use petit_tests::conformance::carried;
use petit_tests::scripted::{self, AnyBody, Manner, Pen, text};
use petit_tests::service::Service;
use petit_tests::visitor::{h2_request, host, request};
use petit_tests::{row, soon};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// How an upload ended, as the service saw it.
#[derive(Debug, PartialEq)]
enum End {
    Whole(usize),
    Broken,
}

/// What a service tells of its visitors: that an upload has begun, and how it ended; or the pen of a download.
#[derive(Debug)]
enum News {
    Began,
    Ended(End),
    Download(Pen),
}

/// On `/up` it reads, on `/down` the test writes.
async fn service(manner: Manner) -> (Service, mpsc::Receiver<News>) {
    let (sender, news) = mpsc::channel(8);
    let service = scripted::service(manner, move |request| {
        let news = sender.clone();
        async move {
            match request.uri().path() {
                "/down" => {
                    let (pen, body) = scripted::written();
                    news.send(News::Download(pen)).await.unwrap();
                    Response::new(body)
                }
                "/up" => {
                    // In a task of its own, so that it lives to see the end.
                    let read = tokio::spawn(read(request.into_body(), news));
                    Response::new(text(format!("{:?}", read.await.unwrap())))
                }
                _ => Response::new(text("other")),
            }
        }
    })
    .await;
    (service, news)
}

async fn read(mut body: Incoming, news: mpsc::Sender<News>) {
    let mut length = 0;
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                if length == 0 {
                    news.send(News::Began).await.unwrap();
                }
                length += frame.data_ref().map_or(0, Bytes::len);
            }
            Some(Err(_)) => break End::Broken,
            None => break End::Whole(length),
        }
    };
    news.send(News::Ended(end)).await.unwrap();
}

#[tokio::test]
async fn half_an_upload_is_never_a_whole_one() {
    let rows = [
        row!(
            Broken,
            "Visitor who leaves in mid-upload, HTTP/1.1 with and without a length: an error for the service"
        ),
        row!(
            Broken,
            "Visitor who leaves in mid-upload, HTTP/2, by reset and by hanging up: an error for the service"
        ),
    ];
    let bed = Bed::start().await;
    for manner in [Manner::h1(), Manner::h2()] {
        let kind = if manner.h2 { "h2" } else { "http" };
        let (service, mut news) = service(manner).await;
        let client = bed.client_of(service.address(), kind, "").await;
        let host = host(&client.id());
        for framing in ["Content-Length: 10\r\n\r\nfive!", "Transfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n"]
        {
            for reset in [false, true] {
                let mut tcp = bed.visitor().tcp().await;
                let asked = format!("POST /up HTTP/1.1\r\nHost: {host}\r\n{framing}");
                tcp.write_all(asked.as_bytes()).await.unwrap();
                assert!(matches!(soon("a beginning", news.recv()).await, Some(News::Began)));
                if reset {
                    tcp.set_zero_linger().unwrap();
                }
                drop(tcp);
                let end = soon("an end", news.recv()).await.unwrap();
                assert!(matches!(end, News::Ended(End::Broken)), "{kind}, {framing:?}: {end:?}");
            }
        }
        for hang_up in [false, true] {
            let mut sender = bed.visitor().connect_h2::<AnyBody>().await;
            let (pen, body) = scripted::written();
            let asked = sender.send_request(h2_request(&host, "POST", "/up", body));
            let asked = tokio::spawn(asked);
            assert!(pen.write("five!").await);
            assert!(matches!(soon("a beginning", news.recv()).await, Some(News::Began)));
            if hang_up {
                pen.break_off().await;
            } else {
                asked.abort();
                drop(sender);
                drop(pen);
            }
            let end = soon("an end", news.recv()).await.unwrap();
            assert!(matches!(end, News::Ended(End::Broken)), "{kind}, HTTP/2: {end:?}");
        }
    }
    carried(rows);
}

#[tokio::test]
async fn a_download_that_nobody_reads_any_more_is_stopped() {
    let rows = [
        row!(Broken, "Visitor who leaves in mid-download, HTTP/1.1: the service is told"),
        row!(
            Broken,
            "Visitor who leaves in mid-download, HTTP/2: the service is told, other requests of the connection go on"
        ),
    ];
    let bed = Bed::start().await;
    for manner in [Manner::h1(), Manner::h2()] {
        let kind = if manner.h2 { "h2" } else { "http" };
        let (service, mut news) = service(manner).await;
        let client = bed.client_of(service.address(), kind, "").await;
        let host = host(&client.id());
        let mut sender = bed.visitor().connect_h2().await;
        for h2 in [false, true] {
            let answer = if h2 {
                let asked = h2_request(&host, "GET", "/down", Empty::<Bytes>::new());
                let asked = tokio::spawn(sender.send_request(asked));
                let Some(News::Download(pen)) = soon("the download", news.recv()).await else { panic!() };
                pen.write("a piece").await;
                (asked.await.unwrap().unwrap(), pen)
            } else {
                let visitor = bed.visitor();
                let asked = request(&host, "GET", "/down", Empty::<Bytes>::new());
                let asked = tokio::spawn(async move { visitor.open(asked).await });
                let Some(News::Download(pen)) = soon("the download", news.recv()).await else { panic!() };
                pen.write("a piece").await;
                (asked.await.unwrap(), pen)
            };
            let (mut answer, pen) = answer;
            assert_eq!(
                soon("a piece", answer.body_mut().frame()).await.unwrap().unwrap().into_data().unwrap(),
                "a piece"
            );
            drop(answer);
            // It writes as fast as it can, or waits with nothing to write: either way it is told.
            soon("the service to be told", async {
                if kind == "http" {
                    while pen.write(vec![0; 10_000]).await {}
                }
                pen.unread().await;
            })
            .await;
        }
        let other = sender.send_request(h2_request(&host, "GET", "/other", Empty::<Bytes>::new()));
        let other = soon("another answer", other).await.unwrap();
        assert_eq!(other.into_body().collect().await.unwrap().to_bytes(), "other");
    }
    carried(rows);
}

#[tokio::test]
async fn a_visitor_who_finishes_sending_has_left() {
    let row = row!(Broken, "HTTP/1.1 visitor who closes its sending side before the answer");
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client_of(service.address(), "http", "").await;
    client.until_green("web").await;
    service.until_open(0).await;
    let mut tcp = bed.visitor().tcp().await;
    let asked = format!("GET /wait HTTP/1.1\r\nHost: {}\r\n\r\n", host(&client.id()));
    tcp.write_all(asked.as_bytes()).await.unwrap();
    service.until_waiting(1).await;
    tcp.shutdown().await.unwrap();
    service.until_waiting(0).await;
    service.until_open(0).await;
    row.instead("taken to have left: the request is cancelled, so that no service works for nobody");
}
