//! Counts requests by method.

use std::collections::HashSet;
use std::sync::Arc;

use jsonrpsee::core::middleware::{Batch, Notification};
use jsonrpsee::server::middleware::rpc::RpcServiceT;
use jsonrpsee::types::Request;

use crate::meter;

/// The names of the methods; all others count as one.
#[derive(Clone)]
pub(super) struct Names(Arc<HashSet<&'static str>>);

impl Names {
    pub(super) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        Self(Arc::new(names.collect()))
    }

    fn count(&self, method: &str) {
        meter::request(self.0.get(method).copied().unwrap_or("unknown"));
    }
}

/// A service whose requests are counted.
#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    names: Names,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, names: Names) -> Self {
        Self { service, names }
    }
}

impl<S: RpcServiceT + Send + Sync + Clone + 'static> RpcServiceT for Counted<S> {
    type MethodResponse = S::MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        self.names.count(request.method_name());
        self.service.call(request)
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        for request in requests.iter().flatten() {
            self.names.count(request.method_name());
        }
        self.service.batch(requests)
    }

    fn notification<'a>(
        &self,
        notice: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.names.count(notice.method_name());
        self.service.notification(notice)
    }
}
