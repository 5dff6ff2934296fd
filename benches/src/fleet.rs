//! A registry with many devices, and the devices: agents of the engine's own, in this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use petit_engine::agent::{Agent, AgentConfig, AgentState, Direct, ServiceSpec};
use petit_engine::limits;
use petit_engine::name::{Endpoint, RegisteredId, ServerAddr, ServiceName, VisitorHost};
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::control::{ServiceKind, Text, Vitae};
use petit_engine::secret::{Fingerprint, PrivateKey};
use petit_relay::{Access, EnrolRequest, Routed, decide};
use petit_server::config::{self, Config};
use petit_server::folder::Folder;
use petit_server::registry::{Actor, Labels};
use petit_server::server::{InviteRequest, Offline, make_invite};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::load::Front;
use crate::petit::{ask, command, text, write_server_config};
use crate::place::Place;
use crate::process::{Processes, free_port};

/// Agents that connect at the same time.
const AT_ONCE: usize = 50;
/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server's folder, and who is registered in it.
pub(crate) struct Registry {
    program: PathBuf,
    config: PathBuf,
    devices: Vec<Device>,
    pins: Vec<Fingerprint>,
}

struct Device {
    key: PrivateKey,
    id: RegisteredId,
}

/// A server over such a registry.
pub(crate) struct RunningServer {
    pub(crate) id: u32,
    http: String,
    tls: ServerAddr,
    processes: Processes,
}

impl RunningServer {
    /// Ends it without a word to anybody.
    pub(crate) fn kill(mut self) {
        self.processes.kill_last();
    }

    /// The port where visitors come in.
    pub(crate) fn http_port(&self) -> Result<u16> {
        Ok(self.http.parse::<SocketAddr>().context("the server's address")?.port())
    }
}

impl Registry {
    /// An empty one, in memory: what is measured is no disk.
    pub(crate) fn new(place: &Place, name: &str) -> Result<Self> {
        Self::with(place, name, "")
    }

    /// The same, with further lines in the server's config.
    pub(crate) fn with(place: &Place, name: &str, lines: &str) -> Result<Self> {
        Self::on(place, name, 0, lines)
    }

    /// The same, whose server listens for clients on the same port each time it is started.
    pub(crate) fn on_a_port(place: &Place, name: &str, lines: &str) -> Result<Self> {
        Self::on(place, name, free_port()?, lines)
    }

    fn on(place: &Place, name: &str, port: u16, lines: &str) -> Result<Self> {
        let config = place.dir_in_memory(name)?.join("config.toml");
        let program = place.programs.join("petit-server");
        write_server_config(&config, port, &format!("{}\n{lines}", place.server_config))?;
        ask(&mut command(&program, &config, &["init", "--open"]))?;
        Ok(Self { program, config, devices: Vec::new(), pins: Vec::new() })
    }

    /// Number of devices.
    pub(crate) fn len(&self) -> usize {
        self.devices.len()
    }

