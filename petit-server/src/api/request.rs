//! What a server can be asked, as the handler reads it.

use petit_host::control::{ApiProblem, Request};

use super::visitors::{key_name, policy_name};

use super::{
    AddAlias, CreateKey, ExplainUrl, GetReadiness, GetRollout, GetSettings, GetStatus, GetVersion,
    HaltRollout, KickClient, LabelClient, ListAliases, ListChanges, ListClients, ListInvites, ListKeys,
    ListPolicies, MakeBackup, MakeInvite, MovePolicyToFile, Ping, ReloadConfig, RemoveAlias, RemovePolicy,
    RenewCertificates, RestartServer, ResumeClient, ResumeRollout, RevokeClient, RevokeKey, RollBack,
    SetLogLevel, SetPolicy, ShowClient, ShowPolicy, StartRollout, StopServer, SuspendClient, TestPolicy,
    WidenRollout, WithdrawInvite,
};

/// A request to a server: one variant for each.
#[derive(Clone, Debug)]
pub enum AdminRequest {
    Ping(Ping),
    Readiness(GetReadiness),
    Version(GetVersion),
    Status(GetStatus),
    Settings(GetSettings),
    ListClients(ListClients),
    ShowClient(ShowClient),
    RevokeClient(RevokeClient),
    SuspendClient(SuspendClient),
    ResumeClient(ResumeClient),
    KickClient(KickClient),
    LabelClient(LabelClient),
    ListAliases(ListAliases),
    AddAlias(AddAlias),
    RemoveAlias(RemoveAlias),
    ListPolicies(ListPolicies),
    ShowPolicy(ShowPolicy),
    SetPolicy(SetPolicy),
    RemovePolicy(RemovePolicy),
    MovePolicyToFile(MovePolicyToFile),
    TestPolicy(TestPolicy),
    ListKeys(ListKeys),
    CreateKey(CreateKey),
    RevokeKey(RevokeKey),
    ListInvites(ListInvites),
    MakeInvite(MakeInvite),
    WithdrawInvite(WithdrawInvite),
    Rollout(GetRollout),
    StartRollout(StartRollout),
    HaltRollout(HaltRollout),
    ResumeRollout(ResumeRollout),
    WidenRollout(WidenRollout),
    RollBack(RollBack),
    ListChanges(ListChanges),
    Explain(ExplainUrl),
    Backup(MakeBackup),
    Stop(StopServer),
    Reload(ReloadConfig),
    RenewCertificates(RenewCertificates),
    Restart(RestartServer),
    SetLogLevel(SetLogLevel),
}

impl AdminRequest {
    /// What somebody asks over the socket.
    ///
    /// # Errors
    /// The answer to what is no request, or has a value that is none.
    pub fn read(request: &Request) -> Result<Self, ApiProblem> {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        Ok(match (request.method.as_str(), path.as_slice()) {
            ("GET", ["ping"]) => Self::Ping(Ping),
            ("GET", ["readiness"]) => Self::Readiness(GetReadiness),
            ("GET", ["version"]) => Self::Version(GetVersion),
            ("GET", ["status"]) => Self::Status(GetStatus),
            ("GET", ["settings"]) => Self::Settings(GetSettings),
            ("GET", ["clients"]) => Self::ListClients(ListClients),
            ("GET", ["clients", name]) => Self::ShowClient(ShowClient { name: (*name).to_owned() }),
            ("POST", ["clients", id, "revoke"]) => Self::RevokeClient(RevokeClient { id: (*id).to_owned() }),
            ("POST", ["clients", name, "suspend"]) => {
                Self::SuspendClient(SuspendClient { name: (*name).to_owned() })
            }
            ("POST", ["clients", name, "resume"]) => {
                Self::ResumeClient(ResumeClient { name: (*name).to_owned() })
            }
            ("POST", ["clients", name, "kick"]) => Self::KickClient(KickClient { name: (*name).to_owned() }),
            ("POST", ["clients", name, "labels"]) => Self::LabelClient(LabelClient::read(name, request)?),
            ("GET", ["aliases"]) => Self::ListAliases(ListAliases),
            ("POST", ["aliases"]) => Self::AddAlias(request.read_body()?),
            ("DELETE", ["aliases"]) => Self::RemoveAlias(RemoveAlias::read(request)?),
            ("GET", ["policies"]) => Self::ListPolicies(ListPolicies),
            ("GET", ["policies", name]) => Self::ShowPolicy(ShowPolicy { name: policy_name(name)? }),
            ("GET", ["policies", name, "test"]) => {
                Self::TestPolicy(TestPolicy::read(policy_name(name)?, request)?)
            }
            ("POST", ["policies"]) => Self::SetPolicy(SetPolicy(request.read_body()?)),
            ("DELETE", ["policies", name]) => Self::RemovePolicy(RemovePolicy { name: policy_name(name)? }),
            ("POST", ["policies", name, "to-file"]) => {
                Self::MovePolicyToFile(MovePolicyToFile { name: policy_name(name)? })
            }
            ("GET", ["keys"]) => Self::ListKeys(ListKeys),
            ("POST", ["keys"]) => Self::CreateKey(request.read_body()?),
            ("POST", ["keys", name, "revoke"]) => Self::RevokeKey(RevokeKey { name: key_name(name)? }),
            ("GET", ["invites"]) => Self::ListInvites(ListInvites),
            ("POST", ["invites"]) => Self::MakeInvite(request.read_body()?),
            ("POST", ["invites", id, "withdraw"]) => {
                Self::WithdrawInvite(WithdrawInvite { id: (*id).to_owned() })
            }
            ("GET", ["rollout"]) => Self::Rollout(GetRollout),
            ("POST", ["rollout"]) => Self::StartRollout(request.read_body()?),
            ("POST", ["rollout", "halt"]) => Self::HaltRollout(request.read_body()?),
            ("POST", ["rollout", "resume"]) => Self::ResumeRollout(ResumeRollout),
            ("POST", ["rollout", "next"]) => Self::WidenRollout(WidenRollout),
            ("POST", ["rollout", "rollback"]) => Self::RollBack(RollBack),
            ("GET", ["changes"]) => Self::ListChanges(ListChanges::read(request)?),
            ("GET", ["explain"]) => Self::Explain(ExplainUrl::read(request)?),
            ("POST", ["backup"]) => Self::Backup(request.read_body()?),
            ("POST", ["stop"]) => Self::Stop(StopServer),
            ("POST", ["reload"]) => Self::Reload(ReloadConfig),
            ("POST", ["certificates", "renew"]) => Self::RenewCertificates(RenewCertificates),
            ("POST", ["restart"]) => Self::Restart(RestartServer::read(request)?),
            ("POST", ["log"]) => Self::SetLogLevel(SetLogLevel::read(request)?),
            _ => return Err(ApiProblem::not_found()),
        })
    }
}
