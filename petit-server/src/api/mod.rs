//! The operator's API: what a server can be asked over its control socket, and what it answers, as types.
//!
//! There is one struct for each request and each answer. The handler ([`crate::admin`]) makes the answers, and the
//! command line gets them; nobody reads JSON by path. Each request is an [`ApiRequest`], which says what answers it, and
//! one of [`AdminRequest`], by which the handler knows all that there are. Other programs read the same JSON, so the
//! names of paths and fields stay. Structs that are written as they stand have their fields in alphabetical order, in
//! which they have always been written.
//!
//! An answer has every field that its struct has. An older server's answer in which one is missing is an error for a
//! newer command line, which tells its operator so, and not a value that somebody has made up; in the same way a server
//! refuses a field of a request that it does not know.

mod aliases;
mod certificates;
mod changes;
mod clients;
mod explain;
mod invites;
mod printed;
mod process;
mod refusals;
mod request;
mod rollout;
mod status;
mod visitors;

pub use petit_host::control::api::{ApiRequest, AskError};

pub use self::aliases::{
    AddAlias, AliasAdded, AliasList, AliasRemoved, AliasView, ListAliases, PolicyLost, RemoveAlias,
};
pub use self::certificates::{CertificateView, CertificatesShown, MissingCertificate, RenewCertificates};
pub use self::changes::ListChanges;
pub use self::clients::{
    BreachView, ClientKicked, ClientLabelled, ClientList, ClientStanding, ClientView, EndView, KickClient,
    LabelClient, ListClients, LiveView, ResumeClient, RevokeClient, Revoked, ServiceView, ShowClient,
    SuspendClient,
};
pub(crate) use self::clients::{Clients, FrontStates, PublicSide};
pub use self::explain::{
    Decision, EntryPoint, ExplainUrl, Explained, FoundBy, KeyState, OwnAnswer, PolicyExplained, PolicyStep,
    PolicyVerdict, StepExplained, SupposedVisitor, UrlScheme, VisitOutcome,
};
pub use self::invites::{
    InviteList, InviteMade, InviteView, InviteWithdrawn, ListInvites, MakeInvite, WithdrawInvite,
};
pub use self::printed::{
    AuditVerified, BackupRestored, CertificatePut, ConfigChecked, ConfigNote, ConfigPut, Initialised,
    LogExported, ProgramVersion, ReleaseShown, ReleaseTarget, ReleaseView, ReleaseWithdrawn, ServerStarted,
};
pub use self::process::{
    BackedUp, ConfigReloaded, GetReadiness, GetVersion, LogLevel, MakeBackup, NotReady, Ping, Pong,
    Readiness, ReloadConfig, RestartServer, ServerRestarted, ServerStopped, ServerVersion, SetLogLevel,
    StopServer, WaitsFor,
};
pub use self::refusals::{PolicyActivity, PolicyCounts, PortChanges, RefusalCounts, ShutPort};
pub use self::request::AdminRequest;
pub use self::rollout::{
    BAD_CLIENTS_SHOWN, BadClient, GetRollout, HaltRollout, HandedOutView, ResumeRollout, RingView, RollBack,
    RolloutCounts, RolloutStatus, RolloutView, RolloutWait, StartRollout, WidenRollout,
};
pub use self::status::{
    Downloads, FrontName, FrontView, GetSettings, GetStatus, HaltedRollout, HolderKind, HolderView, Load,
    PhaseView, ScarceKind, ShortageView, Status, TurnedAway,
};
pub(crate) use self::visitors::no_policy;
pub use self::visitors::{
    CreateKey, KeyList, KeyMade, KeyRevoked, KeyView, KeylessPolicy, ListKeys, ListPolicies,
    MovePolicyToFile, PolicyChanged, PolicyDetails, PolicyList, PolicyMoved, PolicyOrigin, PolicyRemoved,
    PolicyTested, PolicyView, RefusalView, RemovePolicy, RevokeKey, RotateKey, ServiceLeft, SetPolicy,
    ShowPolicy, StepView, TestPolicy,
};
