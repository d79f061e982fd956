//! The operations of the Lambda API by method and path. Source: the service's model of 2015-03-31.
//!
//! Those that are not here are listed all the same, so that whoever calls one reads its name.

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub name: &'static str,
    method: &'static str,
    /// Segments behind the first slash; `{}` stands for any.
    path: &'static str,
}

impl Operation {
    /// The segments that stand for its `{}`; `None`: method and path are not this operation's.
    pub fn labels<'a>(&self, method: &str, segments: &[&'a str]) -> Option<Vec<&'a str>> {
        let own = self.path.split('/');
        if method != self.method || own.clone().count() != segments.len() {
            return None;
        }
        let mut labels = Vec::new();
        for (own, given) in own.zip(segments) {
            match own {
                "{}" if !given.is_empty() => labels.push(*given),
                own if own == *given => {}
                _ => return None,
            }
        }
        Some(labels)
    }
}

const fn operation(name: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation { name, method, path }
}

/// All of them. Where two have the same method and path, the query tells them apart, and the first one stands for both.
pub const OPERATIONS: &[Operation] = &[
    operation("AddLayerVersionPermission", "POST", "2018-10-31/layers/{}/versions/{}/policy"),
    operation("AddPermission", "POST", "2015-03-31/functions/{}/policy"),
    operation("CheckpointDurableExecution", "POST", "2025-12-01/durable-executions/{}/checkpoint"),
    operation("CreateAlias", "POST", "2015-03-31/functions/{}/aliases"),
    operation("CreateCapacityProvider", "POST", "2025-11-30/capacity-providers"),
    operation("CreateCodeSigningConfig", "POST", "2020-04-22/code-signing-configs"),
    operation("CreateEventSourceMapping", "POST", "2015-03-31/event-source-mappings"),
    operation("CreateFunction", "POST", "2015-03-31/functions"),
    operation("CreateFunctionUrlConfig", "POST", "2021-10-31/functions/{}/url"),
    operation("DeleteAlias", "DELETE", "2015-03-31/functions/{}/aliases/{}"),
    operation("DeleteCapacityProvider", "DELETE", "2025-11-30/capacity-providers/{}"),
    operation("DeleteCodeSigningConfig", "DELETE", "2020-04-22/code-signing-configs/{}"),
    operation("DeleteDurableExecution", "DELETE", "2025-12-01/durable-executions/{}"),
    operation("DeleteEventSourceMapping", "DELETE", "2015-03-31/event-source-mappings/{}"),
    operation("DeleteFunction", "DELETE", "2015-03-31/functions/{}"),
    operation("DeleteFunctionCodeSigningConfig", "DELETE", "2020-06-30/functions/{}/code-signing-config"),
    operation("DeleteFunctionConcurrency", "DELETE", "2017-10-31/functions/{}/concurrency"),
    operation("DeleteFunctionEventInvokeConfig", "DELETE", "2019-09-25/functions/{}/event-invoke-config"),
    operation("DeleteFunctionUrlConfig", "DELETE", "2021-10-31/functions/{}/url"),
    operation("DeleteLayerVersion", "DELETE", "2018-10-31/layers/{}/versions/{}"),
    operation("DeleteProvisionedConcurrencyConfig", "DELETE", "2019-09-30/functions/{}/provisioned-concurrency"),
    operation("DeleteResourcePolicy", "DELETE", "2026-07-09/resource-policy/{}"),
    operation("GetAccountSettings", "GET", "2016-08-19/account-settings"),
    operation("GetAlias", "GET", "2015-03-31/functions/{}/aliases/{}"),
    operation("GetCapacityProvider", "GET", "2025-11-30/capacity-providers/{}"),
    operation("GetCodeSigningConfig", "GET", "2020-04-22/code-signing-configs/{}"),
    operation("GetDurableExecution", "GET", "2025-12-01/durable-executions/{}"),
    operation("GetDurableExecutionHistory", "GET", "2025-12-01/durable-executions/{}/history"),
    operation("GetDurableExecutionState", "GET", "2025-12-01/durable-executions/{}/state"),
    operation("GetEventSourceMapping", "GET", "2015-03-31/event-source-mappings/{}"),
    operation("GetFunction", "GET", "2015-03-31/functions/{}"),
    operation("GetFunctionCodeSigningConfig", "GET", "2020-06-30/functions/{}/code-signing-config"),
    operation("GetFunctionConcurrency", "GET", "2019-09-30/functions/{}/concurrency"),
    operation("GetFunctionConfiguration", "GET", "2015-03-31/functions/{}/configuration"),
    operation("GetFunctionEventInvokeConfig", "GET", "2019-09-25/functions/{}/event-invoke-config"),
    operation("GetFunctionRecursionConfig", "GET", "2024-08-31/functions/{}/recursion-config"),
    operation("GetFunctionScalingConfig", "GET", "2025-11-30/functions/{}/function-scaling-config"),
    operation("GetFunctionUrlConfig", "GET", "2021-10-31/functions/{}/url"),
    operation("GetLayerVersion", "GET", "2018-10-31/layers/{}/versions/{}"),
    operation("GetLayerVersionByArn", "GET", "2018-10-31/layers"),
    operation("GetLayerVersionPolicy", "GET", "2018-10-31/layers/{}/versions/{}/policy"),
    operation("GetPolicy", "GET", "2015-03-31/functions/{}/policy"),
    operation("GetProvisionedConcurrencyConfig", "GET", "2019-09-30/functions/{}/provisioned-concurrency"),
    operation("GetResourcePolicy", "GET", "2026-07-09/resource-policy/{}"),
    operation("GetRuntimeManagementConfig", "GET", "2021-07-20/functions/{}/runtime-management-config"),
    operation("Invoke", "POST", "2015-03-31/functions/{}/invocations"),
    operation("InvokeAsync", "POST", "2014-11-13/functions/{}/invoke-async"),
    operation("InvokeWithResponseStream", "POST", "2021-11-15/functions/{}/response-streaming-invocations"),
    operation("ListAliases", "GET", "2015-03-31/functions/{}/aliases"),
    operation("ListCapacityProviders", "GET", "2025-11-30/capacity-providers"),
    operation("ListCodeSigningConfigs", "GET", "2020-04-22/code-signing-configs"),
    operation("ListDurableExecutionsByFunction", "GET", "2025-12-01/functions/{}/durable-executions"),
    operation("ListEventSourceMappings", "GET", "2015-03-31/event-source-mappings"),
    operation("ListFunctionEventInvokeConfigs", "GET", "2019-09-25/functions/{}/event-invoke-config/list"),
    operation("ListFunctionUrlConfigs", "GET", "2021-10-31/functions/{}/urls"),
    operation("ListFunctionVersionsByCapacityProvider", "GET", "2025-11-30/capacity-providers/{}/function-versions"),
    operation("ListFunctions", "GET", "2015-03-31/functions"),
    operation("ListFunctionsByCodeSigningConfig", "GET", "2020-04-22/code-signing-configs/{}/functions"),
    operation("ListLayerVersions", "GET", "2018-10-31/layers/{}/versions"),
    operation("ListLayers", "GET", "2018-10-31/layers"),
    operation("ListProvisionedConcurrencyConfigs", "GET", "2019-09-30/functions/{}/provisioned-concurrency"),
    operation("ListTags", "GET", "2017-03-31/tags/{}"),
    operation("ListVersionsByFunction", "GET", "2015-03-31/functions/{}/versions"),
    operation("PauseDurableExecution", "POST", "2025-12-01/durable-executions/{}/pause"),
    operation("PublishLayerVersion", "POST", "2018-10-31/layers/{}/versions"),
    operation("PublishVersion", "POST", "2015-03-31/functions/{}/versions"),
    operation("PutFunctionCodeSigningConfig", "PUT", "2020-06-30/functions/{}/code-signing-config"),
    operation("PutFunctionConcurrency", "PUT", "2017-10-31/functions/{}/concurrency"),
    operation("PutFunctionEventInvokeConfig", "PUT", "2019-09-25/functions/{}/event-invoke-config"),
    operation("PutFunctionRecursionConfig", "PUT", "2024-08-31/functions/{}/recursion-config"),
    operation("PutFunctionScalingConfig", "PUT", "2025-11-30/functions/{}/function-scaling-config"),
    operation("PutProvisionedConcurrencyConfig", "PUT", "2019-09-30/functions/{}/provisioned-concurrency"),
    operation("PutResourcePolicy", "PUT", "2026-07-09/resource-policy/{}"),
    operation("PutRuntimeManagementConfig", "PUT", "2021-07-20/functions/{}/runtime-management-config"),
    operation("RemoveLayerVersionPermission", "DELETE", "2018-10-31/layers/{}/versions/{}/policy/{}"),
    operation("RemovePermission", "DELETE", "2015-03-31/functions/{}/policy/{}"),
    operation("ResumeDurableExecution", "POST", "2025-12-01/durable-executions/{}/resume"),
    operation("SendDurableExecutionCallbackFailure", "POST", "2025-12-01/durable-execution-callbacks/{}/fail"),
    operation("SendDurableExecutionCallbackHeartbeat", "POST", "2025-12-01/durable-execution-callbacks/{}/heartbeat"),
    operation("SendDurableExecutionCallbackSuccess", "POST", "2025-12-01/durable-execution-callbacks/{}/succeed"),
    operation("StopDurableExecution", "POST", "2025-12-01/durable-executions/{}/stop"),
    operation("TagResource", "POST", "2017-03-31/tags/{}"),
    operation("UntagResource", "DELETE", "2017-03-31/tags/{}"),
    operation("UpdateAlias", "PUT", "2015-03-31/functions/{}/aliases/{}"),
    operation("UpdateCapacityProvider", "PUT", "2025-11-30/capacity-providers/{}"),
    operation("UpdateCodeSigningConfig", "PUT", "2020-04-22/code-signing-configs/{}"),
    operation("UpdateEventSourceMapping", "PUT", "2015-03-31/event-source-mappings/{}"),
    operation("UpdateFunctionCode", "PUT", "2015-03-31/functions/{}/code"),
    operation("UpdateFunctionConfiguration", "PUT", "2015-03-31/functions/{}/configuration"),
    operation("UpdateFunctionEventInvokeConfig", "POST", "2019-09-25/functions/{}/event-invoke-config"),
    operation("UpdateFunctionUrlConfig", "PUT", "2021-10-31/functions/{}/url"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_by_method_and_path() {
        fn find<'p>(method: &str, path: &'p str) -> Option<(&'static str, Vec<&'p str>)> {
            let segments: Vec<&str> = path.split('/').collect();
            OPERATIONS.iter().find_map(|operation| Some((operation.name, operation.labels(method, &segments)?)))
        }
        assert_eq!(find("POST", "2015-03-31/functions/f/invocations"), Some(("Invoke", vec!["f"])));
        assert_eq!(find("PUT", "2015-03-31/event-source-mappings/u"), Some(("UpdateEventSourceMapping", vec!["u"])));
        assert_eq!(find("GET", "2015-03-31/event-source-mappings"), Some(("ListEventSourceMappings", Vec::new())));
        for (method, path) in [
            ("PATCH", "2015-03-31/functions"),
            ("GET", "2015-03-31/functions/f/nothing"),
            ("GET", "2015-03-31/functions//configuration"),
            ("GET", "2015-03-31"),
        ] {
            assert_eq!(find(method, path), None, "{method} {path}");
        }
    }
}
