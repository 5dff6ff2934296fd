//! Many clients in one process: agents without the rest of the program, at a server that is a program.

use std::net::SocketAddr;
use std::sync::Arc;

use petit_engine::agent::{self, Agent, AgentConfig, AgentState, Direct, ServiceSpec};
use petit_engine::invite::Invite;
use petit_engine::limits;
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::control::{ServiceKind, Text, Vitae};
use petit_engine::secret::PrivateKey;
use secrecy::SecretString;

use crate::process::Program;
use crate::soon;
use crate::visitor::host;

/// All of them, each with the one service.
pub struct Crowd {
    /// The agents.
    pub agents: Vec<Agent>,
    /// The public hosts of their services.
    pub hosts: Vec<String>,
}

impl Crowd {
    /// Registers so many clients of a service and waits until all are online.
    pub async fn register(server: &Program, service: SocketAddr, count: usize) -> Self {
        let target: petit_engine::name::ServerAddr = service.to_string().parse().unwrap();
        let (mut agents, mut hosts) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let invite = Invite::parse(&SecretString::from(invite(server).await)).unwrap();
            let key = PrivateKey::generate().unwrap();
            let registered = agent::enrol(&invite, &DialRoute::default(), &key, "many", &Text::lossy("test"))
                .await
                .unwrap();
            let config = AgentConfig {
                server: invite.server.clone(),
                route: DialRoute::default(),
                pins: invite.pins.clone(),
                key,
                software: Text::lossy("test"),
                device_name: Text::lossy("test"),
                vitae: Vitae::new(),
                services: vec![ServiceSpec::plain("web".parse().unwrap(), ServiceKind::Http, target.clone())],
                connections: limits::SERVICE_CONNECTIONS,
            };
            let agent = Agent::start(config, Arc::new(Direct)).unwrap();
            agent.switch(true).await;
            agents.push(agent);
            hosts.push(host(&registered.id));
        }
        let crowd = Self { agents, hosts };
        crowd.all_online().await;
        crowd
    }

    /// Waits until all are online.
    pub async fn all_online(&self) {
        for agent in &self.agents {
            let mut view = agent.view();
            let online = view.wait_for(|view| matches!(view.state, AgentState::Online { .. }));
            soon("all to be online", online).await.unwrap();
        }
    }

    /// Waits until all know that their server has gone.
    pub async fn all_offline(&self) {
        for agent in &self.agents {
            let mut view = agent.view();
            let offline = view.wait_for(|view| !matches!(view.state, AgentState::Online { .. }));
            soon("all to know that the server has gone", offline).await.unwrap();
        }
    }
}

/// An invite over the control socket, which is quicker than a process for each.
async fn invite(server: &Program) -> String {
    let control = petit_host::control::client::Client::new(&server.dir().join("server.sock"));
    let made = control.call("POST", "/invites", Some(&serde_json::json!({ "service": "web" }))).await;
    made.unwrap()["link"].as_str().unwrap().to_owned()
}