    /// A command of the server's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(&self.program, &self.config, arguments)
    }

    /// The size of the server's log, all files together.
    pub(crate) fn log_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.config.with_file_name("logs")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    }

    /// Registers devices until there are so many, each with one service, as enrolment does; and says how long a
    /// look-up takes then, in nanoseconds.
    pub(crate) fn grow(&mut self, runtime: &Runtime, count: usize) -> Result<f64> {
        runtime.block_on(async {
            let (config, folder) = self.load()?;
            let offline = Offline::open(&config, &folder).await.context("the registry")?;
            self.pins = folder.pins().context("the server's keys")?;
            while self.devices.len() < count {
                let device = self.enrol(&offline).await?;
                self.devices.push(device);
            }
            let took = self.look_up(&offline, &config)?;
            offline.close().await;
            Ok(took)
        })
    }

    fn load(&self) -> Result<(Config, Folder)> {
        let (config, _) = config::load(&self.config).context("the server's config")?;
        Ok((config, Folder::of(&self.config)))
    }

    async fn enrol(&self, offline: &Offline) -> Result<Device> {
        let key = PrivateKey::generate().context("a key")?;
        let terms = InviteRequest {
            service: web(),
            force: false,
            alias: None,
            labels: Labels::default(),
            lifetime: Duration::from_secs(3600),
            vendor: None,
            actor: Actor::Operator,
        };
        let address = ServerAddr::new("127.0.0.1", 1).context("an address")?;
        let invite =
            make_invite(&offline.directory, address, &self.pins, terms).await.context("an invite")?;
        let request = EnrolRequest {
            key: key.public().clone(),
            invite: invite.id,
            secret: invite.secret.hash(),
            device_name: Text::lossy("bench"),
            software: Text::lossy("petit-bench"),
            from: [127, 0, 0, 1].into(),
        };
        let enrolled = offline.directory.enrol(request).await.map_err(|why| anyhow!("refused: {why:?}"))?;
        Ok(Device { key, id: enrolled.id })
    }

    /// From a host, as it stands in a request, to the device that serves it.
    fn look_up(&self, offline: &Offline, config: &Config) -> Result<f64> {
        const TIMES: usize = 40_000;
        let endpoint: &Endpoint = &config.endpoint;
        let hosts: Vec<String> =
            self.devices.iter().map(|device| format!("{}.{}", device.id, endpoint.domain())).collect();
        let mut best = f64::INFINITY;
        // The best of five: whatever else the machine does only adds to it.
        for _ in 0..5 {
            let mut found = 0;
            let begin = Instant::now();
            // A stride that is prime to every size, so that neighbours in memory do not follow each other.
            for at in 0..TIMES {
                let host = hosts.get(at * 7919 % hosts.len()).context("no device")?;
                let host = VisitorHost::parse(host).context("a host")?;
                let routed = decide(&host, endpoint, &offline.directory);
                found += usize::from(matches!(routed, Routed::Service { .. }));
            }
            let took = begin.elapsed();
            anyhow::ensure!(found == TIMES, "{found} of {TIMES} look-ups found their service");
            best = best.min(took.as_nanos() as f64 / TIMES as f64);
        }
        Ok(best)
    }

    /// Starts the server.
    pub(crate) fn serve(&self) -> Result<RunningServer> {
        let mut processes = Processes::default();
        let id =
            processes.start_ready(&mut command(&self.program, &self.config, &["run", "--background"]))?;
        let status: Value = ask(&mut command(&self.program, &self.config, &["status"]))?;
        let tls = text(&status, "/tls")?.parse().context("the server's address")?;
        Ok(RunningServer { id, http: text(&status, "/http")?, tls, processes })
    }

    /// Where visitors of the first device come in.
    pub(crate) fn front(&self, server: &RunningServer) -> Result<Front> {
        self.front_of(server, 0)
    }

    /// Where visitors of one device come in.
    pub(crate) fn front_of(&self, server: &RunningServer, device: usize) -> Result<Front> {
        let device = self.devices.get(device).context("no device")?;
        Ok(Front::new(server.http.parse().context("an address")?, &format!("{}.localhost", device.id)))
    }

    /// Connects devices until so many are online, in order.
    pub(crate) fn connect(
        &self,
        runtime: &Runtime,
        server: &RunningServer,
        place: &Place,
        agents: &mut Vec<Agent>,
        count: usize,
    ) -> Result<()> {
        runtime.block_on(async {
            while agents.len() < count {
                let next = AT_ONCE.min(count - agents.len());
                let mut starting = Vec::new();
                for number in agents.len()..agents.len() + next {
                    starting.push(self.agent(number, server, place)?);
                }
                for agent in &starting {
                    agent.switch(true).await;
                }
                for agent in starting {
                    let mut view = agent.view();
                    let online = view.wait_for(|view| matches!(view.state, AgentState::Online { .. }));
                    tokio::time::timeout(PATIENCE, online)
                        .await
                        .context("an agent did not come online")??;
                    agents.push(agent);
                }
            }
            Ok(())
        })
    }

    /// The agent of a device, switched off. Call within a runtime.
    pub(crate) fn agent(&self, number: usize, server: &RunningServer, place: &Place) -> Result<Agent> {
        let count = self.devices.len();
        let device = self.devices.get(number).with_context(|| format!("there are only {count} devices"))?;
        let target = ServerAddr::new("127.0.0.1", place.origin.plain.port()).context("an address")?;
        let config = AgentConfig {
            server: server.tls.clone(),
            route: DialRoute::default(),
            pins: self.pins.clone(),
            key: device.key.clone(),
            software: Text::lossy("petit-bench"),
            device_name: Text::lossy("petit-bench"),
            vitae: Vitae::default(),
            services: vec![ServiceSpec::plain(web(), ServiceKind::Http, target)],
            connections: limits::SERVICE_CONNECTIONS,
        };
        Agent::start(config, Arc::new(Direct)).context("an agent")
    }
}

/// What every service is called.
fn web() -> ServiceName {
    ServiceName::first()
}
