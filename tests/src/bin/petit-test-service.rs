//! The bed's HTTP service as a process, for hosts of their own. Says where it listens, and goes on.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for tests, which says its port on standard output"
)]

use petit_tests::service::Service;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let service = Service::http("inside").await;
    println!("{}", service.address());
    std::future::pending::<()>().await;
}
