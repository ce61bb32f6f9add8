//! Checks that Babelbit's daemons reach signer and gateway.

use taonet_doctor::{Check, Finding};

use super::role::Role;
use super::service_check::{Service, ServiceCaller, Token, check_service};
use super::{Subnet, skip_reason};

/// Checks the services that the daemons call. `has_units` is whether systemd has units of this
/// program.
pub(super) async fn check(
    subnet: &Subnet,
    roles: &[Role],
    token: &Token,
    has_units: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(config) = &subnet.babelbit {
        let caller = ServiceCaller { config, token, is_unit: has_units };
        let check = async |service| {
            if roles.iter().any(|role| role.calls(service)) {
                check_service(service, caller).await
            } else {
                Vec::new()
            }
        };
        let (signer, gateway) = tokio::join!(check(Service::Signer), check(Service::Gateway));
        findings.extend(signer.into_iter().chain(gateway));
    }
    if findings.is_empty() {
        let reason = skip_reason(subnet, roles)
            .unwrap_or("only Babelbit's validator, runner and signer call others with a token");
        findings.push(Finding::skipped(Check::Services, "", reason));
    }
    findings
}
