//! What the simulated components need on a real API server: KubeVirt's kinds, and service accounts
//! with tokens.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::ServiceAccount,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, api::PostParams, runtime::conditions::is_crd_established,
    runtime::wait::await_condition,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{RealCluster, RealError};
use crate::simulation::{create, service_accounts};

/// Longest wait for a kind to be served.
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the components' tokens are valid.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// KubeVirt's kinds that a density run needs, without their schemas.
const DEFINITIONS: [&str; 8] = [
    include_str!("crds/kubevirts.yaml"),
    include_str!("crds/virtualmachineclusterinstancetypes.yaml"),
    include_str!("crds/virtualmachineclusterpreferences.yaml"),
    include_str!("crds/virtualmachineinstancemigrations.yaml"),
    include_str!("crds/virtualmachineinstances.yaml"),
    include_str!("crds/virtualmachineinstancetypes.yaml"),
    include_str!("crds/virtualmachinepreferences.yaml"),
    include_str!("crds/virtualmachines.yaml"),
];

/// Tokens by namespace and name of the service account.
pub(super) type Tokens = BTreeMap<(String, String), String>;

impl RealCluster {
    /// Makes KubeVirt's kinds, the components' service accounts, which may do everything, and a
    /// token for each of them. Kinds that are among `definitions`, CustomResourceDefinitions, are made
    /// as they are there, and so are others of these.
    pub async fn prepare_kubevirt(&self, definitions: &[Value]) -> Result<Tokens, RealError> {
        let client = self.admin_client()?;
        self.prepare(&client, definitions)
            .await
            .map_err(|source| RealError::Api {
                what: "cannot prepare the lab",
                source: Box::new(source),
            })
    }

    async fn prepare(&self, client: &Client, given: &[Value]) -> kube::Result<Tokens> {
        for definition in given {
            define(client, definition).await?;
        }
        for definition in DEFINITIONS {
            let definition: Value = serde_saphyr::from_str(definition)
                .map_err(|error| kube::Error::Service(Box::new(error)))?;
            if !given.iter().any(|one| name_of(one) == name_of(&definition)) {
                define(client, &definition).await?;
            }
        }
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubevirt"}});
        create(client, namespace).await?;
        let mut tokens = Tokens::new();
        for (namespace, name) in service_accounts() {
            for object in account(namespace, name) {
                create(client, object).await?;
            }
            let token = request_token(client, namespace, name).await?;
            tokens.insert((namespace.to_owned(), name.to_owned()), token);
        }
        Ok(tokens)
    }
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Makes a kind as it is defined, whatever else a cluster has added to that.
async fn define(client: &Client, definition: &Value) -> kube::Result<()> {
    let name = name_of(definition);
    let mut spec = definition["spec"].clone();
    // No webhook of the cluster that it comes from is reached here.
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("conversion");
    }
    // Groups of Kubernetes's own have to name who approved them.
    let approved = "api-approved.kubernetes.io";
    let mut metadata = json!({"name": name});
    if let Some(by) = definition["metadata"]["annotations"].get(approved) {
        metadata["annotations"] = json!({approved: by});
    }
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": metadata, "spec": spec,
    });
    create(client, definition).await?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = await_condition(api, name, is_crd_established());
    let established = timeout(ESTABLISHED_TIMEOUT, established).await;
    let problem = |text: String| kube::Error::Service(text.into());
    established
        .map_err(|_| problem(format!("{name} was not established in time")))?
        .map_err(|error| problem(error.to_string()))?;
    Ok(())
}

fn account(namespace: &str, name: &str) -> [Value; 2] {
    [
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"namespace": namespace, "name": name},
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("lab-{name}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
        }),
    ]
}

async fn request_token(client: &Client, namespace: &str, name: &str) -> kube::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await?;
    Ok(answer
        .status
        .and_then(|status| status.token)
        .unwrap_or_default())
}
