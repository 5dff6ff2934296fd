//! What the operator is told of a log that is not whole.

use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_server::audit::AuditFault;

/// What is wrong with a log. It stays wrong whatever is done, so that what to do is said in the documentation.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn fault(fault: AuditFault) -> Failure {
    Failure::new(ExitCode::Failed, fault.to_string())
        .hint("compare it with a backup, or with what audit export has written before")
}
