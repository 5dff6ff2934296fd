//! `petit-client` killed while it registers: in the end it is registered, once, with a key that works.

use std::time::Duration;

use petit_host::control::client::Client;
use petit_tests::bed::client_config;
use petit_tests::figures::{figure, rounds};
use petit_tests::process::Program;
use petit_tests::service::Service;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_client_killed_while_it_registers_is_registered_once_in_the_end() {
    let server = Program::server().await;
    let _running = server.up().await;
    let control = Client::new(&server.dir().join("server.sock"));
    let service = Service::http("s").await;
    let (kills, clients) = (rounds(40, 500), rounds(8, 50));
    let (mut killed, mut finished) = (0, 0);
    for number in 0..clients {
        let client = Program::client();
        std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
        let link = server.invite([""; 0]).await;
        for attempt in 0..kills / clients {
            let mut registering = client.start(["register"]);
            registering.stdin.take().unwrap().write_all(link.as_bytes()).await.unwrap();
            // At another moment each time, from before anything was done until after all was.
            let after = (number * 13 + attempt * 29) as u64 % 80;
            tokio::time::sleep(Duration::from_millis(after)).await;
            registering.kill().await.unwrap();
            killed += 1;
        }
        let said = client.run_with(["register"], &link).await;
        let registered = said.exit == 0 || said.err.contains("is registered with");
        assert!(registered, "{said:?}");
        finished += 1;
        let running = client.up().await;
        client.until_green().await;
        running.kill().await;
    }
    let found = control.call("GET", "/clients", None).await.unwrap();
    let devices = found["clients"].as_array().unwrap();
    assert_eq!(devices.len(), finished, "one device for each client, however often it was killed");
    figure(format!(
        "R9 client killed {killed} times while it registered: {finished} clients, each registered once"
    ));
}
