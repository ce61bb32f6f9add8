//! RPC middleware that counts requests by method, and the requests in flight on a connection.

use std::collections::HashSet;
use std::sync::Arc;

use jsonrpsee::MethodResponse;
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification};
use jsonrpsee::server::middleware::rpc::RpcServiceT;
use jsonrpsee::types::Request;

use super::backpressure::Backpressure;
use crate::meter;

/// The names of the registered methods; requests for any other method are counted as `unknown`.
#[derive(Clone)]
pub(super) struct MethodNames(Arc<HashSet<&'static str>>);

impl MethodNames {
    pub(super) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        Self(Arc::new(names.collect()))
    }

    fn count(&self, method: &str) {
        meter::count_request(self.0.get(method).copied().unwrap_or("unknown"));
    }
}

/// The RPC service of a connection, which counts its requests.
#[derive(Clone)]
pub(super) struct RequestCounter<S> {
    service: S,
    names: MethodNames,
    backpressure: Arc<Backpressure>,
}

impl<S> RequestCounter<S> {
    pub(super) fn new(service: S, names: MethodNames, backpressure: Arc<Backpressure>) -> Self {
        Self { service, names, backpressure }
    }

    /// Counts a request of this size while it is in flight, and the bytes of its response.
    fn count_in_flight<'a>(
        &self,
        bytes: usize,
        response: impl Future<Output = MethodResponse> + Send + 'a,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (in_flight, backpressure) =
            (self.backpressure.begin_request(bytes), self.backpressure.clone());
        async move {
            let _in_flight = in_flight;
            let response = response.await;
            // Notifications have no response, and the response to a subscribe call was sent
            // already.
            if response.is_method_call() || response.is_batch() {
                backpressure.add_unsent(response.as_json().get().len());
            }
            response
        }
    }
}

impl<S> RpcServiceT for RequestCounter<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, BatchResponse = MethodResponse>
        + Send
        + Sync
        + Clone
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.names.count(request.method_name());
        self.count_in_flight(request.params().len_bytes(), self.service.call(request))
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let mut bytes = 0;
        for request in requests.iter().flatten() {
            self.names.count(request.method_name());
            bytes += params_size(request);
        }
        self.count_in_flight(bytes, self.service.batch(requests))
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.names.count(notification.method_name());
        self.service.notification(notification)
    }
}

/// Returns the size of a request's parameters in bytes.
fn params_size(request: &BatchEntry<'_>) -> usize {
    match request {
        BatchEntry::Call(call) => call.params().len_bytes(),
        BatchEntry::Notification(notification) => {
            notification.params().as_ref().map_or(0, |params| params.get().len())
        }
    }
}
