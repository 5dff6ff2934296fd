use petit_engine::cause::Cause;
use petit_host::update::Trial;
use serde_json::{Value, json};

use super::*;

/// A client with services, each with its light.
fn status(connection: &Connection, services: &[(&str, &str)]) -> Status {
    let service = |(name, light): &(&str, &str)| {
        json!({
            "name": name, "kind": "http", "target": "localhost:3000", "id": null, "url": null, "aliases": [],
            "light": light, "broken": null, "proved": null, "visits": 0, "active": 0, "to_service_bytes": 0,
            "from_service_bytes": 0,
        })
    };
    let services: Vec<Value> = services.iter().map(service).collect();
    let status = json!({
        "software": "petit-client 0.2.0", "pid": 1, "config": "/c", "config_problem": null, "registered": null,
        "connection": connection, "server_software": null, "services": services, "streams": 0,
        "round_trip_us": null, "key_exchange": null, "post_quantum": null, "inspected_by": null,
    });
    serde_json::from_value(status).unwrap()
}

const ONLINE: Connection = Connection::Online { since: 0 };
const AWAY: Connection = Connection::Waiting { cause: Cause::Lost, retry_in_ms: 1000 };

fn watch_of(worked: &[&str]) -> Watch {
    let worked = worked.iter().map(|name| (*name).to_owned()).collect();
    let within = Duration::from_secs(120);
    Watch::new(&Trial::new("0.2.0".parse().unwrap(), "0.1.0".parse().unwrap(), worked, within))
}

#[test]
fn it_works_when_it_is_connected_and_all_that_worked_before_works() {
    let now = Instant::now();
    for (worked, services, verdict) in [
        (vec!["web"], vec![("web", "green"), ("db", "red")], Some(Verdict::Works)),
        (vec!["web"], vec![("web", "up_to_server")], Some(Verdict::Works)),
        (vec!["web", "db"], vec![("web", "green"), ("db", "checking")], None),
        (vec!["web", "db"], vec![("web", "green"), ("db", "red")], None),
        // Removed from the config meanwhile.
        (vec!["web", "db"], vec![("web", "green")], Some(Verdict::Works)),
        (vec![], vec![("web", "red")], Some(Verdict::Works)),
    ] {
        assert_eq!(
            watch_of(&worked).see(&status(&ONLINE, &services), now),
            verdict,
            "{worked:?} {services:?}"
        );
        assert_eq!(watch_of(&worked).see(&status(&AWAY, &services), now), None, "away");
    }
}

#[test]
fn only_the_time_that_it_is_connected_counts_against_it() {
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let (online, away) = (status(&ONLINE, &[("web", "red")]), status(&AWAY, &[("web", "red")]));
    let mut watch = watch_of(&["web"]);
    assert_eq!(watch.see(&away, at(0)), None);
    assert_eq!(watch.due(), None, "for ever, while the server is away");
    assert_eq!(watch.see(&online, at(1000)), None);
    assert_eq!(watch.due(), Some(at(1120)));
    assert_eq!(watch.see(&away, at(1100)), None);
    assert_eq!(watch.due(), None);
    assert_eq!(watch.see(&online, at(5000)), None);
    assert_eq!(watch.due(), Some(at(5020)));
    assert_eq!(watch.see(&online, at(5019)), None);
    assert_eq!(watch.see(&online, at(5020)), Some(Verdict::DoesNot));
}

#[tokio::test(start_paused = true)]
async fn a_light_that_comes_back_in_time_ends_the_trial_and_silence_ends_it_later() {
    let (sender, statuses) = watch::channel(status(&ONLINE, &[("web", "red")]));
    let judged = tokio::spawn(judge(watch_of(&["web"]), statuses.clone()));
    tokio::time::sleep(Duration::from_secs(119)).await;
    sender.send(status(&ONLINE, &[("web", "green")])).unwrap();
    assert_eq!(judged.await.unwrap(), Verdict::Works);
    sender.send(status(&ONLINE, &[("web", "red")])).unwrap();
    let begin = Instant::now();
    assert_eq!(judge(watch_of(&["web"]), statuses).await, Verdict::DoesNot);
    assert_eq!(begin.elapsed().as_secs(), 120);
}

/// The old program was removed by somebody, and the new one is begun for the fourth time.
#[test]
fn without_a_version_to_go_back_to_it_goes_on_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(&dir.path().join("config.toml"));
    folder.make().unwrap();
    let program = dir.path().join("petit-client");
    std::fs::write(&program, "the new program").unwrap();
    let updates = Updates::of(&folder, &program);
    let mut history = updates.history().unwrap();
    let before = "0.0.1".parse().unwrap();
    history.begin_trial(Trial::new(updates.own().clone(), before, Vec::new(), TRIAL));
    updates.keep(&history).unwrap();
    for _ in 0..petit_host::update::MAX_STARTS {
        assert_eq!(updates.begin(), Beginning::OnTrial);
    }
    assert_eq!(updates.begin(), Beginning::Usual);
    assert!(updates.history().unwrap().trial().is_none());
    assert_eq!(std::fs::read(&program).unwrap(), b"the new program");
}
